# SPDX-License-Identifier: GPL-3.0-or-later
"""acquire_batch() beside forks, signals, greenlets, closed loops, resize(), the heap and an open breaker."""

from __future__ import annotations

import asyncio
import gc
import select
import sys
import threading
import types
from collections.abc import Iterator

import pytest
import slabby
from conftest import Script, rounds


@pytest.fixture
def pool() -> Iterator[slabby.Allocator]:
    """Four slabs, which are all there again when the test is over."""
    with slabby.Allocator(64, 4) as pool:
        yield pool
        gc.collect()
        stats = pool.stats()
        assert (stats.used_slabs, stats.waiters, stats.leaks) == (0, 0, 0)
        assert pool.verify() == []


def test_a_child_of_fork_waits_while_threads_of_the_parent_begin_to(run_script: Script) -> None:
    done = run_script(
        f"forks = {rounds(1500, 150, 50)}\n"
        """
import os, signal, threading, warnings, slabby
warnings.simplefilter("ignore", DeprecationWarning)
pool = slabby.Allocator(64, 64)
held = pool.allocate_batch(60)
stop = threading.Event()

def wait():
    try:
        pool.acquire_batch(40, 0.0001)
    except slabby.TimeoutError:
        return
    os._exit(1)

def load():
    while not stop.is_set():
        wait()

threads = [threading.Thread(target=load) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(forks):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        wait()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
held.release()
print("well")
"""
    )
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_a_signal_handler_waits_while_its_thread_begins_to(run_script: Script) -> None:
    done = run_script(
        f"turns = {rounds(5000, 1000, 300)}\n"
        """
import faulthandler, signal, slabby
faulthandler.dump_traceback_later(60, exit=True)
pool = slabby.Allocator(64, 64)
held = pool.allocate_batch(60)

def wait(*_):
    try:
        pool.acquire_batch(40, 0.0001)
    except slabby.TimeoutError:
        pass

signal.signal(signal.SIGALRM, wait)
signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
for _ in range(turns):
    wait()
signal.setitimer(signal.ITIMER_REAL, 0)
held.release()
print("well")
"""
    )
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_a_batch_in_a_patched_process_goes_through_select(pool, monkeypatch):
    """select is what lets other greenlets run: the one that releases runs nowhere else."""
    held = pool.allocate_batch(4)

    def cooperative(*_):
        held.release()
        held.clear()
        return [], [], []

    mark = types.ModuleType("gevent.monkey")
    mark.is_module_patched = lambda module: module == "select"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent.monkey", mark)
    monkeypatch.setattr(select, "select", cooperative)
    with pool.acquire_batch(2, 60) as refs:
        assert len(refs) == 2
    assert not held


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, slabby
pool = slabby.Allocator(64, 4)
held = pool.allocate_batch(4)
def release():
    while pool.stats().waiters < 2:
        gevent.sleep(0)
    held.release()
gevent.spawn(release)
with pool.acquire_batch(2, timeout=60):
    print("well")
"""


def test_a_batch_lets_greenlets_run(run_script: Script) -> None:
    pytest.importorskip("gevent")
    done = run_script(GREENLETS, "-W", "ignore")
    assert done.stdout == "well\n"


def shrink_below(pool: slabby.Allocator, held: slabby._batch.Batch) -> None:
    """Makes the pool too small for a batch of three that waits and has a slab already."""
    held.pop().release()
    while pool.stats().waiters != 2:
        pass
    pool.resize(2)
    held.release()


def test_a_batch_that_resize_made_impossible_ends(pool):
    held = pool.allocate_batch(4)
    failures = []

    def wait() -> None:
        try:
            pool.acquire_batch(3)
        except slabby.InvalidBatchSizeError as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while pool.stats().waiters != 3:
        pass
    shrink_below(pool, held)
    # The pool goes on for others.
    with pool.acquire(60):
        pass
    thread.join(60)
    assert [(failure.value, failure.maximum) for failure in failures] == [(3, 2)]


@pytest.mark.parametrize("runner", ["asyncio", "trio"])
def test_so_does_one_in_a_loop(pool, runner):
    pytest.importorskip("anyio" if runner == "trio" else "asyncio")
    held = pool.allocate_batch(4)

    def shrink() -> None:
        while pool.stats().waiters != 3:
            pass
        shrink_below(pool, held)

    thread = threading.Thread(target=shrink)
    thread.start()
    with pytest.raises(slabby.InvalidBatchSizeError, match="1 to 2 slabs"):
        if runner == "trio":
            import trio

            trio.run(pool.acquire_batch_async, 3)
        else:
            asyncio.run(pool.acquire_batch_async(3))
    thread.join()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("timeout", [None, 60])
def test_a_closed_loop_gives_back_the_slabs_of_a_batch(pool, taken, timeout):
    held = pool.allocate_batch(4)
    loop = asyncio.new_event_loop()
    task = loop.create_task(pool.acquire_batch_async(3, timeout))

    async def until_waiting(count: int) -> None:
        while pool.stats().waiters != count:
            await asyncio.sleep(0)

    loop.run_until_complete(until_waiting(3))
    for _ in range(2):
        held.pop().release()
    if taken:
        loop.run_until_complete(asyncio.sleep(0.01))
    assert pool.stats().used_slabs == 4
    loop.close()
    # At once, although the task lives.
    assert (pool.stats().used_slabs, pool.stats().waiters) == (2, 0)
    assert not task.done()
    with pool.acquire(60):
        pass
    held.release()


def test_a_batch_waits_for_slabs_of_the_heap_too():
    with slabby.Allocator(64, 4, heap_fallback=True, heap_fallback_limit=4) as pool:
        held = pool.allocate_batch(4)
        with pool.acquire_batch(2, 60):
            pass
        assert pool.stats().allocation_errors == 0
        with pytest.raises(slabby.InvalidBatchSizeError, match="count is 9, .* 1 to 8 slabs"):
            pool.acquire_batch(9, 60)
        assert len(held) == 4
        held.release()
        with pool.acquire_batch(8, 60) as refs:
            assert len(refs) == 8
        held = pool.allocate_batch(6)
        timer = threading.Timer(0.03, held.release)
        timer.start()
        with pool.acquire_batch(8, 60):
            pass
        timer.join()


def test_an_open_breaker_refuses_a_batch_and_names_the_pool(recwarn):
    with slabby.Allocator(64, 2, name="orders") as pool, pool.allocate_batch(2):
        pool.breaker_force("forced_open")
        with pytest.raises(slabby.CircuitBreakerOpenError, match="pool orders"):
            pool.acquire_batch(2)
        with pytest.raises(slabby.CircuitBreakerOpenError, match="pool orders"):
            asyncio.run(pool.acquire_batch_async(2, 60))
        gc.collect()
        assert not [str(warning.message) for warning in recwarn]
        pool.breaker_force("normal")


def test_a_batch_in_vain_names_a_pool_without_a_name_by_its_label(pool):
    with (
        pool.allocate_batch(4),
        pytest.raises(
            slabby.TimeoutError, match=f"pool {slabby.pool_label(pool)} has 4 of its 4 slabs in use"
        ),
    ):
        pool.acquire_batch(2, 0.001)


def test_without_a_descriptor_a_batch_is_refused(run_script: Script) -> None:
    """Its modules are there since the first pool: none could be read now."""
    done = run_script(
        """
import asyncio, os, resource, slabby
pool = slabby.Allocator(64, 2)
held = pool.allocate_batch(2)
with asyncio.Runner() as runner:
    runner.get_loop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    refused = 0
    try:
        pool.acquire_batch(2, 60)
    except slabby.NoSystemMemoryError:
        refused += 1
    try:
        runner.run(pool.acquire_batch_async(2, 60))
    except slabby.NoSystemMemoryError:
        refused += 1
    for descriptor in taken:
        os.close(descriptor)
held.release()
print(refused)
"""
    )
    assert (done.stdout, done.stderr) == ("2\n", "")
