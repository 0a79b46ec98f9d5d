#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaks the code on purpose, one mutation at a time, and expects the named test to notice.

The *.toml beside it list file, old text, new text and the test, a program (with arguments, where a part of it is
enough) or a test of ctest; "go" with package and test, "python" with file and test.  Each is applied to a copy of the
tree under build/mutate, built there and run; a test that still passes guards nothing, and neither does one that hangs:
a busy machine may be the reason.  Several copies are worked on at once.

    run.py [--list | --check | --needs] [--jobs N] [NAME ...]

Go comes from PATH.  For Python, SLABBY_MUTATE_PYTHON is an interpreter that has the package with its compiled parts.

Exit status: 0 when every mutation was noticed, 1 when one survived, 2 when a mutation does not
apply, does not compile, or its test fails before anything was broken.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import queue
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "build" / "mutate"
PYTHON = os.environ.get("SLABBY_MUTATE_PYTHON", sys.executable)
# What runs a test that needs no build beforehand.
LANGUAGES = ("go", "python")
COPIED = [
    "CMakeLists.txt",
    "cmake",
    "core",
    "bench/instructions",
    "bench/peers",
    "bindings/contract.toml",
    "packaging/debian",
    "tools",
    "tests/CMakeLists.txt",
    "tests/abi",
    "go",
    "python/slabby",
    "tests/python",
    *sorted(f"tests/{found.parent.name}" for found in ROOT.glob("tests/*/CMakeLists.txt")),
]
TEST_TIMEOUT_S = 900  # the schedules take minutes on a busy machine
HUNG = f"hung for {TEST_TIMEOUT_S} s"
# What only luck finds gets more rounds than in everyday runs.
STRESS_SCALE = "300"


T = TypeVar("T")


class Broken(Exception):
    """The run itself is at fault, not the test: nothing can be concluded."""


@dataclass(frozen=True)
class Mutation:
    name: str
    file: str
    old: str
    new: str
    test: str
    breaks: str
    target: str = ""
    arguments: list[str] = field(default_factory=list)
    tries: int = 1  # of a test that needs two processors at the same moment, to notice it

    @property
    def built(self) -> str:
        """What the test runs; nothing where Go or Python runs it."""
        return "" if self.test in LANGUAGES else self.target or self.test

    @property
    def run(self) -> tuple[str, ...]:
        """The test and its arguments, as they are shown."""
        return (self.test, *self.arguments)


def load() -> list[Mutation]:
    files = sorted(Path(__file__).parent.glob("*.toml"))
    entries = [entry for file in files for entry in tomllib.loads(file.read_text())["mutation"]]
    return [Mutation(**entry) for entry in entries]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Copy:
    """A copy of the tree with its own build; one mutation at a time."""

    number: int

    @property
    def tree(self) -> Path:
        return SCRATCH / f"tree{self.number}"

    @property
    def built(self) -> Path:
        return SCRATCH / f"build{self.number}"

    def make(self) -> None:
        """Copies with new times: an object built from a mutation must not pass for up to date."""
        shutil.rmtree(self.tree, ignore_errors=True)
        self.built.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            source, target = ROOT / name, self.tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, copy_function=shutil.copyfile)
            else:
                shutil.copyfile(source, target)

    def configure(self) -> None:
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DSLABBY_BUILD_TESTS=ON"]
        result = run(["cmake", *generator, "-S", str(self.tree), "-B", str(self.built), *options])
        if result.returncode:
            raise Broken(f"cmake refused the copy:\n{result.stdout}{result.stderr}")

    def add_compiled_python(self) -> None:
        """What pip compiled, beside the sources of the copy: a mutation of Python needs no build."""
        code = "import pathlib, slabby; print(pathlib.Path(slabby.__file__).parent)"
        result = run([PYTHON, "-P", "-c", code])
        if result.returncode:
            raise Broken(
                f"{PYTHON} has no slabby (./dev test python installs it):\n{result.stderr}"
            )
        for file in Path(result.stdout.strip()).iterdir():
            if ".so" in file.name:
                shutil.copyfile(file, self.tree / "python" / "slabby" / file.name)

    def build(self, target: str) -> None:
        if not target:
            return
        result = run(["cmake", "--build", str(self.built), "--parallel", "2", "--target", target])
        if result.returncode:
            raise Broken(
                f"the build of {target} failed:\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
            )

    def command_of(self, test: str, *arguments: str) -> list[str]:
        """A test of Go or Python; the program of that name, or else the test that ctest knows by it."""
        if test == "go":
            package, name = arguments
            go_test = ["go", "-C", str(self.tree / "go"), "test", "-vet=off", "-count=1"]
            return [*go_test, "-run", f"^{name}$", package]
        if test == "python":
            file, name = arguments
            options = ["-q", "-x", "-p", "no:cacheprovider", "--rootdir", str(self.tree)]
            return [PYTHON, "-m", "pytest", *options, "-k", name, str(self.tree / file)]
        every = self.built.rglob(test)
        found = [path for path in every if path.is_file() and os.access(path, os.X_OK)]
        if len(found) > 1:
            raise Broken(f"{len(found)} programs are called {test}")
        by_name = ["--tests-regex", f"^{test}$", "--no-tests=error", "--output-on-failure"]
        program = [str(found[0])] if found else ["ctest", "--test-dir", str(self.built), *by_name]
        return [*program, *arguments]

    def verdict(self, test: str, *arguments: str) -> str:
        """'passed', or how the test noticed."""
        settings = {"PYTHONPATH": str(self.tree / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
        if test.startswith("stress_"):
            settings["SLABBY_TEST_SCALE"] = STRESS_SCALE
        try:
            result = subprocess.run(
                self.command_of(test, *arguments),
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=TEST_TIMEOUT_S,
                cwd=self.built,
                env=os.environ | settings,
            )
        except subprocess.TimeoutExpired:
            return HUNG
        if result.returncode == 0:
            return "passed"
        if "[build failed]" in result.stdout or (test == "python" and result.returncode != 1):
            raise Broken(f"{test} could not run:\n{result.stdout[-3000:]}{result.stderr[-3000:]}")
        if result.returncode < 0:
            return f"died of signal {-result.returncode}"
        failed = [
            line
            for line in result.stderr.splitlines() + result.stdout.splitlines()
            if any(word in line for word in ("FAILED", "--- FAIL", "differs:"))
        ]
        return failed[0].strip() if failed else f"exit status {result.returncode}"

    def check_sound(self, built: str, test: tuple[str, ...]) -> None:
        self.build(built)
        found = self.verdict(*test)
        if found != "passed":
            raise Broken(f"{' '.join(test)} fails on the sound tree: {found}")
        print(f"sound     {' '.join(test)}", flush=True)

    def try_mutation(self, mutation: Mutation) -> bool:
        path = self.tree / mutation.file
        sound = path.read_text(encoding="utf-8")
        if sound.count(mutation.old) != 1:
            raise Broken(
                f"{mutation.name}: {mutation.file} holds the old text "
                f"{sound.count(mutation.old)} times, not once:\n{mutation.old}"
            )
        path.write_text(sound.replace(mutation.old, mutation.new), encoding="utf-8")
        try:
            started = time.monotonic()
            self.build(mutation.built)
            for _ in range(mutation.tries):
                found = self.verdict(*mutation.run)
                if found != "passed":
                    break
            seconds = time.monotonic() - started
        finally:
            path.write_text(sound, encoding="utf-8")
        noticed = found not in ("passed", HUNG)
        print(
            f"{'noticed ' if noticed else 'SURVIVED'}  {mutation.name} ({seconds:.0f} s): "
            f"{' '.join(mutation.run)}: {found}",
            flush=True,
        )
        return noticed


def try_all(chosen: list[Mutation], jobs: int) -> list[str]:
    """The names of those that survived. Each test is first seen to pass on the sound tree."""
    # A mutation waits for a copy that is free.
    copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()

    def with_copy(work: Callable[[Copy], T]) -> T:
        copy = copies.get()
        try:
            return work(copy)
        finally:
            copies.put(copy)

    for number in range(jobs):
        copy = Copy(number)
        copy.make()
        tests = {mutation.test for mutation in chosen}
        if tests - set(LANGUAGES):
            copy.configure()
        if "python" in tests:
            copy.add_compiled_python()
        copies.put(copy)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            runs = sorted({(mutation.built, mutation.run) for mutation in chosen})
            list(pool.map(lambda each: with_copy(lambda copy: copy.check_sound(*each)), runs))
            outcomes = pool.map(
                lambda mutation: with_copy(lambda copy: copy.try_mutation(mutation)), chosen
            )
            noticed = list(outcomes)
        except Broken:
            pool.shutdown(cancel_futures=True)
            raise
    return [mutation.name for mutation, seen in zip(chosen, noticed, strict=True) if not seen]


def check_all_apply(mutations: list[Mutation]) -> None:
    """Each old text stands once in the checkout: code that moved on takes its mutation along."""
    lost = [
        f"{mutation.name}: {mutation.file} holds the old text {found} times, not once:\n{mutation.old}"
        for mutation in mutations
        if (found := (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old)) != 1
    ]
    if lost:
        raise Broken("let tests/mutate follow the code:\n" + "\n".join(lost))


def choose(mutations: list[Mutation], names: list[str]) -> list[Mutation]:
    unknown = set(names) - {mutation.name for mutation in mutations}
    if unknown:
        raise Broken(f"no such mutation: {', '.join(sorted(unknown))}; see --list")
    return [mutation for mutation in mutations if not names or mutation.name in names]


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Break the code on purpose; the tests must notice."
    )
    parser.add_argument("names", nargs="*", help="mutations to try; all when none is named")
    parser.add_argument("--list", action="store_true", help="name the mutations and stop")
    parser.add_argument("--check", action="store_true", help="see that all apply, and stop")
    parser.add_argument("--needs", action="store_true", help="print the languages, and stop")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="copies to work on at once"
    )
    arguments = parser.parse_args()
    try:
        chosen = choose(load(), arguments.names)
        if arguments.check:
            check_all_apply(chosen)
            return 0
        if arguments.list:
            for mutation in chosen:
                print(f"{mutation.name:28} {' '.join(mutation.run):18} {mutation.breaks}")
            return 0
        if arguments.needs:
            print(" ".join(sorted({mutation.test for mutation in chosen} & set(LANGUAGES))))
            return 0
        survivors = try_all(chosen, max(1, min(arguments.jobs, len(chosen))))
    except Broken as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutations noticed")
    if survivors:
        print(f"survived: {', '.join(survivors)}", file=sys.stderr)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
