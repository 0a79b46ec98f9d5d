# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the tree to break on purpose, and the tools of bindings/gen run inside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What the contract's tools read and write.
FOLDERS = ("bindings", "core", "docs", "go", "python", "swig", "tests/conformance")
FILES = (".gitattributes",)
AMALGAMATED = "amalgamated"
NEVER = shutil.ignore_patterns("__pycache__", "*.so*", "*.o", "build", ".cache", "*.egg-info")

# As plain data, not through the tools under test: what the tests break, and the numbers they
# expect, follow it when a status, an option, a field or a function is added.
LISTED: dict[str, Any] = tomllib.loads(
    (ROOT / "bindings/contract.toml").read_text(encoding="utf-8")
)
LAST_STATUS: dict[str, Any] = LISTED["status"][-1]
NEXT_CODE: int = LAST_STATUS["code"] - 1


def status_entry(status: dict[str, Any]) -> str:
    """The contract's entry of a status, as it stands there."""
    lines = [
        f'name = "{status["name"]}"',
        f"code = {status['code']}",
        f'python = "{status["python"]}"',
        f'message = "{status["message"]}"',
    ]
    return "\n".join(["[[status]]", *lines, ""])


def first_to_answer(status: dict[str, Any]) -> str:
    """The first function whose entry lists the status."""
    name = status["name"]
    return str(next(each["name"] for each in LISTED["function"] if name in each["statuses"]))


@dataclass(frozen=True)
class Outcome:
    status: int
    text: str

    def failed(self) -> list[str]:
        """The lines below each failed check, and failures without a check."""
        lines = self.text.splitlines()
        return [line.strip() for line in lines if line.startswith(("FAILED", "        "))]


@dataclass(frozen=True)
class Tree:
    """A tree of its own below `root`."""

    root: Path
    # Where the generators put single files of the core that they have made, to find them again.
    amalgamated: Path | None = None

    def replace(self, path: str, old: str, new: str) -> None:
        """Edits a file; `old` must stand there exactly once, or the test means nothing."""
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path} has {text.count(old)} times {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def line_of(self, path: str, text: str) -> int:
        """The number of the first line that begins with `text`."""
        lines = (self.root / path).read_text(encoding="utf-8").splitlines()
        return next(at for at, line in enumerate(lines, start=1) if line.startswith(text))

    def run(self, tool: str, *arguments: str, bare: bool = False) -> Outcome:
        """Runs a tool of bindings/gen; bare: without site packages and without other programs."""
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        if self.amalgamated is not None:
            environment["SLABBY_AMALGAMATED"] = str(self.amalgamated)
        if bare:
            environment["PATH"] = str(self.root / "no-programs-here")
        command = [sys.executable, *(["-S"] if bare else []), f"bindings/gen/{tool}", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    def check(self, *arguments: str, bare: bool = True) -> Outcome:
        return self.run("check.py", *arguments, bare=bare)


def copy_folders(source: Path, target: Path) -> None:
    for folder in FOLDERS:
        if (source / folder).is_dir():
            shutil.copytree(source / folder, target / folder, ignore=NEVER)
    for file in FILES:
        shutil.copy(source / file, target / file)


@pytest.fixture
def checked_in(tmp_path: Path) -> Tree:
    """The tree as it is, to be judged."""
    root = tmp_path / "checked in"
    copy_folders(ROOT, root)
    return Tree(root)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with its outputs written anew, so that one drift does not hide another."""
    root = tmp_path_factory.mktemp("pristine")
    copy_folders(ROOT, root)
    (root / AMALGAMATED).mkdir()
    outcome = Tree(root, root / AMALGAMATED).run("generate.py")
    assert outcome.status == 0, outcome.text
    return root


@pytest.fixture
def tree(pristine: Path, tmp_path: Path) -> Tree:
    """A sound tree, to be broken."""
    root = tmp_path / "a tree"
    copy_folders(pristine, root)
    return Tree(root, pristine / AMALGAMATED)
