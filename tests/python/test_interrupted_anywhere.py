# SPDX-License-Identifier: GPL-3.0-or-later
"""A signal whose handler raises, at every point of an operation where Python handles signals: no slab, no place in the
queue and no pool is lost. A profile function raises in the handler's place."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
import slabby
from slabby._batch_waits import BatchWait

PACKAGE = str(Path(slabby.__file__).parent)
NAME = "interrupted"

# What is dropped on the way is worth a warning.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture(autouse=True)
def unraisable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object's end cannot raise, and pytest would keep the exception and with it the object."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)


class Interrupted(KeyboardInterrupt):
    """What the handler raises."""


class Points:
    """Counts entries of Python functions of the package, and returns of C functions that it calls."""

    def __init__(self, chosen: int) -> None:
        self.left = chosen

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(PACKAGE):
            self.left -= 1
            if self.left == 0:
                raise Interrupted


@contextmanager
def interrupted_at(point: int) -> Iterator[Points]:
    points = Points(point)
    sys.setprofile(points)
    try:
        yield points
    except Interrupted:
        pass
    finally:
        sys.setprofile(None)


def at_each_point(work: Callable[[], None], check: Callable[[], None]) -> None:
    for point in itertools.count(1):
        with interrupted_at(point) as points:
            work()
        gc.collect()
        check()
        if points.left > 0:
            assert point > 3
            return


def take(pool: slabby.Allocator) -> None:
    with pool.listener(timeout=60) as listener:
        tickets = [listener.begin(), listener.begin()]
        slabs = listener.take()
        for ticket in tickets:
            slabs[ticket].release()


def take_grants(pool: slabby.Allocator) -> None:
    with pool.listener() as listener:
        listener.begin(7)
        for grant in listener.take_grants():
            grant.slab.release()


def cancel(pool: slabby.Allocator) -> None:
    with pool.listener() as listener:
        slab = listener.cancel(listener.begin())
        assert slab is not None
        slab.release()


def drop(pool: slabby.Allocator) -> None:
    listener = pool.listener()
    listener.begin()
    assert listener.wait(0)


def batch(pool: slabby.Allocator) -> None:
    wait = BatchWait(pool, 2, None)
    got = wait.collect()
    wait.close()
    assert got is not None
    got.release()


def once(pool: slabby.Allocator) -> None:
    pool._acquire(0).release()


def in_time(pool: slabby.Allocator) -> None:
    pool._acquire(60).release()


def in_vain(pool: slabby.Allocator) -> None:
    with pool.allocate_batch(2), pytest.raises(slabby.TimeoutError):
        pool.acquire(1e-9)


def step(loop: asyncio.AbstractEventLoop, times: int) -> None:
    for _ in range(times):
        loop.call_soon(loop.stop)
        loop.run_forever()


async def use(pool: slabby.Allocator, timeout: float | None) -> None:
    async with pool.acquire_async(timeout):
        pass


def in_a_loop(pool: slabby.Allocator, *timeouts: float | None) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    held = slabby.Batch()
    tasks = []
    try:
        held = pool.allocate_batch(2)
        tasks = [loop.create_task(use(pool, timeout)) for timeout in timeouts]
        step(loop, 3)
        held.release()
        step(loop, 6)
    finally:
        for task in tasks:
            task.cancel()
        step(loop, 3)
        loop.close()
        for ref in held:
            if ref.is_valid:
                ref.release()


OPERATIONS: dict[str, Callable[[slabby.Allocator], None]] = {
    "take": take,
    "take_grants": take_grants,
    "cancel": cancel,
    "drop": drop,
    "batch": batch,
    "once": once,
    "in_time": in_time,
    "in_vain": in_vain,
    "task": lambda pool: in_a_loop(pool, None),
    "tasks": lambda pool: in_a_loop(pool, None, 60, 60),
    "late_task": lambda pool: in_a_loop(pool, 1e-9),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_no_slab_is_lost(operation):
    with slabby.Allocator(64, 2, name=NAME) as pool:

        def check() -> None:
            assert pool.stats().used_slabs == 0
            assert pool.stats().waiters == 0

        operation(pool)
        at_each_point(lambda: operation(pool), check)
        assert pool.verify() == []


def check_no_pool() -> None:
    assert [pool for pool in slabby.pools() if pool.name == NAME] == []


def test_no_pool_is_lost():
    at_each_point(lambda: slabby.Allocator(64, 2, name=NAME).close(), check_no_pool)


def assert_adopts(pool: slabby.Allocator) -> None:
    assert slabby.Allocator.adopt(*pool.handle()).handle() == pool.handle()


def test_no_share_of_a_pool_is_lost():
    """A share that nobody holds would keep the pool."""
    pools = [slabby.Allocator(64, 2, name=NAME)]
    at_each_point(lambda: assert_adopts(pools[0]), lambda: None)
    pools.clear()
    gc.collect()
    check_no_pool()
