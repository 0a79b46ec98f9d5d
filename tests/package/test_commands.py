# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of README.md and CONTRIBUTING.md, as a newcomer runs them.

Each page gets a fresh clone (of the files as they are, committed or not) and an empty HOME. Its blocks of
`sh` run in the order of the page; a block behind "Save this as `NAME`" is written to that file first. What
a program should print stands in its comments ("prints: ..."). `<!-- full -->` before a block says that it
is slow: only --full runs it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import ROOT

FULL = bool(os.environ.get("SLABBY_FULL"))
PAGES = ("README.md", "CONTRIBUTING.md")
# A block with its language; what stands before it says whether it is slow, or a file.
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"Save this as `([^`]+)`:\s*\Z")
RUNS = re.compile(
    r"^(?:\./program|cd ~/hello && go run \.|venv/bin/python program\.py)$", re.MULTILINE
)
# What a developer's environment has and a newcomer's has not.
PRIVATE = (
    "SLABBY_",
    "CMAKE_",
    "GO",
    "CGO_",
    "VIRTUAL_ENV",
    "PYTHON",
    "PKG_CONFIG",
    "CC",
    "CXX",
    "XDG_",
    "MYPYPATH",
)
# How packages are fetched, not what is built; and what Go has built of its own library and of the same core.
NEEDED = (
    "GOPROXY",
    "GOFLAGS",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "GOCACHE",
    "GOENV",
    "SLABBY_CACHE",
    "SLABBY_CORE_CC",
)


@dataclass(frozen=True)
class Step:
    """One block of a page: commands to run, or a file to write."""

    page: str
    line: int
    language: str
    text: str
    slow: bool
    file: str | None


def steps(page: str) -> list[Step]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        before = text[: match.start()].rstrip("\n")
        saved = SAVED.search(before)
        found.append(
            Step(
                page,
                text.count("\n", 0, match.start()) + 1,
                match[1],
                match[2],
                before.endswith("<!-- full -->"),
                saved[1] if saved else None,
            )
        )
    return found


def wanted(step: Step) -> bool:
    return step.file is not None or (step.language == "sh" and (FULL or not step.slow))


@dataclass
class Newcomer:
    """A fresh clone, an empty home, and what the programs that were saved should print."""

    clone: Path
    home: Path
    prints: list[str] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """The variables of a new login; pkg-config knows no package, and so no cmocka."""
        stored = {
            name: value
            for name, value in os.environ.items()
            if name in NEEDED or not name.startswith(PRIVATE)
        }
        path = [each for each in stored["PATH"].split(":") if f"{ROOT}/" not in f"{each}/"]
        # Compilers that do what a newcomer's do in less time, see dev.d/test-package.
        path = [*filter(None, [os.environ.get("SLABBY_UNOPTIMISED")]), *path]
        return {**stored, "PATH": ":".join(path), "HOME": str(self.home)}

    def save(self, step: Step) -> None:
        assert step.file is not None
        name = step.file.replace("~", str(self.home), 1)
        file = self.clone / name
        assert file.parent.is_dir(), f"{step.page}:{step.line}: {file.parent} is not there yet"
        file.write_text(step.text, encoding="utf-8")
        self.prints = re.findall(r"(?:#|//|/\*) prints: (.*?)(?: \*/)?$", step.text, re.MULTILINE)

    def run(self, step: Step) -> str:
        environment = self.environment()
        if step.page == "README.md":
            nothing = self.home.parent / "no packages"
            nothing.mkdir(exist_ok=True)
            environment["PKG_CONFIG_LIBDIR"] = str(nothing)
        done = subprocess.run(
            ["sh", "-eu", "-c", step.text],
            cwd=self.clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=3600 if FULL else 600,
            check=False,
        )
        where = f"{step.page}:{step.line}"
        assert done.returncode == 0, (
            f"{where} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout


@pytest.fixture
def newcomer() -> Iterator[Newcomer]:
    """The files that git knows, in a repository of their own.

    Its path has no space, which pkg-config's output would not survive in a shell.
    """
    (ROOT / "build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="newcomer-", dir=ROOT / "build"))
    clone, home = folder / "slabby", folder / "home"
    home.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name, follow_symlinks=False)
    subprocess.run(["git", "init", "-q", clone], check=True)
    yield Newcomer(clone, home)
    subprocess.run(["chmod", "-R", "u+w", folder], check=True)  # Go's module cache is read-only
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page(newcomer: Newcomer, page: str) -> None:
    ran = 0
    for step in filter(wanted, steps(page)):
        if step.file is not None:
            newcomer.save(step)
            continue
        printed = newcomer.run(step)
        ran += 1
        if RUNS.search(step.text):
            assert printed.splitlines()[-len(newcomer.prints) :] == newcomer.prints
    assert ran >= {"README.md": 5, "CONTRIBUTING.md": 1}[page]
    if page == "README.md":
        cache = (newcomer.clone / "build/CMakeCache.txt").read_text(encoding="utf-8")
        assert "CMOCKA" not in cache


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_dev_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    usage = subprocess.run(
        [ROOT / "dev", "help"], capture_output=True, text=True, check=True
    ).stdout
    for name in set(re.findall(r"\./dev ([a-z-]+)", text)) - {"help", "installs"}:
        assert (ROOT / "dev.d" / name).is_file(), f"{page}: ./dev {name}"
        assert re.search(rf"^  {name} ", usage, re.MULTILINE), f"./dev help does not list {name}"


def test_contributing_lists_every_command_of_dev() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    usage = subprocess.run(
        [ROOT / "dev", "help"], capture_output=True, text=True, check=True
    ).stdout
    for name in re.findall(r"^  ([a-z-]+) ", usage, re.MULTILINE):
        assert f"| `./dev {name}" in text, f"CONTRIBUTING.md does not list ./dev {name}"


def test_contributing_lists_every_part_of_the_tests() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for script in (ROOT / "dev.d").glob("test-*"):
        part = script.name.removeprefix("test-")
        assert f"| `{part}` |" in text, f"CONTRIBUTING.md does not list the part {part}"


def test_python_and_go_programs_print_what_they_say() -> None:
    """So that the comparison above compares something."""
    for page_step in steps("README.md"):
        if page_step.file is not None:
            assert page_step.text.count("prints: ") == 3, page_step.file
