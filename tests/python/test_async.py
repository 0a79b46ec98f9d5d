# SPDX-License-Identifier: GPL-3.0-or-later
"""await pool.allocate_async(): tasks of an event loop wait for slabs without a thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import slabby
from conftest import FULL


@pytest.fixture
def full() -> Iterator[tuple[slabby.Allocator, slabby.SlabRef]]:
    """A pool of one slab, and that slab. When the test is over, nothing of a wait is left."""
    with slabby.Allocator(64, 1) as pool:
        descriptors = len(os.listdir("/proc/self/fd"))
        yield pool, pool.allocate()
        assert pool.stats().used_slabs == 0
        assert pool.stats().waiters == 0
        assert pool.verify() == []
        assert len(os.listdir("/proc/self/fd")) == descriptors


async def until_waiting(pool: slabby.Allocator, count: int) -> None:
    while pool.stats().waiters < count:
        await asyncio.sleep(0)


def waiting(pool: slabby.Allocator, timeout: float | None = None) -> asyncio.Task[slabby.SlabRef]:
    return asyncio.create_task(pool.allocate_async(timeout=timeout))


def test_a_free_slab_comes_at_once(pool):
    async def main() -> None:
        for timeout in (None, 0, 0.001, 60, 10**9):
            with await pool.allocate_async(timeout=timeout) as ref:
                memoryview(ref)[:] = b"a" * 4096

    asyncio.run(main())
    assert pool.stats().allocation_errors == 0


def test_a_release_ends_the_wait(full):
    pool, ref = full

    async def main() -> None:
        task = waiting(pool)
        await until_waiting(pool, 1)
        ref.release()
        (await task).release()

    asyncio.run(main())
    assert pool.stats().allocation_errors == 0


def test_a_thousand_wait_and_one_release_wakes_one(full):
    pool, ref = full

    async def main() -> None:
        nonlocal ref
        tasks = [waiting(pool) for _ in range(1000)]
        await until_waiting(pool, 1000)
        for number, task in enumerate(tasks):
            ref.release()
            ref = await task
            for _ in range(3):  # another task that was woken has run by now
                await asyncio.sleep(0)
            assert sum(other.done() for other in tasks) == number + 1
            assert pool.stats().waiters == 999 - number
        ref.release()

    asyncio.run(main())


def test_nothing_in_time(full):
    pool, ref = full

    async def main() -> None:
        with pytest.raises(slabby.TimeoutError) as caught:
            await pool.allocate_async(timeout=0.001)
        assert isinstance(caught.value, TimeoutError)
        with pytest.raises(slabby.OutOfMemoryError):
            await pool.allocate_async(timeout=0)

    asyncio.run(main())
    errors = pool.stats().errors
    assert errors[slabby.Status.TIMEOUT] == errors[slabby.Status.OUT_OF_MEMORY] == 1
    ref.release()


def test_a_cancelled_task_leaves_the_queue(full):
    pool, ref = full

    async def main() -> None:
        first, second = waiting(pool), waiting(pool)
        await until_waiting(pool, 2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert pool.stats().waiters == 1
        ref.release()
        (await second).release()

    asyncio.run(main())
    assert pool.stats().allocation_errors == 0


@pytest.mark.parametrize("loops", range(4))
def test_cancelled_at_the_grant_nothing_is_lost(full, loops):
    """Cancelled so many turns of the loop after the release: before the loop reads the notifier, and after."""
    pool, ref = full

    async def main() -> None:
        nonlocal ref
        for _ in range(50 if FULL else 10):
            task = waiting(pool)
            await until_waiting(pool, 1)
            ref.release()
            for _ in range(loops):
                await asyncio.sleep(0)
            task.cancel()
            done = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(done, slabby.SlabRef):
                done.release()
            assert pool.stats().used_slabs == 0
            ref = pool.allocate()
        ref.release()

    asyncio.run(main())


def test_a_deadline_of_asyncio(full):
    pool, ref = full

    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.001):
                await pool.allocate_async()
        assert not isinstance(caught.value, slabby.SlabbyError)

    asyncio.run(main())
    ref.release()


def test_close_ends_every_wait(full):
    pool, ref = full

    async def main() -> None:
        tasks: list[asyncio.Task[Any]] = [waiting(pool), waiting(pool, 60)]
        await until_waiting(pool, 2)
        pool.close()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, slabby.ClosedError)
        with pytest.raises(slabby.ClosedError):
            await pool.allocate_async(timeout=60)

    asyncio.run(main())
    ref.release()


def test_a_wait_that_cannot_begin_leaves_no_listener():
    """The pool may be closed between the look for a free slab and the place in the queue."""

    class Closing(slabby.Allocator):
        def _listen(self) -> Any:
            tickets = super()._listen()
            self.close()
            return tickets

    async def main() -> None:
        pool = Closing(64, 1)
        with pool.allocate():
            descriptors = os.listdir("/proc/self/fd")
            with pytest.raises(slabby.ClosedError):
                await pool.acquire_async()
            assert os.listdir("/proc/self/fd") == descriptors

    asyncio.run(main())


def test_what_refuses_an_allocation_refuses_a_wait(full):
    pool, ref = full

    async def main() -> None:
        pool.breaker_force(slabby.BreakerMode.FORCED_OPEN)
        with pytest.raises(slabby.CircuitBreakerOpenError):
            await pool.allocate_async(timeout=60)
        pool.breaker_force(slabby.BreakerMode.NORMAL)
        for wrong in (-1, "soon", float("nan")):
            with pytest.raises((TypeError, slabby.InvalidArgumentError)):
                await pool.allocate_async(timeout=wrong)

    asyncio.run(main())
    ref.release()


def test_tasks_and_threads_share_one_queue(full):
    pool, ref = full
    order = []

    def in_a_thread() -> None:
        with pool.allocate(timeout=60):
            order.append("thread")

    async def in_a_task(name: str) -> None:
        with await pool.allocate_async():
            order.append(name)

    async def main() -> None:
        first = asyncio.create_task(in_a_task("first"))
        await until_waiting(pool, 1)
        thread = threading.Thread(target=in_a_thread)
        thread.start()
        await until_waiting(pool, 2)
        last = asyncio.create_task(in_a_task("last"))
        await until_waiting(pool, 3)
        ref.release()
        await asyncio.gather(first, last)
        thread.join()

    asyncio.run(main())
    assert order == ["first", "thread", "last"]


def test_loops_of_several_threads(full):
    """Each loop has a listener of its own; many tasks over one slab lose nothing."""
    pool, ref = full
    rounds = 200 if FULL else 40
    served = []

    async def use() -> int:
        for _ in range(rounds):
            with await pool.allocate_async(timeout=60) as mine:
                memoryview(mine)[0] = 1
                await asyncio.sleep(0)
        return rounds

    async def contended() -> None:
        served.extend(await asyncio.gather(*[use() for _ in range(5)]))

    threads = [threading.Thread(target=lambda: asyncio.run(contended())) for _ in range(3)]
    for thread in threads:
        thread.start()
    ref.release()
    for thread in threads:
        thread.join()
    assert sum(served) == 15 * rounds
    assert pool.stats().total_allocations == 15 * rounds + 1


class Meddler(asyncio.SelectorEventLoop):
    """Calls something while a wait begins."""

    meddle: Any = None

    def create_future(self) -> asyncio.Future[Any]:
        if self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            meddle()
        return super().create_future()


@pytest.mark.parametrize("timeout", [None, 60], ids=["for ever", "in time"])
@pytest.mark.parametrize("call", ["send", "throw", "close"])
def test_a_wait_that_runs_is_left_alone(full, call, timeout):
    """As a signal handler could do, or another thread: coroutines refuse that, too."""
    pool, ref = full
    refused = []

    async def main(loop: Meddler) -> None:
        wait = pool.acquire_async(timeout)

        def meddle() -> None:
            given = {"send": (None,), "throw": (KeyError("meddled"),), "close": ()}[call]
            with pytest.raises(ValueError, match="already executing"):
                getattr(wait, call)(*given)
            refused.append(call)
            loop.call_later(0, ref.release)

        loop.meddle = meddle
        (await wait).release()

    loop = Meddler()
    loop.run_until_complete(main(loop))
    loop.close()
    assert refused == [call]


def test_the_text_of_a_task_names_the_wait(full):
    pool, ref = full

    async def main() -> str:
        task = asyncio.create_task(pool.acquire_async())
        await asyncio.sleep(0)
        text = repr(task)
        ref.release()
        (await task).release()
        return text

    assert "coro=<Allocator.acquire_async()" in asyncio.run(main())
