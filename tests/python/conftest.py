# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test runs over the backend that SLABBY_BACKEND names; the part "python" runs them over both."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import slabby

LIBRARY = Path(slabby.__file__).with_name("libslabby.so.0")
FULL = bool(os.environ.get("SLABBY_FULL"))
QUICK = bool(os.environ.get("SLABBY_QUICK"))


def rounds(full: int, usual: int, quick: int) -> int:
    """How often something random is tried, by `./dev test`'s --full and --quick."""
    return full if FULL else quick if QUICK else usual


def pytest_configure(config: pytest.Config) -> None:
    # A dropped reference, or anything else worth a warning, fails the test that did not expect it.
    config.addinivalue_line("filterwarnings", "error")


def pytest_collection_finish() -> None:
    # What imports left is not looked at again by each of the many collections that tests ask for.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    # Hypothesis may be loaded as late as now, and looks for referrers among all objects.
    gc.unfreeze()


@pytest.fixture
def pool() -> Iterator[slabby.Allocator]:
    """A small pool that must be sound, and have every slab back, when the test is over."""
    with slabby.Allocator(4096, 100, name="test") as allocator:
        yield allocator
        assert allocator.stats().used_slabs == 0
        assert allocator.verify() == []


@pytest.fixture(scope="session")
def c_core() -> ctypes.CDLL:
    """The core as a C program in the same process calls it, without the GIL."""
    core = ctypes.CDLL(str(LIBRARY))
    core.slabby_release.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    core.slabby_release.restype = ctypes.c_int32
    return core


Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_script(tmp_path: Path) -> Script:
    """Runs a program in an interpreter of its own in development mode, and returns what it did."""

    def run(text: str, *flags: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "program.py"
        file.write_text(text, encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-X", "dev", *flags, str(file)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
