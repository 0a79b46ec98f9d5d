#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that contract, header, generated files and library say the same. One line per check.

Usage: check.py [--library PATH]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import check_attributes
import check_conformance
import check_header
import check_tools
import generate
from calls import all_calls
from contract import Contract, load
from entry import ToolError
from header import HEADER_PATH, Header, HeaderError, read

ROOT = generate.ROOT


@dataclass(frozen=True)
class Check:
    """`run` yields a message per problem, each naming the place, or raises Skip."""

    name: str
    run: Callable[[], Iterator[str]]


def report(check: Check) -> bool:
    """Prints the outcome; True unless it failed."""
    try:
        problems = list(check.run())
    except check_tools.Skip as reason:
        print(f"skip    {check.name}: {reason}")
        return True
    except ToolError as error:
        problems = [str(error)]
    print(f"{'FAILED ' if problems else 'ok     '} {check.name}")
    for problem in problems:
        print(f"        {problem}")
    return not problems


def checks(library: Path | None) -> list[Check]:
    """Everything that can be asked; a contract or a header that cannot be read raises."""
    contract, header = load(ROOT), read(ROOT)
    found = [
        Check("generated files are up to date", generated),
        Check("generated files are marked in .gitattributes", marked),
        Check("each prototype has its entry", partial(check_header.entries, contract, header)),
        Check("statuses of each function", partial(check_header.statuses, contract, header)),
        Check("roles of each parameter", partial(roles, contract, header)),
        Check("names in the header's comments", partial(check_header.names, contract, header)),
        Check("structs of the snapshots", partial(check_header.structs, contract, header)),
        Check("initialisers of structs", partial(check_header.initialisers, contract, header)),
        Check(
            "each function has a conformance instruction",
            partial(check_conformance.operations, ROOT, contract),
        ),
        Check("exported symbols in slabby.map", partial(check_tools.symbol_map, ROOT, header)),
    ]
    for compiler in check_tools.COMPILERS:
        name = f"{compiler.program} compiles the header alone as {compiler.standard}"
        found.append(Check(name, partial(check_tools.compiles, ROOT, compiler)))
    found.append(Check("cffi parses the header", partial(check_tools.cffi_parses, ROOT, header)))
    found.append(Check("SWIG parses the header", partial(check_tools.swig_parses, ROOT, header)))
    if library is not None:
        name = "exported symbols of the library"
        found.append(Check(name, partial(check_tools.library_symbols, library, header)))
    return found


@cache
def texts() -> dict[str, str]:
    """What every file that is generated should be."""
    return generate.outputs(load(ROOT), generate.MODULES)


def generated() -> Iterator[str]:
    for path, text in texts().items():
        if problem := generate.difference(path, text):
            yield problem


def marked() -> Iterator[str]:
    # The header is written by hand, but for the facts in its comments.
    yield from check_attributes.marks(ROOT, texts().keys() - {HEADER_PATH})


def roles(contract: Contract, header: Header) -> Iterator[str]:
    """Each parameter has a role, and the role fits its type."""
    try:
        all_calls(contract, header)
    except HeaderError as error:
        yield str(error)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Proves that nothing drifted from the contract.")
    parser.add_argument("--library", type=Path, help="a built libslabby.so to compare as well")
    options = parser.parse_args(arguments)
    try:
        # A list, so that every check runs even after a failure.
        passed = [report(check) for check in checks(options.library)]
    except ToolError as error:
        print(f"FAILED  {error}")
        return 1
    print(f"{sum(passed)} of {len(passed)} checks hold or were skipped")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
