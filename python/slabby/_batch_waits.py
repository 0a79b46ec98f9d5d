# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for several slabs at once.

A batch of N takes N tickets in a row. Slabs are granted first come, first served, so the batch that joined first gets
all its slabs before the next batch gets one. So two batches never each hold slabs that the other needs.
"""

from __future__ import annotations

import select
import sys
import time
import weakref

from slabby._batch import Batch
from slabby._errors import ClosedError, OutOfMemoryError, TimeoutError
from slabby._monkey import is_patched
from slabby._option_values import NANOSECONDS, duration_text, integer, nanoseconds
from slabby._raise import batch_limit, refuse_batch
from slabby._readable import readable, running_loop
from slabby._status import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from datetime import timedelta
    from typing import NoReturn

    from slabby._allocator import Allocator
    from slabby._types import SlabRef


# A resize() after which the pool is too small ends the wait of a batch after this time at the latest.
SLICE_NS = 100_000_000


class BatchWait:
    """The tickets of one batch, and the slabs that they have brought so far."""

    def __init__(self, pool: Allocator, count: int, timeout: float | timedelta | None) -> None:
        wait_ns = _wait_ns(timeout)
        self._end_ns = None if wait_ns is None else time.monotonic_ns() + wait_ns
        self._pool = pool
        self._count = count
        self._timeout = timeout
        self._got: dict[int, SlabRef] = {}
        self._listener = pool.listener()
        self.fd = self._listener.fd
        self.ready: asyncio.Future[None] | None = None
        """Where a task of asyncio waits for the descriptor."""
        try:
            # In one step, so that the tickets of two batches never mix.
            self._tickets = self._listener._tickets.join_all(count)
        except BaseException:
            self.close()
            raise

    def collect(self) -> Batch | None:
        """Takes the granted slabs; the batch when all are there."""
        try:
            while granted := self._listener.take():
                self._got.update(granted)
        except ClosedError:
            self._pool._fail(Status.CLOSED, 0)
        if len(self._got) < self._count:
            return None
        got, self._got = self._got, {}
        return Batch(got[ticket] for ticket in self._tickets)

    def slice_s(self) -> float:
        """How long to sleep now, in seconds; an error if the batch cannot become complete in time, or not at all."""
        stats = self._pool.stats()
        if self._count > batch_limit(self._pool, stats):
            refuse_batch(self._pool, self._count, Status.INVALID_BATCH_SIZE)
        if self._end_ns is None:
            return SLICE_NS / NANOSECONDS
        left_ns = min(SLICE_NS, self._end_ns - time.monotonic_ns())
        if left_ns <= 0:
            self._end_in_vain()
        return left_ns / NANOSECONDS

    def _end_in_vain(self) -> NoReturn:
        stats = self._pool.stats()
        raise TimeoutError(
            f"a batch of {self._count} slabs was not complete within the timeout of "
            f"{duration_text(self._timeout)}; pool {self._pool._core.slabby_pool_label(self._pool)} has "
            f"{stats.used_slabs} of its {stats.total_slabs} slabs in use"
        )

    def sleep(self, seconds: float) -> None:
        """Sleeps until a slab was granted, at most so long."""
        if is_patched("select"):  # by gevent or eventlet, so that other greenlets run
            select.select([self.fd], [], [], seconds)
        else:
            self._listener.wait(seconds)

    def wake(self) -> None:
        """The reader of an event loop: the descriptor is readable."""
        if self.ready is not None and not self.ready.done():
            self.ready.set_result(None)

    def close(self) -> None:
        """Leaves the queue and releases the slabs of an unfinished wait."""
        self._listener.close()
        while self._got:
            self._got.popitem()[1].release()

    def __del__(self) -> None:
        # Without a listener if __init__ did not get so far.
        if hasattr(self, "_listener"):
            self.close()


def _at_once(pool: Allocator, count: int, wait_ns: int | None) -> Batch | None:
    """The batch, or None if it has to wait."""
    stats = pool.stats()
    limit = batch_limit(pool, stats)
    from_heap = limit - stats.total_slabs - stats.heap_slabs
    if stats.available_slabs + max(0, from_heap) >= count or wait_ns == 0:
        try:
            return pool.allocate_batch(count)
        except OutOfMemoryError:
            if wait_ns == 0:
                raise
    elif not 1 <= count <= limit:
        refuse_batch(pool, count, Status.INVALID_BATCH_SIZE)
    return None


def _wait_ns(timeout: float | timedelta | None) -> int | None:
    return None if timeout is None else nanoseconds("timeout", timeout, forever=True)


def wait_for_batch(pool: Allocator, count: int, timeout: float | timedelta | None) -> Batch:
    """A batch, for which the thread waits."""
    count = integer("count", count)
    if (batch := _at_once(pool, count, _wait_ns(timeout))) is not None:
        return batch
    wait = BatchWait(pool, count, timeout)
    try:
        while (batch := wait.collect()) is None:
            wait.sleep(wait.slice_s())
        return batch
    finally:
        wait.close()


async def wait_for_batch_async(
    pool: Allocator, count: int, timeout: float | timedelta | None
) -> Batch:
    """A batch, for which the task waits."""
    count = integer("count", count)
    if (batch := _at_once(pool, count, _wait_ns(timeout))) is not None:
        return batch
    if running_loop() == "asyncio":
        return await _wait_in_asyncio(pool, count, timeout)
    wait = BatchWait(pool, count, timeout)
    try:
        while (batch := wait.collect()) is None:
            await readable(wait.fd, wait.slice_s())
        return batch
    finally:
        wait.close()


async def _wait_in_asyncio(pool: Allocator, count: int, timeout: float | timedelta | None) -> Batch:
    """The loop's reader is the only strong reference to the BatchWait while the task sleeps: a loop that is closed
    drops its readers, and then the slabs go back, as those of single waits do (_waiting.py)."""
    asyncio = sys.modules["asyncio"]
    loop = asyncio.get_running_loop()
    wait: BatchWait | None = BatchWait(pool, count, timeout)
    assert wait is not None
    waits = weakref.ref(wait)
    try:
        loop.add_reader(wait.fd, wait.wake)
        while (batch := wait.collect()) is None:
            seconds = wait.slice_s()
            ready = wait.ready = loop.create_future()
            del wait
            await asyncio.wait([ready], timeout=seconds)
            ready.cancel()
            if (wait := waits()) is None:
                raise RuntimeError("Event loop is closed")
        return batch
    finally:
        if (wait := waits()) is not None:
            if not loop.is_closed():
                loop.remove_reader(wait.fd)
            wait.close()
