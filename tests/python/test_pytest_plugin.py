# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest --slabby-leaks, in runs of pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest
import slabby

pool = slabby.Allocator(64, 100, name="global", finalizers=True)
held = []

@pytest.fixture
def slab():
    with pool.allocate() as ref:
        yield ref

@pytest.fixture(scope="module")
def of_the_module():
    refs = pool.allocate_batch(3)
    yield refs
    refs.release()

@pytest.fixture
def forgets():
    held.append(pool.allocate())

def test_well(slab):
    pool.allocate().release()

def test_well_with_a_wider_fixture(of_the_module, slab):
    assert of_the_module[0].is_valid

def test_holds():
    held.append(pool.allocate())

def test_holds_a_fast_one():
    held.append(pool.allocate_fast()[0])

def test_fixture_holds(forgets):
    pass

def test_drops():
    pool.allocate()

def test_holds_in_a_closed_pool_of_its_own():
    with slabby.Allocator(64, 1, name="inner") as inner:
        held.append(inner.allocate())

def test_drops_with_its_pool():
    slabby.Allocator(64, 1, name="short").allocate()

@pytest.mark.slabby_leaks_allowed
def test_may():
    held.append(pool.allocate())

def test_fails_and_holds():
    held.append(pool.allocate())
    assert False, "for its own reason"

def test_well_at_the_end(slab):
    pass
"""
HOLDERS = {
    "test_holds",
    "test_holds_a_fast_one",
    "test_fixture_holds",
    "test_drops",
    "test_holds_in_a_closed_pool_of_its_own",
    "test_drops_with_its_pool",
    "test_fails_and_holds",
}


# Pytest holds what a failed test leaves in its traceback until the next test, and sys.last_traceback does, too.
INNOCENT = """
import slabby

pool = slabby.Allocator(64, 100, name="global")
other = []

def test_fails():
    ref = pool.allocate()
    other.append(pool.allocate())
    assert False, "for its own reason"

def test_innocent():
    other.clear()

def test_innocent_too():
    pass

def test_drops():
    pool.allocate()
"""


def run_pytest(folder: Path, *arguments: str, tests: str = TESTS) -> str:
    (folder / "test_slabs.py").write_text(tests, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        # Other plugins of this environment, which take longer to load than the tests to run.
        *("-p", "no:hypothesispytest", "-p", "no:anyio"),
        "-rA",
        *arguments,
        str(folder),
    ]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def named(kind: str, output: str) -> set[str]:
    return set(re.findall(rf"^{kind} .*::(\w+)", output, flags=re.MULTILINE))


def test_without_the_option_nothing_is_checked(tmp_path):
    output = run_pytest(tmp_path)
    assert named("FAILED", output) == {"test_fails_and_holds"}
    assert named("ERROR", output) == set()


def test_tests_that_leave_slabs_behind_fail(tmp_path):
    output = run_pytest(tmp_path, "--slabby-leaks")
    assert named("ERROR", output) == HOLDERS
    assert named("FAILED", output) == {"test_fails_and_holds"}
    assert "for its own reason" in output
    assert "of pool 'global' is live, allocated at:" in output
    assert "held.append(inner.allocate())" not in output.split("allocated at:")[0]
    assert "of pool 'inner' is live" in output
    assert "of allocate_fast() of pool 'global' is live" in output


def test_what_a_failed_test_held_is_not_the_next_ones(tmp_path):
    output = run_pytest(tmp_path, "--slabby-leaks", tests=INNOCENT)
    assert named("ERROR", output) == {"test_fails", "test_drops"}
