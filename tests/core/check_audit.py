# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests tools/slabby-audit-check: `check_audit.py CHECKER TEST_AUDIT`, on a trail that the core wrote.

The sound file passes; whatever single line is changed, removed, doubled or moved, the checker
names it or the first line behind it.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType


def run(checker: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, checker, *arguments], capture_output=True, text=True, check=False
    )


def load(checker: str) -> ModuleType:
    """The checker as a module: many short runs without an interpreter's start each."""
    loader = SourceFileLoader("audit_check", checker)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def damaged(lines: list[bytes]) -> Iterator[tuple[str, int, list[bytes]]]:
    """What was done, the first line (from 1) that must not fit any more, the lines."""
    for at, line in enumerate(lines):
        before, after = lines[:at], lines[at + 1 :]
        middle = len(line) // 3
        flipped = line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :]
        yield "changed", at + 1, [*before, flipped, *after]
        yield "cut", at + 1, [*before, line[:-20], *after]
        yield "doubled", at + 2, [*before, line, line, *after]
        if after:
            yield "removed", at + 1, [*before, *after]
            yield "moved", at + 1, [*before, after[0], line, *after[1:]]


def main() -> None:
    checker, program = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        sample, other = Path(folder, "sample"), Path(folder, "other")
        subprocess.run([program, "--sample", str(sample)], check=True)
        lines = sample.read_bytes().splitlines(keepends=True)
        content = [json.loads(line) for line in lines]
        assert content[0]["pool"] == 'a "name"\n\\ \u00e9', content[0]
        assert sum("lost" in row for row in content) == 1
        records = sum("operation" in row for row in content)
        lost = sum(row.get("lost", 0) for row in content)
        last = content[-1]["digest"]
        assert records + lost == 1 + 2 * 20, (records, lost)

        sound = run(checker, str(sample), "--last", last)
        assert sound.returncode == 0, sound
        assert sound.stdout.startswith(f"{records} records, {lost} lost"), sound.stdout
        module = load(checker)
        tried = 0
        for what, at, rows in damaged(lines):
            other.write_bytes(b"".join(rows))
            found = module.check([str(other)], module.Chain(module.NOTHING, False))
            assert found is not None and found.startswith(f"{other}:{at}: "), (what, at, found)
            tried += 1
        assert tried == 5 * len(lines) - 2, tried

        other.write_bytes(b"".join(lines[:-1]))
        assert run(checker, str(other)).returncode == 0
        assert run(checker, str(other), "--last", last).returncode == 1
        other.write_bytes(b"".join(lines + lines))
        assert run(checker, str(other)).returncode == 1
        assert run(checker, str(other), "--restarts").returncode == 0
        other.write_bytes(b"".join(lines[3:]))
        assert run(checker, str(other), "--previous", content[2]["digest"]).returncode == 0
        assert run(checker, str(Path(folder, "missing"))).returncode == 2
    print(f"{tried} damaged trails were recognised")


main()
