# SPDX-License-Identifier: GPL-3.0-or-later
"""An installation of the library in a directory whose name has a space."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(command: Sequence[str | Path], **environment: str) -> str:
    """Runs a command that must succeed; its output is the failure's message otherwise."""
    result = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, f"{command} ended with {result.returncode}:\n{result.stdout}"
    return result.stdout


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out of tree")


@pytest.fixture(scope="session")
def library_build(scratch: Path) -> Path:
    """A release build of the library and the examples."""
    build = scratch / "library build"
    settings = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DSLABBY_BUILD_TESTS=OFF",
        "-DSLABBY_BUILD_EXAMPLES=ON",
    ]
    settings += [f"-DCMAKE_INSTALL_PREFIX={scratch / 'first prefix'}", "-DCMAKE_INSTALL_LIBDIR=lib"]
    run(["cmake", "-G", "Ninja", "-S", ROOT, "-B", build, *settings])
    run(["cmake", "--build", build])
    return build


@pytest.fixture(scope="session")
def prefix(scratch: Path, library_build: Path) -> Path:
    """Installs the build, then moves it: nothing may remember where it was first."""
    first, moved = scratch / "first prefix", scratch / "moved prefix"
    run(["cmake", "--install", library_build])
    shutil.move(first, moved)
    return moved


@pytest.fixture(scope="session")
def drop_in(scratch: Path) -> Path:
    """The single-file form: slabby.c and slabby.h in a directory of their own."""
    directory = scratch / "drop in"
    directory.mkdir()
    run([sys.executable, ROOT / "bindings/gen/amalgamate.py", directory])
    return directory


@pytest.fixture(scope="session")
def drop_in_object(scratch: Path, drop_in: Path) -> Path:
    """The single file, compiled by one command without a warning."""
    library = scratch / "slabby.o"
    run(["cc", "-std=c11", "-O2", *WARNINGS, "-c", drop_in / "slabby.c", "-o", library])
    return library
