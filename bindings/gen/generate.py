#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes every generated file of the project from bindings/contract.toml, or checks them.

Usage: generate.py [--check] [header] [c] [docs] [python] [swig] [go] [endpoints]
"""

from __future__ import annotations

import argparse
import importlib
import sys
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

from contract import Contract, load
from entry import ToolError

ROOT = Path(__file__).resolve().parents[2]

# Each has outputs(contract) -> {path relative to the root: text}. gen_header comes first: others read the header.
MODULES = (
    "gen_header",
    "gen_c",
    "gen_docs",
    "gen_metrics",
    "gen_python",
    "gen_swig",
    "gen_go",
    "gen_endpoints",
)


class GenerateError(ToolError):
    """The output modules contradict each other or are missing."""


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        entry = "bindings/gen/generate.py: MODULES"
        raise GenerateError(
            f"{entry}: there is no bindings/gen/{name}.py; add or unlist it"
        ) from None


def outputs(contract: Contract, modules: tuple[str, ...]) -> dict[str, str]:
    """The text of every file that the modules write."""
    texts: dict[str, str] = {}
    for name in modules:
        produced: dict[str, str] = _module(name).outputs(contract)
        for path, text in produced.items():
            if path in texts:
                raise GenerateError(
                    f"bindings/gen/{name}.py: {path} is another module's output too"
                )
            texts[path] = text
    return texts


def difference(path: str, wanted: str) -> str | None:
    """Where the file differs from `wanted`, or None."""
    try:
        found = (ROOT / path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"{path}: missing; run ./dev gen"
    if found == wanted:
        return None
    # A missing final newline shows as a difference on the line after the last.
    pairs = zip_longest(found.split("\n"), wanted.split("\n"))
    for number, (old, new) in enumerate(pairs, start=1):
        if old != new:
            return f"{path}:{number}: is {old!r}, should be {new!r}; run ./dev gen"
    return f"{path}: line endings differ; run ./dev gen"


def write(path: str, text: str) -> None:
    target = ROOT / path
    if target.exists() and target.read_bytes() == text.encode():
        print(f"unchanged {path}")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8", newline="\n")
    print(f"wrote     {path}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Writes what bindings/contract.toml implies.")
    parser.add_argument("--check", action="store_true", help="compare with the disk, write nothing")
    parser.add_argument("names", nargs="*", help="only these outputs, such as c or docs")
    options = parser.parse_args(arguments)
    known = [module.removeprefix("gen_") for module in MODULES]
    for name in options.names:
        if name not in known:
            parser.error(f"no output is called {name!r}; there are: {', '.join(known)}")
    chosen = tuple(
        m for m in MODULES if not options.names or m.removeprefix("gen_") in options.names
    )
    try:
        contract = load(ROOT)
        texts = outputs(contract, chosen)
        if not options.check:
            for module in chosen:  # one at a time: gen_go packs what gen_c has just written
                for path, text in outputs(contract, (module,)).items():
                    write(path, text)
            return 0
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    differences = [found for path, text in texts.items() if (found := difference(path, text))]
    for found in differences:
        print(found, file=sys.stderr)
    if not differences:
        print(f"{len(texts)} generated files are up to date")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
