# SPDX-License-Identifier: GPL-3.0-or-later
"""slabby.statistics(): what a block did with a pool."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest
import slabby


def test_a_block_counts_what_happened_in_it(pool):
    before = pool.allocate_batch(10)
    pool.deallocate_batch(before)
    held = pool.allocate()
    with slabby.statistics(pool) as block:
        batch = pool.allocate_batch(5)
        pool.deallocate_batch(batch)
        pool.allocate().release()
        last = pool.allocate()
        slab, number = pool.allocate_fast()
        assert (block.allocations, block.releases, block.live, block.peak) == (8, 6, 2, 6)
        pool.deallocate_fast(number)
    numbers = (block.allocations, block.releases, block.live, block.peak, block.failures)
    assert numbers == (8, 7, 1, 6, 0)
    assert (block.allocated_bytes, block.peak_bytes) == (8 * 4096, 6 * 4096)
    last.release()
    held.release()
    pool.allocate_batch(20).release()
    assert numbers == (block.allocations, block.releases, block.live, block.peak, block.failures)


def test_blocks_nest_and_each_has_its_peak(pool):
    with slabby.statistics(pool) as outer:
        pool.allocate_batch(7).release()
        with slabby.statistics(pool) as inner:
            pool.allocate_batch(3).release()
        pool.allocate_batch(5).release()
    assert (inner.allocations, inner.peak) == (3, 3)
    assert (outer.allocations, outer.peak) == (15, 7)
    with slabby.statistics(pool) as later:
        pass
    assert (later.allocations, later.peak) == (0, 0)


def test_blocks_that_overlap(pool):
    first, second = slabby.statistics(pool), slabby.statistics(pool)
    with first:
        pool.allocate_batch(2).release()
        second.__enter__()
        pool.allocate_batch(4).release()
    pool.allocate_batch(6).release()
    second.__exit__(None, None, None)
    assert (first.peak, second.peak) == (4, 6)
    assert (first.allocations, second.allocations) == (6, 10)


def test_refusals_and_leaks_count():
    with slabby.Allocator(64, 2, name="small") as pool, slabby.statistics(pool) as block:
        refs = pool.allocate_batch(2)
        for _ in range(3):
            with pytest.raises(slabby.OutOfMemoryError):
                pool.allocate()
        refs[0].release()
        with pytest.raises(slabby.DoubleDeallocationError):
            refs[0].release()
        with pytest.warns(ResourceWarning):
            del refs
        assert (block.failures, block.leaks, block.live) == (3, 1, 0)
    assert block.errors == {
        slabby.Status.OUT_OF_MEMORY: 3,
        slabby.Status.DOUBLE_DEALLOCATION: 1,
    }
    assert repr(block) == (
        "<statistics of small: 2 allocations, 2 releases, 0 live, 2 peak, 3 failures, 1 leaks>"
    )
    assert "<caption>Statistics of small</caption>" in block._repr_html_()


def test_every_way_to_allocate_raises_the_peak(pool):
    async def in_a_task() -> slabby.SlabRef:
        return await pool.acquire_async()

    ways = (
        pool.allocate,
        pool.acquire,
        lambda: pool.allocate(timeout=1),
        lambda: asyncio.run(in_a_task()),
        lambda: pool.acquire_batch(1)[0],
        lambda: pool.from_ref(pool.allocate().detach(), owning=True),
    )
    for way in ways:
        with slabby.statistics(pool) as block:
            way().release()
        assert (block.peak, block.live) == (1, 0), way


def test_other_threads_and_handles_count(pool):
    other = slabby.Allocator.adopt(*pool.handle())
    with slabby.statistics(pool) as block:
        held = other.allocate_batch(4)
        thread = threading.Thread(target=lambda: pool.allocate().release())
        thread.start()
        thread.join()
        held.release()
    assert (block.allocations, block.releases, block.peak) == (5, 5, 5)


def test_an_open_block_cannot_be_entered_again(pool):
    with slabby.statistics(pool) as block, pytest.raises(RuntimeError, match="is open"):
        block.__enter__()
    with block:
        pool.allocate().release()
    assert block.allocations == 1


def test_a_peak_between_two_reads_is_every_open_blocks():
    """Another thread may allocate at any moment, here in the middle of the block's beginning and of its end."""

    class Busy(slabby.Allocator):
        def stats(self) -> slabby.Stats:
            found = super().stats()
            self.allocate_batch(5).release()
            return found

    with Busy(64, 10) as pool, slabby.statistics(pool) as outer:
        inner = slabby.statistics(pool)
        for step in (inner.__enter__, lambda: inner.__exit__(None, None, None)):
            pool._take_peak(True)
            outer._peak = 0
            step()
            assert outer._peak == 5


def test_the_collector_may_end_a_block_while_another_is_read(run_script):
    program = """
import gc, slabby

class Collecting(slabby.Allocator):
    def stats(self):
        gc.collect()
        return super().stats()

def measured(pool):
    with slabby.statistics(pool):
        yield

pool = Collecting(64, 4)
with slabby.statistics(pool) as block:
    cycle = [measured(pool)]
    cycle.append(cycle)
    next(cycle[0])
    del cycle
    pool.allocate_batch(3).release()
    print(block.allocations, block.peak)
"""
    done = run_script(program)
    assert (done.returncode, done.stdout) == (0, "3 3\n"), done.stderr


def test_an_exception_ends_the_block(pool):
    block = slabby.statistics(pool)
    with pytest.raises(ZeroDivisionError), block:
        pool.allocate().release()
        raise ZeroDivisionError
    pool.allocate().release()
    assert (block.allocations, block.peak) == (1, 1)


def test_a_block_that_was_dropped_does_not_keep_its_pool():
    pool = slabby.Allocator(64, 4, name="of a dropped block")
    slabby.statistics(pool).__enter__()
    block = slabby.statistics(pool).__enter__()
    with slabby.statistics(pool):
        held = pool.allocate_batch(3)
    held.release()
    assert (block.peak, block.allocations) == (3, 3)
    known = weakref.ref(pool)
    del pool, block, held
    gc.collect()
    assert known() is None
    assert "of a dropped block" not in [each.name for each in slabby.pools()]


def test_a_child_of_fork_measures_while_a_thread_of_the_parent_does(run_script):
    done = run_script(
        """
import os, signal, threading, warnings, slabby
from slabby import _statistics
warnings.simplefilter("ignore", DeprecationWarning)
pool = slabby.Allocator(64, 4)
held, over = threading.Event(), threading.Event()

def measure():
    with _statistics._lock:
        held.set()
        over.wait()

slabby.statistics(pool)
thread = threading.Thread(target=measure)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    with slabby.statistics(pool) as block:
        pool.allocate().release()
    os._exit(0 if block.allocations == 1 else 1)
print(os.waitpid(child, 0)[1])
over.set()
thread.join()
"""
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
