# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for several slabs at once.

A batch of N takes N tickets in a row. Slabs are granted first come, first served, so the batch that joined first gets
all its slabs before the next batch gets one. So two batches never each hold slabs that the other needs.
"""

from __future__ import annotations

import threading
import time

from slabby._batch import Batch
from slabby._status import Status
from slabby._errors import ClosedError, OutOfMemoryError, TimeoutError
from slabby._option_values import NANOSECONDS, duration_text, nanoseconds, whole
from slabby._raise import refuse_batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta

    from slabby._allocator import Allocator
    from slabby._listener import Listener
    from slabby._types import SlabRef

# Tickets of two batches never mix.
_joining = threading.Lock()
# A signal that Python handles ends a sleep after this time at the latest.
SLICE_NS = 100_000_000


class BatchWait:
    """The tickets of one batch, and the slabs that they have brought so far."""

    def __init__(self, pool: Allocator, count: int) -> None:
        self._pool = pool
        self._got: dict[int, SlabRef] = {}
        self.listener: Listener = pool.listener()
        with _joining:
            self._tickets = [self.listener.begin() for _ in range(count)]

    def collect(self) -> bool:
        """Takes the granted slabs; true when all are there."""
        while granted := self.listener.take():
            self._got.update(granted)
        return len(self._got) == len(self._tickets)

    def batch(self) -> Batch:
        got, self._got = self._got, {}
        return Batch(got[ticket] for ticket in self._tickets)

    def close(self) -> None:
        """Leaves the queue and releases the slabs of an unfinished wait."""
        self.listener.close()
        while self._got:
            self._got.popitem()[1].release()


def _at_once(pool: Allocator, count: int, wait_ns: int | None) -> Batch | None:
    """The batch, or None if it has to wait."""
    stats = pool.stats()
    if stats.available_slabs >= count or wait_ns == 0:
        try:
            return pool.allocate_batch(count)
        except OutOfMemoryError:
            if wait_ns == 0:
                raise
    elif not 1 <= count <= stats.total_slabs:
        refuse_batch(pool, count, Status.INVALID_BATCH_SIZE)
    return None


def _in_vain(pool: Allocator, count: int, timeout: float | timedelta | None) -> TimeoutError:
    stats = pool.stats()
    return TimeoutError(
        f"a batch of {count} slabs was not complete within the timeout of {duration_text(timeout)}; pool "
        f"{stats.name!r} has {stats.used_slabs} of its {stats.total_slabs} slabs in use"
    )


def _wait_ns(timeout: float | timedelta | None) -> int | None:
    return None if timeout is None else nanoseconds("timeout", timeout, forever=True)


def _deadline_ns(wait_ns: int | None) -> int | None:
    return None if wait_ns is None else time.monotonic_ns() + wait_ns


def wait_for_batch(pool: Allocator, count: int, timeout: float | timedelta | None) -> Batch:
    """A batch, for which the thread waits."""
    count = whole("count", count)
    wait_ns = _wait_ns(timeout)
    end_ns = _deadline_ns(wait_ns)
    if (batch := _at_once(pool, count, wait_ns)) is not None:
        return batch
    wait = BatchWait(pool, count)
    try:
        while not wait.collect():
            left_ns = SLICE_NS if end_ns is None else min(SLICE_NS, end_ns - time.monotonic_ns())
            if left_ns <= 0:
                raise _in_vain(pool, count, timeout)
            wait.listener.wait(left_ns / NANOSECONDS)
        return wait.batch()
    except ClosedError:
        pool._fail(Status.CLOSED, 0)
    finally:
        wait.close()


async def wait_for_batch_async(
    pool: Allocator, count: int, timeout: float | timedelta | None
) -> Batch:
    """A batch, for which the task waits."""
    from slabby._readable import readable

    count = whole("count", count)
    wait_ns = _wait_ns(timeout)
    end_ns = _deadline_ns(wait_ns)
    if (batch := _at_once(pool, count, wait_ns)) is not None:
        return batch
    wait = BatchWait(pool, count)
    try:
        while not wait.collect():
            left_ns = None if end_ns is None else end_ns - time.monotonic_ns()
            if left_ns is not None and left_ns <= 0:
                raise _in_vain(pool, count, timeout)
            await readable(wait.listener.fd, None if left_ns is None else left_ns / NANOSECONDS)
        return wait.batch()
    except ClosedError:
        pool._fail(Status.CLOSED, 0)
    finally:
        wait.close()
