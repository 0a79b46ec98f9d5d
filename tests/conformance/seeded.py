# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that the comparison finds faults: seeded bugs, each found and made small.

    seeded.py [NAME...]       after ./dev conform has built the bindings; build/conform/seeded holds what is made

Each bug of seeded.toml is one replacement in a copy of a file. The bindings are built from the copy, random programs
run until one differs, and what is left after shrinking must have ten instructions or fewer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "conform"
MOST_INSTRUCTIONS = 10
PROGRAMS = 2000
FOUND = re.compile(r"^program \d+ of seed \d+ differs:\n(.*?)^mode ", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Bug:
    """One replacement, and the bindings that can show it."""

    name: str
    file: str
    old: str
    new: str
    bindings: str
    # Where the fault is in what serves without restartable sequences.
    rseq: bool = True


class Seedbed:
    """A copy of the runners and the built bindings, with one bug."""

    def __init__(self, bug: Bug) -> None:
        self.bug = bug
        self.key = BUILD / "seeded" / bug.name
        self.site = self.key / "site" / "slabby"

    def prepare(self) -> None:
        shutil.rmtree(self.key, ignore_errors=True)
        shutil.copytree(HERE, self.key / "tests" / "conformance")
        for name in ("bindings", "go", "swig", "core", "python"):
            shutil.copytree(ROOT / name, self.key / name)
        shutil.copytree(BUILD / "site", self.key / "site")
        for name in ("runner_c", "runner_go"):
            if (BUILD / name).exists():
                shutil.copy2(BUILD / name, self.key / name)
        self._plant()
        getattr(self, f"_build_{Path(self.bug.file).parts[0]}")()

    def _plant(self) -> None:
        path = self.key / self.bug.file
        text = path.read_text()
        if text.count(self.bug.old) != 1:
            raise SystemExit(
                f"{self.bug.name}: {self.bug.file} has {text.count(self.bug.old)} x {self.bug.old!r}"
            )
        path.write_text(text.replace(self.bug.old, self.bug.new))

    def _run(self, *command: str, cwd: Path | None = None) -> None:
        done = subprocess.run(
            command, cwd=cwd or self.key, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{self.bug.name}: {' '.join(command)}: {done.stderr[-2000:]}")

    def _build_core(self) -> None:
        sources = sorted(str(path) for path in (self.key / "core" / "src").rglob("*.c"))
        common = ("-std=gnu11", "-O0", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread")
        includes = ("-Icore/include", "-Icore/src")
        target = ("-Wl,-soname,libslabby.so.0", "-o", str(self.site / "libslabby.so.0"))
        self._run("cc", *common, *includes, *sources, *target)

    def _build_python(self) -> None:
        name = Path(self.bug.file).name
        shutil.copy2(self.key / self.bug.file, self.site / name)

    def _build_swig(self) -> None:
        output = self.key / "swig.c"
        # The swig of the build requirements, beside this Python.
        swig = shutil.which("swig", path=str(Path(sys.executable).parent)) or "swig"
        self._run(
            swig,
            "-python",
            "-interface",
            "_swig",
            "-DSWIGWORDSIZE64",
            "-Icore/include",
            "-Iswig",
            "-outdir",
            str(self.key),
            "-o",
            str(output),
            "swig/slabby.i",
        )
        includes = ("-Icore/include", "-Ipython/src", "-I" + sysconfig.get_paths()["include"])
        self._run(
            "cc",
            "-w",
            "-O0",
            "-shared",
            "-fPIC",
            *includes,
            str(output),
            "-o",
            str(self.site / "_swig.abi3.so"),
            str(self.site / "libslabby.so.0"),
            "-Wl,-rpath,$ORIGIN",
        )

    def _build_go(self) -> None:
        self._run(
            "go",
            "build",
            "-buildvcs=false",
            "-o",
            str(self.key / "runner_go"),
            ".",
            cwd=self.key / "tests" / "conformance" / "go",
        )

    def _build_tests(self) -> None:
        """The model: nothing to build."""

    def search(self) -> list[str]:
        """The instructions of the smallest program that shows the bug; none when it was not found."""
        environment = os.environ | {
            "CONFORM_BUILD": str(self.key),
            "LD_LIBRARY_PATH": str(self.site),
        }
        if not self.bug.rseq:
            environment["GLIBC_TUNABLES"] = "glibc.pthread.rseq=0"
        script = self.key / "tests" / "conformance" / "conform.py"
        command = (
            sys.executable,
            str(script),
            "--seed",
            "7",
            "--programs",
            str(PROGRAMS),
            "--failures",
            "1",
        )
        done = subprocess.run(
            (*command, "--regressions", "no", "--bindings", self.bug.bindings),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        match = FOUND.search(done.stdout)
        if match is None:
            return []
        return [line for line in match.group(1).splitlines() if line and line[0] != "#"]


def bugs() -> list[Bug]:
    with (HERE / "seeded.toml").open("rb") as file:
        return [Bug(**entry) for entry in tomllib.load(file)["bug"]]


def main(names: list[str]) -> int:
    chosen = [bug for bug in bugs() if not names or bug.name in names]
    missed = 0
    for bug in chosen:
        started = time.monotonic()
        seedbed = Seedbed(bug)
        seedbed.prepare()
        program = seedbed.search()
        found = 0 < len(program) <= MOST_INSTRUCTIONS
        missed += not found
        outcome = f"found, {len(program)} instructions" if program else "NOT FOUND"
        print(f"{bug.name}: {outcome} ({time.monotonic() - started:.0f} s)")
        print("".join(f"    {line}\n" for line in program), end="", flush=True)
        shutil.rmtree(seedbed.key)
    print(
        f"{len(chosen) - missed} of {len(chosen)} seeded bugs found in {MOST_INSTRUCTIONS} instructions or fewer"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
