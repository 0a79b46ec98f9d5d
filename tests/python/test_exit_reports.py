# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options that find leaks report when the interpreter ends: each live slab once, with its stack."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import slabby
pool = slabby.Allocator(64, 8, name="orders", {option})
def load_order():
    return pool.allocate()
released = load_order()
released.release()
detached = load_order().detach()
{keep}
"""

KEEPS = {
    "a global": "kept = load_order()",
    "a view": "kept = memoryview(load_order())",
    "a cycle": "class Node: pass\nnode = Node(); node.me = node; node.ref = load_order()",
    "another module": "import json\njson.kept = load_order()",
    "a daemon thread": (
        "import threading, time\nref = load_order()\n"
        "threading.Thread(target=lambda: time.sleep(60), daemon=True).start()"
    ),
    "the end of the pool": "kept = load_order()\npool.close()",
}


def run(text: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, *flags, "-c", text)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("option", ["finalizers=True", "debug=True"])
@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("flags", [(), ("-X", "dev")], ids=["plain", "dev"])
def test_each_live_slab_is_reported_once_with_its_stack(option, keep, flags):
    done = run(PROGRAM.format(option=option, keep=KEEPS[keep]), *flags)
    assert done.returncode == 0
    reports = done.stderr.count("ResourceWarning")
    assert reports == 1, done.stderr
    assert "SlabRef orders:" in done.stderr
    assert "was not released when the interpreter ended" in done.stderr
    assert "in load_order" in done.stderr
    assert "Exception ignored" not in done.stderr and "Error" not in done.stderr, done.stderr


def test_who_silences_warnings_gets_none():
    done = run(PROGRAM.format(option="finalizers=True", keep=KEEPS["a global"]), "-W", "ignore")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_report_is_an_event_too():
    done = run(
        PROGRAM.format(option="finalizers=True", keep=KEEPS["a global"])
        + "import atexit, slabby._leaks\n"
        "atexit.unregister(slabby._leaks._report_at_exit)\n"
        "slabby._leaks._report_at_exit()\n"
        "print(pool.stats().leaks, [e.text for e in pool.events()][-1], kept.is_valid)\n"
    )
    assert done.stdout.startswith("1 slab "), done.stdout + done.stderr
    assert "in load_order" in done.stdout and done.stdout.endswith("True\n")


def test_without_these_options_nothing_is_captured():
    done = run(PROGRAM.format(option="secure=True", keep=KEEPS["a global"]))
    assert (done.returncode, done.stderr) == (0, "")


MANY = """
import slabby, sys, warnings
pool = slabby.Allocator(64, 8, name="orders", finalizers=True)
def load_order():
    return pool.allocate()
refs = [load_order() for _ in range(4)]
"""


def test_what_is_released_during_the_report_is_left_out():
    """As a thread does that goes on, and the collector, which may run at any moment."""
    done = run(
        MANY + "def show(message, *rest):\n"
        "    print(str(message).partition(';')[0])\n"
        "    if refs: refs.pop().release(); refs.pop(0).release()\n"
        "warnings.showwarning = show\n"
    )
    assert done.returncode == 0
    assert done.stdout.count("was not released when the interpreter ended") == 2, done.stdout
    assert done.stderr == ""


def test_warnings_that_are_errors_are_reported_each():
    done = run(MANY, "-W", "error")
    assert done.returncode == 0
    assert done.stderr.count("was not released when the interpreter ended") == 4, done.stderr
    assert "Exception ignored" not in done.stderr
