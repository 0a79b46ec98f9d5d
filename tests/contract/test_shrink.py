# SPDX-License-Identifier: GPL-3.0-or-later
"""The conformance programs' shrinker leaves out instructions and makes arguments smaller."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))

from model import Machine  # type: ignore[import-not-found]
from shrink import shrink, smaller  # type: ignore[import-not-found]


@dataclass(frozen=True)
class WrongOverTwo:
    """A binding that answers a batch of three or more with Timeout."""

    name: str = "wrong"

    def run(self, programs: str, attempts: float = 600) -> str:
        printed = []
        for line in programs.splitlines():
            words = line.split()
            if words[0] == "program":
                machine = Machine()
                printed.append(f'{{"program":{words[1]}}}')
                continue
            answer = machine.step(line)
            if "allocate_batch" in words and int(words[-1]) > 2 and answer == '{"status":"OK"}':
                answer = '{"status":"Timeout"}'
            printed.append(answer)
        return "\n".join(printed) + "\n"


def test_arguments_are_made_smaller() -> None:
    lines = [
        "p0 = create 4096 100 secure=on bit_guard=on",
        "r0 = allocate p0",
        "write p0 r0 77",
        "r64 = allocate_batch p0 57",
        "size p0",
    ]
    found, difference = shrink(lines, WrongOverTwo())
    assert found == ["p0 = create 1 3", "r64 = allocate_batch p0 3"]
    assert difference.line == 1
    assert difference.printed == '{"status":"Timeout"}'


def test_what_is_smaller() -> None:
    assert smaller("close p0") == []
    assert smaller("r0 = allocate_timeout p0 9") == [
        f"r0 = allocate_timeout p0 {less}" for less in (0, 1, 4, 8)
    ]
    assert smaller("p0 = create 1 1 secure=on") == [
        "p0 = create 0 1 secure=on",
        "p0 = create 1 0 secure=on",
        "p0 = create 1 1",
    ]
    assert "release_batch p0 r1" in smaller("release_batch p0 r1 r2")
