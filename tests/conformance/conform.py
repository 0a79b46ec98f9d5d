# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs random conformance programs through every binding and compares the traces with the model's.

./dev conform [--mode A|B] [--seed S] [--programs N] [--length L] [--bindings c,cffi,swig,go,lua,perl]

Mode A: each binding runs the whole program in a process of its own. Mode B: one process and one pool; c, cffi, swig and
go take turns, instruction by instruction (shared.py).

Ends with 0 when every binding printed what the model expects. A difference is made small and printed as a program for
tests/conformance/regressions.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

from bindings import BINDINGS, SHARED, SHARING, Binding, RunnerFailed
from generator import Generator, Program
from shrink import Difference, compare, judge, shrink, traces

HERE = Path(__file__).resolve().parent
# Programs that one process of a binding runs in one go.
BLOCK = 100
RUNNERS = BINDINGS | {SHARED.name: SHARED}


def addressed(lines: list[str], turns: Sequence[str], seed: str) -> list[str]:
    """Each instruction for one of the bindings that take turns; as it was where there are none."""
    if not turns:
        return lines
    dice = random.Random(f"turns/{seed}")
    return [f"@{dice.choice(turns)} {line}" for line in lines]


@dataclass(frozen=True)
class Block:
    """Programs first .. first + count - 1 of a seed."""

    seed: int
    first: int
    count: int
    length: int
    bindings: tuple[str, ...]
    # Mode B: who takes turns.
    turns: tuple[str, ...] = ()

    def programs(self) -> list[Program]:
        numbers = range(self.first, self.first + self.count)
        made = [Generator(self.seed, number).make(self.length) for number in numbers]
        for program in made:
            program.lines = addressed(program.lines, self.turns, f"{self.seed}/{program.number}")
        return made


@dataclass(frozen=True)
class Failure:
    """A program at which a binding differs, or a binding that did not even end."""

    number: int
    text: str


def run_block(block: Block) -> tuple[int, list[Failure]]:
    """How many instructions ran, and the programs that differ."""
    programs = block.programs()
    text = "".join(program.text() for program in programs)
    instructions = sum(len(program.lines) for program in programs)
    bindings = [RUNNERS[name] for name in block.bindings]
    with ThreadPoolExecutor(1) as pool:
        outputs = list(pool.map(lambda binding: _run(binding, text), bindings))
    if all(output == outputs[0] for output in outputs):
        found = traces(outputs[0])
        if len(found) == len(programs) and all(map(_matches, programs, found)):
            return instructions, []
    for index, program in enumerate(programs):
        report = _report(program, index, block.bindings, outputs)
        if report is not None:
            return instructions, [Failure(program.number, report)]
    broken = [output for output in outputs if output.startswith("runner failed")]
    return instructions, [Failure(block.first, "\n".join(broken or ["traces of unequal length"]))]


def _run(binding: Binding, text: str) -> str:
    try:
        return binding.run(text)
    except RunnerFailed as failure:
        return f"runner failed: {failure}"


def _matches(program: Program, printed: list[str]) -> bool:
    if printed == program.expected:
        return True
    return compare("", program.lines, printed) is None


def _report(
    program: Program, index: int, names: Sequence[str], outputs: Sequence[str]
) -> str | None:
    """What differs in one program; made small by running it alone."""
    blocks = [traces(output) for output in outputs]
    printed = [found[index] if index < len(found) else [] for found in blocks]
    if all(one == printed[0] for one in printed) and _matches(program, printed[0]):
        return None
    bindings = [RUNNERS[name] for name in names]
    first = judge(program.lines, bindings)
    if first is None and any(len(found) <= index for found in blocks):
        return None  # a runner ended at another program
    if first is None or judge(program.lines, [RUNNERS[first.binding]]) is None:
        return "differs only among others:\n" + _difference(program, names, printed)
    lines, difference = shrink(program.lines, RUNNERS[first.binding])
    return scenario(lines, difference)


def _difference(program: Program, names: Sequence[str], printed: list[list[str]]) -> str:
    """The first line at which a binding differs from the model, or else from the first binding."""
    for name, one in zip(names, printed, strict=True):
        difference = compare(name, program.lines, one)
        if difference is not None:
            return str(difference)
    for index, line in enumerate(program.lines):
        values = [one[index] for one in printed]
        if any(value != values[0] for value in values):
            said = "".join(f"\n{name}: {value}" for name, value in zip(names, values, strict=True))
            return f"instruction {index}, {line}: the model allows each of{said}"
    return "no line differs"


def scenario(lines: Sequence[str], difference: Difference) -> str:
    return "\n".join(
        (
            f"# {difference.binding} printed: {difference.printed}",
            f"# expected:  {difference.expected}",
            *lines,
        )
    )


# ------------------------------------------------------------------------------------------ kept programs


def regression_programs() -> list[tuple[str, list[str]]]:
    """Samples and regressions: name and instructions of each program."""
    found = []
    for path in sorted((HERE / "samples").glob("*.prog")) + sorted(
        (HERE / "regressions").glob("*.prog")
    ):
        lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
        found.append((path.name, [line for line in lines if not line.startswith("program ")]))
    return found


def run_regressions(bindings: Sequence[Binding], turns: Sequence[str]) -> list[Failure]:
    programs = [(name, addressed(lines, turns, name)) for name, lines in regression_programs()]
    text = "".join(
        "\n".join((f"program {number}", *lines, "")) for number, (_, lines) in enumerate(programs)
    )
    failures = []
    for binding in bindings:
        found = traces(_run(binding, text))
        for number, (name, lines) in enumerate(programs):
            printed = found[number] if number < len(found) else []
            difference = compare(binding.name, lines, printed)
            if difference is not None:
                failures.append(Failure(number, f"# {name}\n{scenario(lines, difference)}"))
    for path in sorted((HERE / "samples").glob("*.trace")):
        lines = dict(programs)[path.with_suffix(".prog").name]
        if path.read_text().splitlines()[1:] != _expected(lines):
            failures.append(Failure(0, f"{path.name} is not what the model prints"))
    return failures


def _expected(lines: Sequence[str]) -> list[str]:
    from shrink import expected

    return expected(lines, [])


# -------------------------------------------------------------------------------------------------- the run


def blocks(
    arguments: argparse.Namespace, bindings: Sequence[Binding], turns: tuple[str, ...]
) -> Iterator[Block]:
    names = tuple(binding.name for binding in bindings)
    for first in range(arguments.first, arguments.first + arguments.programs, BLOCK):
        count = min(BLOCK, arguments.first + arguments.programs - first)
        yield Block(arguments.seed, first, count, arguments.length, names, turns)


def run(
    arguments: argparse.Namespace, bindings: Sequence[Binding], turns: tuple[str, ...] = ()
) -> int:
    started = time.monotonic()
    failures = run_regressions(bindings, turns) if arguments.regressions == "yes" else []
    instructions = done = 0
    with Pool(arguments.jobs) as pool:
        for count, found in pool.imap_unordered(run_block, blocks(arguments, bindings, turns)):
            instructions += count
            done += 1
            failures += found
            if len(failures) >= arguments.failures:
                pool.terminate()
                break
            if sys.stderr.isatty():
                print(f"\r{done * BLOCK} programs", end="", file=sys.stderr, flush=True)
    for failure in failures[: arguments.failures]:
        print(f"\nprogram {failure.number} of seed {arguments.seed} differs:\n{failure.text}")
    seconds = time.monotonic() - started
    names = (
        f"{', '.join(turns)} in turns" if turns else ", ".join(binding.name for binding in bindings)
    )
    print(
        f"mode {arguments.mode}, seed {arguments.seed}: {arguments.programs} programs of {arguments.length} "
        f"instructions, {len(regression_programs()) if arguments.regressions == 'yes' else 0} kept ones, "
        f"through {names}: "
        f"{len(failures)} differences ({instructions} instructions a binding, {seconds:.0f} s)"
    )
    return 1 if failures else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first program")
    parser.add_argument("--length", type=int, default=200, help="instructions of a program")
    parser.add_argument("--bindings", default=",".join(BINDINGS), help="of " + ", ".join(BINDINGS))
    parser.add_argument(
        "--mode", choices=("A", "B"), default="A", help="a process for each binding, or one for all"
    )
    parser.add_argument(
        "--regressions", choices=("yes", "no"), default="yes", help="samples and regressions"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--failures", type=int, default=3, help="differences after which to stop")
    return parser.parse_args()


def run_shared(arguments: argparse.Namespace, turns: tuple[str, ...]) -> int:
    reason = SHARED.closed_status()
    if reason is not None:
        print(f"skipped: mode B: {reason}")
        return 0
    if not turns:
        print(f"in mode B take turns: {', '.join(SHARING)}", file=sys.stderr)
        return 2
    return run(arguments, [SHARED], turns)


def main() -> int:
    arguments = parse()
    names = arguments.bindings.split(",")
    for name in names:
        if name not in BINDINGS:
            print(f"no binding is called {name}; there are {', '.join(BINDINGS)}", file=sys.stderr)
            return 2
    if arguments.mode == "B":
        return run_shared(arguments, tuple(name for name in names if name in SHARING))
    bindings = []
    for name in names:
        reason = BINDINGS[name].closed_status()
        if reason is None:
            bindings.append(BINDINGS[name])
        else:
            print(f"skipped: {name}: {reason}")
    if not bindings:
        print("no binding can run here", file=sys.stderr)
        return 1
    return run(arguments, bindings)


if __name__ == "__main__":
    sys.exit(main())
