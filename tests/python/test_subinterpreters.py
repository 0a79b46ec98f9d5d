# SPDX-License-Identifier: GPL-3.0-or-later
"""Interpreters that come and go in one process: each has types and errors of its own, and ends without a trace."""

from __future__ import annotations

import sys

import pytest
import slabby

USE = """
import slabby
pool = slabby.Allocator(64, 2, name='inner')
first, second = pool.allocate_batch(2)
try:
    pool.allocate()
    raise SystemExit('a third slab of two')
except slabby.OutOfMemoryError as error:
    assert 'inner' in str(error), error
view = memoryview(first)
view[:3] = b'abc'
try:
    first.release()
    raise SystemExit('a pinned slab was released')
except slabby.PinnedError:
    pass
view.release()
first.release()
slab, number = pool.allocate_fast()
pool.deallocate_fast(number)
second.release()
assert slabby.backend() == {backend!r}, slabby.backend()
"""

# 3.13 renamed the module; 3.11 knows no interpreter with a lock of its own.
RUN = """
import sys
try:
    import _interpreters as interpreters
    def create(own_lock):
        return interpreters.create('isolated' if own_lock else 'legacy')
except ImportError:
    import _xxsubinterpreters as interpreters
    def create(own_lock):
        return interpreters.create(isolated=own_lock)

def run_in(interpreter, code):
    failure = interpreters.run_string(interpreter, code)
    assert failure is None, failure

def run(code, own_lock):
    interpreter = create(own_lock)
    run_in(interpreter, code)
    interpreters.destroy(interpreter)
"""

OWN_LOCK = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="3.12 has interpreters with a lock of their own"
)


def inner(backend: str) -> str:
    return USE.replace("{backend!r}", repr(backend))


def succeed(run_script, program: str, *lines: str) -> None:
    done = run_script(RUN + program)
    assert (done.returncode, done.stdout.splitlines()) == (0, list(lines)), done.stderr


def test_the_main_interpreter_goes_on_after_another_ended(run_script):
    code = inner(slabby.backend())
    program = f"code = {code!r}\nrun(code, False)\nexec(code)\nrun(code, False)\nexec(code)\nprint('well')\n"
    succeed(run_script, program, "well")


def test_a_pool_of_the_main_interpreter_outlives_another(run_script):
    code = inner(slabby.backend())
    program = f"""
import slabby
pool = slabby.Allocator(64, 1, name='outer')
ref = pool.allocate()
for _ in range(5):
    run({code!r}, False)
    try:
        pool.allocate()
    except slabby.OutOfMemoryError as error:
        assert 'outer' in str(error) and type(error) is slabby.OutOfMemoryError
ref.release()
print(pool.stats().used_slabs)
"""
    succeed(run_script, program, "0")


@OWN_LOCK
def test_interpreters_with_a_lock_of_their_own_use_swig(run_script, monkeypatch):
    monkeypatch.delenv("SLABBY_BACKEND", raising=False)
    code = inner("swig")
    program = (
        f"code = {code!r}\n"
        + "run(code, True)\n" * 3
        + "import slabby\nprint('well')\nrun(code, True)\n"
    )
    succeed(run_script, program, "well")


@OWN_LOCK
def test_cffi_is_refused_by_name_where_it_cannot_work(run_script, monkeypatch):
    monkeypatch.setenv("SLABBY_BACKEND", "cffi")
    code = """
try:
    import slabby
except ImportError as error:
    assert 'cffi' in str(error) and 'SLABBY_BACKEND=swig' in str(error), error
    assert error.name == 'cffi'
else:
    raise SystemExit('cffi was not refused')
"""
    succeed(run_script, f"run({code!r}, True)\nprint('refused')\n", "refused")


def test_what_needs_a_daemon_thread_says_so_where_there_are_none(run_script, monkeypatch):
    monkeypatch.setenv("SLABBY_BACKEND", "swig")
    code = """
import os
import sys
import slabby
calls = [slabby.start_event_logging]
if sys.version_info >= (3, 13):  # importing hashlib in such an interpreter of 3.12 ends the process
    from slabby.server import serve
    calls.append(lambda: serve(address=':0'))
before = len(os.listdir('/proc/self/fd')) if os.path.exists('/proc/self/fd') else 0
for call in calls:
    try:
        call()
    except slabby.NotSupportedError as error:
        assert 'subinterpreter' in str(error) and error.hint not in str(error), error
    else:
        raise SystemExit('no error')
slabby.stop_event_logging()
after = len(os.listdir('/proc/self/fd')) if before else 0
assert after == before, (before, after)
"""
    succeed(run_script, f"run({code!r}, True)\nprint('refused')\n", "refused")


@OWN_LOCK
def test_interpreters_with_locks_of_their_own_run_at_once(run_script, monkeypatch):
    """One pool under four interpreters that do not wait for each other: nothing is lost, no refusal is false.

    They begin and end one after the other: CPython 3.12.1 crashes in development mode where they do so at once,
    whatever they run."""
    monkeypatch.setenv("SLABBY_BACKEND", "swig")
    program = """
import threading
import slabby
pool = slabby.Allocator(64, 400)
address, instance = pool.handle()
begin = f'''
import slabby
pool = slabby.Allocator.adopt({address}, {instance})
'''
code = '''
for number in range(4000):
    refs = pool.allocate_batch(number % 100 or 1)
    refs[0][:1] = b"x"
    assert pool.deallocate_batch(refs) == len(refs)
del refs, pool
'''
inner = [create(True) for _ in range(4)]
for interpreter in inner:
    run_in(interpreter, begin)
threads = [threading.Thread(target=run_in, args=(interpreter, code)) for interpreter in inner]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for interpreter in inner:
    interpreters.destroy(interpreter)
stats = pool.stats()
assert pool.verify() == []
print(stats.used_slabs, any(stats.errors.values()), stats.total_allocations)
"""
    total = 4 * sum(number % 100 or 1 for number in range(4000))
    succeed(run_script, program, f"0 False {total}")
