# SPDX-License-Identifier: GPL-3.0-or-later
"""What was granted to a loop, a task or a coroutine that is gone goes back; a wait that needs no waiting is cheap."""

from __future__ import annotations

import asyncio
import errno
import gc
import resource
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import slabby


@pytest.fixture
def pool() -> Iterator[slabby.Allocator]:
    """A pool of four slabs, all of which are there again when the test is over."""
    with slabby.Allocator(64, 4, finalizers=True) as pool:
        yield pool
        gc.collect()
        assert pool.stats().waiters == 0
        assert [live for live in pool.live()] == []
        assert pool.stats().leaks == 0
        for ref in pool.allocate_batch(4):
            ref.release()
        assert pool.verify() == []


def start_waiting(
    loop: asyncio.AbstractEventLoop, pool: slabby.Allocator
) -> asyncio.Task[slabby.SlabRef]:
    """Runs the loop until one more task waits."""
    before = pool.stats().waiters
    task = loop.create_task(pool.allocate_async())

    async def until_waiting() -> None:
        while pool.stats().waiters == before:
            await asyncio.sleep(0)

    loop.run_until_complete(until_waiting())
    return task


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("released", ["before", "after"])
@pytest.mark.parametrize("held_task", [True, False])
def test_a_closed_loop_swallows_nothing(pool, released, held_task):
    tasks: list[Any] = []
    for _ in range(4):
        held = pool.allocate_batch(4)
        loop = asyncio.new_event_loop()
        task = start_waiting(loop, pool)
        if held_task:
            tasks.append(task)
        del task
        if released == "before":
            held.pop().release()
            granted = [live for live in pool.live() if live.state == slabby.SlabState.GRANTED]
            assert [live.ticket > 0 and live.ref == 0 for live in granted] == [True]
        loop.close()
        for ref in held:
            ref.release()
        # At once, not when the collector comes.
        assert pool.stats().used_slabs == 0
    tasks.clear()


@pytest.mark.filterwarnings("ignore")
def test_a_loop_that_had_its_slab_and_never_ran_again(pool):
    held = pool.allocate_batch(4)
    loop = asyncio.new_event_loop()
    task = start_waiting(loop, pool)
    held.pop().release()
    # The reader runs and sets the future; the loop stops before the task does.
    loop.call_later(0.05, loop.stop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    del task
    for ref in held:
        ref.release()
    assert pool.stats().used_slabs == 0


@pytest.mark.filterwarnings("ignore")
def test_a_forgotten_loop_swallows_nothing(pool):
    held = pool.allocate_batch(4)
    loop = asyncio.new_event_loop()
    task = start_waiting(loop, pool)
    held.pop().release()
    del loop, task
    gc.collect()
    for ref in held:
        ref.release()
    assert pool.stats().used_slabs == 0


@pytest.mark.parametrize("granted", [True, False])
def test_a_coroutine_that_is_closed_leaves_no_leak(pool, granted):
    async def main() -> None:
        held = pool.allocate_batch(4)
        coroutine = pool.allocate_async()
        future = coroutine.send(None)
        assert pool.stats().waiters == 1
        if granted:
            held.pop().release()
        while granted and not future.done():
            await asyncio.sleep(0)
        coroutine.close()
        assert pool.stats().waiters == 0
        assert pool.stats().used_slabs == len(held)
        for ref in held:
            ref.release()

    asyncio.run(main())


def test_several_slabs_for_several_tasks_at_once(pool):
    """Guards: the first task to run does not take away what the others have not picked up."""

    async def main() -> None:
        held = pool.allocate_batch(4)
        tasks = [asyncio.create_task(pool.allocate_async()) for _ in range(4)]
        while pool.stats().waiters < 4:
            await asyncio.sleep(0)
        for ref in held:
            ref.release()
        for ref in await asyncio.gather(*tasks):
            ref.release()

    asyncio.run(main())


def test_a_close_leaves_to_tasks_what_they_were_granted():
    pool = slabby.Allocator(64, 1)

    async def main() -> None:
        ref = pool.allocate()
        first = asyncio.create_task(pool.allocate_async())
        second = asyncio.create_task(pool.allocate_async())
        while pool.stats().waiters < 2:
            await asyncio.sleep(0)
        ref.release()
        pool.close()
        (await first).release()
        with pytest.raises(slabby.ClosedError):
            await second

    asyncio.run(main())


def test_a_coroutine_that_is_dropped_leaves_no_leak(pool):
    async def main() -> None:
        held = pool.allocate_batch(4)
        coroutine = pool.allocate_async()
        future = coroutine.send(None)
        held.pop().release()
        while not future.done():
            await asyncio.sleep(0)
        del future
        del coroutine
        gc.collect()
        assert pool.stats().used_slabs == len(held)
        for ref in held:
            ref.release()

    asyncio.run(main())


@pytest.mark.parametrize("granted", [True, False])
def test_a_coroutine_in_a_cycle_that_is_forgotten_leaves_no_leak(pool, granted):
    async def main() -> None:
        held = pool.allocate_batch(4)
        cycle: list[Any] = [pool.allocate_async()]
        cycle.append(cycle)
        future = cycle[0].send(None)
        if granted:
            held.pop().release()
        while granted and not future.done():
            await asyncio.sleep(0)
        del cycle, future
        gc.collect()
        assert pool.stats().waiters == 0
        assert pool.stats().used_slabs == len(held)
        for ref in held:
            ref.release()

    asyncio.run(main())


def test_a_coroutine_that_is_collected_after_its_queue_leaves_it_whole(pool, monkeypatch):
    """The collector takes older objects apart first: the queue, which another wait opened."""
    failures: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", failures.append)

    async def main() -> None:
        held = pool.allocate_batch(4)
        first = pool.acquire_async()
        first.send(None)
        cycle: list[Any] = [pool.acquire_async()]
        cycle.append(cycle)
        cycle[0].send(None)
        first.close()
        del first, cycle
        gc.collect()
        assert failures == []
        assert not pool._crowded
        for ref in held:
            ref.release()

    asyncio.run(main())


class Future:
    """Takes what a ticket brought, or fails, as one that is done does, or one whose loop lacks memory."""

    def __init__(self, takes: bool, done: bool) -> None:
        self.takes, self.over, self.error = takes, done, None

    def set_result(self, _: None) -> None:
        if not self.takes:
            raise MemoryError

    def done(self) -> bool:
        return self.over

    def set_exception(self, error: BaseException) -> None:
        self.error = error


def test_a_grant_that_no_future_takes_goes_back_and_the_others_arrive(pool):
    held = pool.allocate_batch(4)
    tickets = pool._listen()
    futures = [Future(False, False), Future(False, True), Future(True, False)]
    waiting: dict[int, Any] = {tickets.begin(0): future for future in futures}
    last = max(waiting)
    tickets.begin(0)  # of a coroutine that is gone
    for ref in held:
        ref.release()
    tickets.collect(waiting)
    assert waiting == {} and list(tickets.brought) == [last]
    assert [type(future.error) for future in futures] == [MemoryError, type(None), type(None)]
    assert pool.stats().used_slabs == 1
    tickets.close()
    assert tickets.closed and pool.stats().used_slabs == 0 and tickets.brought == {}
    with pytest.raises(RuntimeError, match="loop is closed"):
        tickets.pick_up(last)
    tickets.leave({last: futures[2]}, last)
    tickets.expire({last: futures[2]}, last)
    with pytest.raises(slabby.ClosedError):
        tickets.begin(0)


def test_a_wait_whose_time_is_over_has_one_outcome(pool):
    """Also where the task was cancelled in the same moment: its future is done, and takes nothing."""
    tickets = pool._listen()
    in_time, cancelled = Future(True, False), Future(False, True)
    first, second = tickets.begin(0), tickets.begin(0)
    waiting: dict[int, Any] = {first: in_time, second: cancelled}
    tickets.expire(waiting, first)
    tickets.expire(waiting, second)
    assert waiting == {} and list(tickets.brought) == [first]
    tickets.pick_up(first).release()
    held = pool.allocate_batch(pool.stats().available_slabs)
    late, cancelled = Future(False, False), Future(False, True)
    waiting = {tickets.begin(0): late, tickets.begin(0): cancelled}
    for ticket in list(waiting):
        tickets.expire(waiting, ticket)
    assert isinstance(late.error, slabby.TimeoutError) and cancelled.error is None
    assert waiting == {} and pool.stats().waiters == 0
    held.release()
    tickets.close()


def test_a_wait_in_an_open_queue_runs_no_python_of_ours(pool, monkeypatch):
    async def main() -> None:
        held = pool.allocate_batch(4)
        tasks = [asyncio.create_task(pool.acquire_async()) for _ in range(2)]
        while pool.stats().waiters < 2:
            await asyncio.sleep(0)
        monkeypatch.delitem(sys.modules, "trio", raising=False)
        monkeypatch.setattr(slabby.Allocator, "_join_queue", lambda _: pytest.fail("Python joined"))
        tasks.append(asyncio.create_task(pool.acquire_async()))
        while pool.stats().waiters < 3:
            await asyncio.sleep(0)
        for ref in held:
            ref.release()
        for task in tasks:
            (await task).release()

    asyncio.run(main())


def test_the_queue_of_a_loop_ends_with_its_last_wait(pool):
    async def main() -> None:
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        before = len(selector.get_map())
        held = pool.allocate_batch(4)
        waiting = [asyncio.ensure_future(pool.acquire_async()) for _ in range(3)]
        while pool.stats().waiters < 3:
            await asyncio.sleep(0)
        assert len(selector.get_map()) == before + 1
        waiting.pop().cancel()
        for ref in held:
            ref.release()
        for task in waiting:
            (await task).release()
        assert len(selector.get_map()) == before
        assert not pool._crowded

    asyncio.run(main())


def test_who_waits_in_another_loop_is_served_when_the_first_dies(pool):
    held = pool.allocate_batch(4)
    dead = asyncio.new_event_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = start_waiting(dead, pool)
        got = []
        thread = threading.Thread(
            target=lambda: got.append(asyncio.run(pool.allocate_async(timeout=60)))
        )
        thread.start()
        while pool.stats().waiters < 2:
            time.sleep(0.001)
        held.pop().release()
        dead.close()
        thread.join()
        del task
    got.pop().release()
    for ref in held:
        ref.release()


def test_a_listener_may_limit_how_long_a_grant_waits(pool):
    held = pool.allocate_batch(4)
    with pool.listener(timeout=0.02) as silent, pool.listener() as listener:
        late, mine = silent.begin(), listener.begin()
        held.pop().release()
        granted: dict[int, slabby.SlabRef] = {}
        while not granted:
            assert listener.wait()
            granted = listener.take()
        granted.pop(mine).release()
        assert silent.take() == {}
        assert silent.revoked == [late]
    for ref in held:
        ref.release()


def without_descriptors(action):
    """Runs something while the process may open no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        return action()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_refused_descriptor_is_named(pool):
    with pytest.raises(slabby.NoSystemMemoryError, match="EMFILE") as caught:
        without_descriptors(pool.listener)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EMFILE


WITHOUT_DESCRIPTORS = """
import asyncio, resource, slabby
pool = slabby.Allocator(64, 1)
held = pool.allocate()
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
async def wait():
    asyncio.get_running_loop().call_later(0.03, held.release)
    return await pool.acquire_async(timeout=60)
try:
    pool.acquire(timeout=0.01)
except slabby.TimeoutError:
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner() as runner:
        runner.get_loop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        runner.run(wait()).release()
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("waited twice")
"""


def test_the_first_waits_of_a_process_need_no_descriptor():
    """Guards: nothing that a wait needs is read from a file once it begins."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "waited twice\n", done.stderr


def test_tasks_wait_without_descriptors(pool):
    async def main() -> None:
        held = pool.allocate_batch(4)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(slabby.TimeoutError):
                await pool.allocate_async(timeout=0.01)
            asyncio.get_running_loop().call_later(0.03, held[0].release)
            (await pool.allocate_async(timeout=60)).release()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for ref in held[1:]:
            ref.release()

    asyncio.run(main())


def test_threads_wait_without_descriptors(pool):
    held = pool.allocate_batch(4)
    timer = threading.Timer(0.03, held[0].release)
    timer.start()
    without_descriptors(lambda: pool.allocate(timeout=60)).release()
    timer.join()
    for ref in held[1:]:
        ref.release()


@pytest.mark.parametrize("timeout", [1, 1.0, 0, 0.0, 10**9, 10**8])
def test_a_free_slab_needs_no_wait(pool, timeout, monkeypatch):
    """Guards: no Python of ours runs where there is a slab."""
    if timeout < 10**9:
        monkeypatch.setattr(pool, "_acquire", lambda _: pytest.fail("waited"))
    pool.allocate(timeout=timeout).release()
    assert pool.stats().allocation_errors == 0


@pytest.mark.parametrize("timeout", [-1, -0.5, float("nan"), "1", True])
def test_timeouts_that_make_no_sense_are_refused(pool, timeout):
    with pytest.raises((slabby.InvalidArgumentError, TypeError)):
        pool.allocate(timeout=timeout)
    assert pool.stats().used_slabs == 0


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, slabby, time
pool = slabby.Allocator(64, 1)
ref = pool.allocate()
ticks = []
def tick():
    while len(ticks) < 5:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)
    ref.release()
ticker = gevent.spawn(tick)
waiter = gevent.spawn(lambda: pool.allocate(timeout=60).release())
gevent.joinall([ticker, waiter], timeout=30, raise_error=True)
assert len(ticks) == 5 and waiter.successful()
held = pool.allocate()
try:
    pool.allocate(timeout=0.01)
except slabby.TimeoutError:
    pass
else:
    raise SystemExit("no timeout")
held.release()
assert pool.stats().used_slabs == 0
"""


def test_a_wait_lets_greenlets_run():
    pytest.importorskip("gevent")
    subprocess.run([sys.executable, "-c", GREENLETS], check=True, timeout=60)


def test_a_wait_in_a_patched_process_goes_through_select(pool, monkeypatch):
    """The same without gevent: its mark is enough, and select is what lets others run."""
    import select
    import types

    calls = []
    real = select.select

    def cooperative(*arguments):
        calls.append(arguments)
        return real(*arguments)

    mark = types.ModuleType("gevent.monkey")
    mark.is_module_patched = lambda module: module == "select"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent.monkey", mark)
    monkeypatch.setattr(select, "select", cooperative)
    held = pool.allocate_batch(4)
    with pytest.raises(slabby.TimeoutError):
        pool.allocate(timeout=0.01)
    assert calls
    timer = threading.Timer(0.03, held[0].release)
    timer.start()
    pool.allocate(timeout=60).release()
    timer.join()
    for ref in held[1:]:
        ref.release()
