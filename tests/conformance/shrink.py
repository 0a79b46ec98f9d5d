# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program must print, whether bindings differ from it, and the smallest program that shows the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bindings import Binding, RunnerFailed
from model import Machine
from model_pool import Undetermined


@dataclass(frozen=True)
class Difference:
    """The first line at which a binding does not print what the model expects."""

    binding: str
    line: int
    expected: str
    printed: str


def expected(lines: Sequence[str], printed: Sequence[str]) -> list[str]:
    """The model's trace; `printed` tells what the design leaves open. Undetermined for what is no program."""
    machine = Machine()
    return [
        machine.step(line, printed[index] if index < len(printed) else None)
        for index, line in enumerate(lines)
    ]


def traces(output: str) -> list[list[str]]:
    """The lines of each program."""
    programs: list[list[str]] = []
    for line in output.splitlines():
        if line.startswith('{"program":'):
            programs.append([])
        elif programs:
            programs[-1].append(line)
    return programs


def compare(binding: str, lines: Sequence[str], printed: Sequence[str]) -> Difference | None:
    wanted = expected(lines, printed)
    for index, want in enumerate(wanted):
        got = printed[index] if index < len(printed) else "nothing"
        if got != want:
            return Difference(binding, index, want, got)
    return None


def judge(lines: Sequence[str], bindings: Sequence[Binding]) -> Difference | None:
    """Runs one program alone."""
    text = "\n".join(("program 0", *lines, ""))
    first: list[str] | None = None
    for binding in bindings:
        try:
            found = traces(binding.run(text, attempts=20))
        except RunnerFailed as failure:
            return Difference(binding.name, len(lines) - 1, "a whole trace", str(failure))
        printed = found[0] if found else []
        difference = compare(binding.name, lines, printed)
        if difference is not None:
            return difference
        if first is not None and printed != first:
            index = next(i for i, line in enumerate(first) if printed[i] != line)
            return Difference(binding.name, index, first[index], printed[index])
        first = printed
    return None


def shrink(lines: list[str], binding: Binding) -> tuple[list[str], Difference]:
    """Leaves instructions out and makes arguments smaller, in turns, as long as the binding still differs: what a
    smaller capacity makes superfluous goes as well."""
    difference = judge(lines, [binding])
    assert difference is not None, "only what differs can be made smaller"
    lines = lines[: difference.line + 1]
    before: list[str] = []
    while lines != before:
        before, difference = leave_out(lines, difference, binding)
        lines, difference = shrink_arguments(before, difference, binding)
    return lines, difference


def leave_out(
    lines: list[str], difference: Difference, binding: Binding
) -> tuple[list[str], Difference]:
    """Leaves instructions out, in halves first and singly in the end."""
    size = max(1, len(lines) // 2)
    while True:
        starts = range(len(lines) - size, -size, -size)
        candidates = [lines[: max(start, 0)] + lines[start + size :] for start in starts]
        found = first_difference([candidate for candidate in candidates if candidate], binding)
        if found is not None:
            lines, difference = found[0][: found[1].line + 1], found[1]
            size = min(size, max(1, len(lines) // 2))
        elif size > 1:
            size //= 2
        else:
            return lines, difference


def smaller(line: str) -> list[str]:
    """The line with one argument made smaller: a number halved or lowered, an option or a reference left out."""
    words = line.split()
    found = []
    for at, word in enumerate(words):
        without = words[:at] + words[at + 1 :]
        if "=" in word and word != "=":
            found.append(without)
        elif word[0] == "[" or (words[0] == "release_batch" and at > 2):
            found.append(without)
        elif word.isdigit() and at > 0:
            number = int(word)
            found += [
                [*words[:at], str(less), *words[at + 1 :]]
                for less in sorted({0, 1, number // 2, number - 1})
                if 0 <= less < number
            ]
    return [" ".join(words) for words in found]


def shrink_arguments(
    lines: list[str], difference: Difference, binding: Binding
) -> tuple[list[str], Difference]:
    """Makes one argument smaller at a time. What follows the difference goes."""
    while True:
        candidates = [
            [*lines[:at], line, *lines[at + 1 :]]
            for at in range(len(lines))
            for line in smaller(lines[at])
        ]
        found = first_difference(candidates, binding)
        if found is None:
            return lines, difference
        lines, difference = found[0][: found[1].line + 1], found[1]


def first_difference(
    candidates: Sequence[list[str]], binding: Binding
) -> tuple[list[str], Difference] | None:
    """The first of some programs at which the binding differs. One process runs them all, unless it breaks."""
    programs = [lines for lines in candidates if is_program(lines)]
    text = "".join("\n".join((f"program {at}", *lines, "")) for at, lines in enumerate(programs))
    try:
        found = traces(binding.run(text, attempts=20))
    except RunnerFailed:
        single = ((lines, judge(lines, [binding])) for lines in programs)
        return next(((lines, found) for lines, found in single if found is not None), None)
    for lines, printed in zip(programs, found, strict=True):
        try:
            difference = compare(binding.name, lines, printed)
        except Undetermined:
            continue
        if difference is not None:
            return lines, difference
    return None


def is_program(lines: Sequence[str]) -> bool:
    try:
        expected(lines, [])
    except Undetermined:
        return False
    return True
