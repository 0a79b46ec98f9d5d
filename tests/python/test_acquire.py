# SPDX-License-Identifier: GPL-3.0-or-later
"""acquire(), acquire_async() and batches: one meaning of `timeout`, in threads, in asyncio and in trio."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
import slabby


@pytest.fixture
def pool() -> Iterator[slabby.Allocator]:
    """Eight slabs, which are all there again when the test is over, and whose queue is empty."""
    with slabby.Allocator(64, 8, name="eight") as pool:
        yield pool
        gc.collect()
        stats = pool.stats()
        assert (stats.used_slabs, stats.waiters, stats.leaks) == (0, 0, 0)
        assert pool.verify() == []


def later(call, *arguments) -> threading.Timer:
    timer = threading.Timer(0.05, call, arguments)
    timer.start()
    return timer


@pytest.mark.parametrize("timeout", [0, 0.0, timedelta(0), -0.0])
def test_zero_tries_once_in_every_call(pool, timeout):
    with pool.allocate_batch(8):
        for call in (pool.allocate, pool.acquire):
            with pytest.raises(slabby.OutOfMemoryError):
                call(timeout=timeout)
        with pytest.raises(slabby.OutOfMemoryError):
            asyncio.run(pool.acquire_async(timeout))
        with pytest.raises(slabby.OutOfMemoryError):
            pool.acquire_batch(1, timeout)
        with pytest.raises(slabby.OutOfMemoryError):
            asyncio.run(pool.acquire_batch_async(1, timeout))
    with pytest.raises(slabby.OutOfMemoryError):
        held = pool.allocate_batch(8)
        try:
            pool.allocate()
        finally:
            held.release()


@pytest.mark.parametrize("timeout", [5e-324, 1e-12, 4e-10])
def test_the_shortest_time_is_a_wait_in_every_call(pool, timeout):
    with pool.allocate_batch(8):
        for call in (pool.allocate, pool.acquire):
            with pytest.raises(slabby.TimeoutError, match=f"the timeout of {timeout:g} s"):
                call(timeout=timeout)
        with pytest.raises(slabby.TimeoutError):
            asyncio.run(pool.acquire_async(timeout))
        with pytest.raises(slabby.TimeoutError):
            pool.acquire_batch(1, timeout)
        with pytest.raises(slabby.TimeoutError):
            asyncio.run(pool.acquire_batch_async(1, timeout))


@pytest.mark.parametrize("timeout", [None, float("inf"), 60, timedelta(minutes=1)])
def test_a_wait_ends_with_a_release(pool, timeout):
    held = pool.allocate_batch(8)
    for call in (pool.allocate, pool.acquire):
        timer = later(held.pop().release)
        ref = call(timeout=timeout)
        timer.join()
        held.append(ref)
    timer = later(held.pop().release)
    held.append(asyncio.run(pool.acquire_async(timeout)))
    timer.join()
    held.release()


def test_none_waits_for_ever_by_default(pool):
    held = pool.allocate_batch(8)
    timer = later(held.pop().release)
    held.append(pool.acquire())
    timer.join()
    held.release()


def test_async_with(pool):
    async def main() -> None:
        async with pool.acquire_async() as ref:
            assert ref.is_valid
            ended = ref
        assert not ended.is_valid
        with pytest.raises(KeyError):
            async with pool.acquire_async(1) as ref:
                ended = ref
                raise KeyError
        assert not ended.is_valid
        async with pool.acquire_async() as ref:
            view = memoryview(ref)
        assert pool.stats().used_slabs == 1  # until the view ends
        view.release()
        assert pool.stats().used_slabs == 0

    asyncio.run(main())


def test_async_with_waits_and_is_cancelled(pool):
    async def hold() -> None:
        async with pool.acquire_async():
            await asyncio.sleep(60)

    async def main() -> None:
        tasks = [asyncio.create_task(hold()) for _ in range(12)]
        while pool.stats().waiters < 4:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in done)

    asyncio.run(main())


def test_it_is_a_coroutine_to_the_event_loop(pool):
    from collections.abc import Coroutine

    async def main() -> None:
        wait = pool.acquire_async()
        assert isinstance(wait, Coroutine) and asyncio.iscoroutine(wait)
        refs = await asyncio.gather(
            wait, pool.acquire_async(), asyncio.wait_for(pool.acquire_async(), 1)
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(pool.acquire_async(), name="named")
        for ref in (*refs, task.result()):
            ref.release()
        with pytest.raises(RuntimeError, match="already awaited"):
            await wait

    asyncio.run(main())


def test_a_forgotten_await_is_a_warning(pool):
    with pytest.warns(RuntimeWarning, match="never awaited"):
        pool.acquire_async()
    wait = pool.acquire_async()
    wait.close()
    with pytest.raises(KeyError):
        pool.acquire_async().throw(KeyError())


def test_steps_by_hand(pool):
    with pytest.raises(StopIteration) as stopped:
        pool.acquire_async().send(None)
    stopped.value.value.release()


def test_batches_end_with_their_block(pool):
    with pool.allocate_batch(8) as refs:
        assert isinstance(refs, list) and isinstance(refs, slabby.Batch)
        assert len({ref.id for ref in refs}) == 8
    assert not any(ref.is_valid for ref in refs)
    with pytest.raises(KeyError), pool.allocate_batch(3) as refs:
        refs[1].release()
        raise KeyError
    assert pool.stats().used_slabs == 0
    batch = pool.allocate_batch(4)
    view = memoryview(batch[2])
    with pytest.raises(slabby.PinnedError):
        batch.release()
    assert pool.stats().used_slabs == 1
    view.release()
    batch[2].release()


def test_a_batch_waits_for_its_last_slab(pool):
    held = pool.allocate_batch(6)
    timers = [later(ref.release) for ref in held]
    with pool.acquire_batch(8, timeout=60) as refs:
        assert len(refs) == 8
    for timer in timers:
        timer.join()


def test_a_batch_that_waits_in_vain_leaves_nothing(pool):
    held = pool.allocate_batch(6)
    started = time.monotonic()
    with pytest.raises(slabby.TimeoutError, match="3 slabs"):
        pool.acquire_batch(3, timeout=0.05)
    assert time.monotonic() - started < 30
    assert pool.stats().used_slabs == 6
    held.release()


def test_two_batches_never_hold_half_of_what_the_other_needs(pool):
    """Five and five of eight slabs, over and over, from four threads and as many tasks."""
    done = []

    def work() -> None:
        for _ in range(50):
            with pool.acquire_batch(5, timeout=60):
                pass
        done.append(1)

    async def tasks() -> None:
        async def one() -> None:
            for _ in range(25):
                with await pool.acquire_batch_async(5, timeout=60):
                    await asyncio.sleep(0)
            done.append(1)

        await asyncio.gather(*(one() for _ in range(3)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: asyncio.run(tasks())))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 6


def test_a_cancelled_batch_leaves_the_queue(pool):
    async def main() -> None:
        held = pool.allocate_batch(6)
        task = asyncio.create_task(pool.acquire_batch_async(5))
        while pool.stats().waiters < 3:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.stats().waiters == 0
        held.release()

    asyncio.run(main())


def test_async_with_pool():
    async def main() -> None:
        async with slabby.Allocator(64, 2) as pool:
            async with pool.acquire_async():
                pass
        assert pool.closed

    asyncio.run(main())


def test_trio_waits_too(pool):
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def main() -> None:
        held = pool.allocate_batch(8)
        got = []

        async def wait() -> None:
            async with pool.acquire_async(60) as ref:
                got.append(ref.id)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(wait)
            while pool.stats().waiters < 5:
                await trio.sleep(0)
            held.pop().release()
        assert len(got) == 5
        with pytest.raises(slabby.TimeoutError):
            held.append(pool.allocate())
            await pool.acquire_async(0.02)
        with trio.move_on_after(0.02):
            await pool.acquire_async()
        assert pool.stats().waiters == 0
        timer = later(held.pop().release)
        with await pool.acquire_batch_async(1, 60):
            pass
        timer.join()
        held.release()

    trio.run(main)


def test_anyio_waits_in_whichever_loop_runs(pool):
    anyio = pytest.importorskip("anyio", reason="anyio is not installed")

    async def main() -> None:
        held = pool.allocate_batch(8)
        with anyio.move_on_after(0.02):
            await pool.acquire_async()
        timer = later(held.pop().release)
        async with pool.acquire_async(60):
            pass
        timer.join()
        held.release()

    for backend in ("asyncio", "trio"):
        if backend == "trio":
            pytest.importorskip("trio", reason="trio is not installed")
        anyio.run(main, backend=backend)
