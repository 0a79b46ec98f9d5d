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
class Wrong:
    """A binding that is wrong in one way, see `answers`."""

    name: str = "wrong"

    @staticmethod
    def answers(words: list[str], right: str) -> str:
        raise NotImplementedError

    def run(self, programs: str, attempts: float = 600) -> str:
        printed = []
        for line in programs.splitlines():
            words = line.split()
            if words[0] == "program":
                machine = Machine()
                printed.append(f'{{"program":{words[1]}}}')
                continue
            printed.append(self.answers(words, machine.step(line)))
        return "\n".join(printed) + "\n"


class WrongOverTwo(Wrong):
    """A batch of three or more gets Timeout."""

    @staticmethod
    def answers(words: list[str], right: str) -> str:
        wrong = "allocate_batch" in words and int(words[-1]) > 2 and right == '{"status":"OK"}'
        return '{"status":"Timeout"}' if wrong else right


class WrongWithoutSlabs(Wrong):
    """A pool that has nothing answers Timeout."""

    @staticmethod
    def answers(words: list[str], right: str) -> str:
        return right.replace("OutOfMemory", "Timeout")


class WrongOrder(Wrong):
    """The last of two waits gets its slab first."""

    @staticmethod
    def answers(words: list[str], right: str) -> str:
        return right.replace("false", "true") if words[-1] == "w1" else right


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


def test_what_a_smaller_argument_makes_superfluous_goes() -> None:
    lines = [
        "p0 = create 64 3 secure=on",
        "r0 = allocate p0",
        "r1 = allocate p0",
        "r2 = allocate p0",
        "r3 = allocate p0",
    ]
    found, difference = shrink(lines, WrongWithoutSlabs())
    assert found == ["p0 = create 1 1", "r0 = allocate p0", "r1 = allocate p0"]
    assert difference.expected == '{"status":"OutOfMemory"}'


def test_waits_are_made_small() -> None:
    lines = [
        "p0 = create 64 2",
        "r0 = allocate p0",
        "r1 = allocate p0",
        "w0 = wait p0",
        "write p0 r0 1",
        "w1 = wait p0",
        "release p0 r0",
        "r3 = collect w1",
    ]
    found, _ = shrink(lines, WrongOrder())
    assert found == ["p0 = create 1 1", "r0 = allocate p0", "w1 = wait p0", "r3 = collect w1"]


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
