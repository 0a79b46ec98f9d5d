# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a slab: with a timeout, and in an event loop. Events, not clocks, order what happens."""

import asyncio
import builtins
import gc
import select
import sys
import threading
import warnings

import pytest
import slabby
from slabby._cooperative import wait_cooperatively


def until_waiting(pool, count):
    """Returns when so many allocations wait."""
    while pool.stats().waiters < count:
        pass


async def until_waiting_in_loop(pool, count):
    """The same, where tasks of this loop are to wait."""
    while pool.stats().waiters < count:
        await asyncio.sleep(0)


@pytest.fixture
def full():
    """A pool of one slab, and that slab."""
    with slabby.Allocator(64, 1) as pool:
        yield pool, pool.allocate()
        assert pool.stats().used_slabs == 0
        assert pool.verify() == []


def test_nothing_in_time(full):
    pool, ref = full
    with pytest.raises(builtins.TimeoutError) as caught:
        pool.allocate(timeout=0.001)
    assert isinstance(caught.value, slabby.TimeoutError)
    ref.release()


def test_a_half_open_breaker_admits_waits():
    """One after the other: a try ahead of the wait, and the count of its end, use up no probe."""

    async def wait_in_loop():
        await pool.acquire_async(timeout=0.001)

    with (
        slabby.Allocator(64, 1, circuit_breaker_threshold=1, circuit_breaker_timeout=0.5) as pool,
        pool.allocate(),
    ):
        with pytest.raises(slabby.OutOfMemoryError):
            pool.allocate()
        while pool.stats().breaker_state != slabby.BreakerState.HALF_OPEN:
            pass
        for _ in range(3):
            with pytest.raises(slabby.TimeoutError):
                pool.allocate(timeout=0.001)
            with pytest.raises(slabby.TimeoutError):
                asyncio.run(wait_in_loop())


def test_time_is_over_while_the_breaker_is_open(full):
    """A wait in vain is one Timeout, whatever would refuse an allocation at that moment."""
    pool, ref = full
    trio = pytest.importorskip("trio")

    async def wait_in_loop():
        await pool.allocate_async(0.2)

    waits = [
        lambda: pool.allocate(timeout=0.2),
        lambda: asyncio.run(wait_in_loop()),
        lambda: trio.run(wait_in_loop),
        lambda: wait_cooperatively(pool, 200_000_000),
    ]
    for wait in waits:

        def break_it():
            until_waiting(pool, 1)
            pool.breaker_force(slabby.BreakerMode.FORCED_OPEN)

        thread = threading.Thread(target=break_it)
        thread.start()
        with pytest.raises(slabby.TimeoutError):
            wait()
        thread.join()
        pool.breaker_force(slabby.BreakerMode.NORMAL)
    errors = {status: count for status, count in pool.stats().errors.items() if count}
    assert errors == {slabby.Status.TIMEOUT: len(waits)}
    ref.release()


def test_a_release_ends_the_wait(full):
    pool, ref = full
    got = []
    thread = threading.Thread(target=lambda: got.append(pool.allocate(timeout=60)))
    thread.start()
    # That this line runs at all shows that the waiter left the interpreter's lock.
    until_waiting(pool, 1)
    with pytest.raises(slabby.OutOfMemoryError):
        pool.allocate()
    ref.release()
    thread.join()
    (mine,) = got
    assert mine.is_valid and not ref.is_valid
    memoryview(mine)[:] = b"w" * 64
    mine.release()


def test_first_come_first_served(full):
    pool, ref = full
    order = []

    def wait(number):
        with pool.allocate(timeout=60):
            order.append(number)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        until_waiting(pool, number + 1)
    ref.release()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_close_ends_the_wait(full):
    pool, ref = full
    failures = []

    def wait():
        try:
            pool.allocate(timeout=60)
        except slabby.ClosedError as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until_waiting(pool, 1)
    pool.close()
    thread.join()
    assert len(failures) == 1
    ref.release()


def test_tickets(full):
    pool, ref = full
    with pool.listener() as listener:
        first, second = listener.begin(), listener.begin()
        assert listener.take() == {}
        assert select.select([listener.fd], [], [], 0)[0] == []
        ref.release()
        assert select.select([listener.fd], [], [], 60)[0] == [listener.fd]
        granted = listener.take()
        assert list(granted) == [first]
        assert listener.cancel(second) is None
        granted[first].release()


def test_a_cancelled_ticket_never_loses_its_slab(full):
    pool, ref = full
    with pool.listener() as listener:
        ticket = listener.begin()
        ref.release()
        granted = listener.cancel(ticket)
        assert granted is not None and granted.is_valid
        granted.release()


def test_close_gives_back_what_was_not_taken(full):
    pool, ref = full
    listener = pool.listener()
    listener.begin()
    ref.release()
    assert pool.stats().used_slabs == 1
    listener.close()
    listener.close()
    assert pool.stats().used_slabs == 0


def test_a_dropped_listener_is_closed_with_a_warning(full):
    pool, ref = full
    listener = pool.listener()
    listener.begin()
    ref.release()
    with pytest.warns(ResourceWarning, match="close"):
        del listener
        gc.collect()
    assert pool.stats().used_slabs == 0


def test_a_dropped_listener_is_closed_where_warnings_are_errors(full, monkeypatch):
    pool, ref = full
    errors = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: errors.append(report.exc_type))
    listener = pool.listener()
    listener.begin()
    ref.release()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del listener
        gc.collect()
    assert errors == [ResourceWarning]
    assert pool.stats().used_slabs == 0


def test_in_an_event_loop(full):
    pool, ref = full

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        with pool.listener() as listener:
            granted: asyncio.Future = loop.create_future()
            ticket = listener.begin()
            loop.add_reader(listener.fd, lambda: granted.set_result(listener.take()))
            loop.call_soon(ref.release)
            slabs = await granted
            loop.remove_reader(listener.fd)
            slabs[ticket].release()

    asyncio.run(wait())


@pytest.mark.parametrize("own", [True, False], ids=["of its own", "asyncio's"])
def test_waits_are_futures_of_the_loop(full, own):
    pool, ref = full
    made = []

    class Future(asyncio.Future):
        pass

    class Loop(asyncio.SelectorEventLoop):
        if own:

            def create_future(self):
                made.append(Future(loop=self))
                return made[-1]

    async def wait_twice():
        waits = [asyncio.ensure_future(pool.acquire_async()) for _ in range(2)]
        await until_waiting_in_loop(pool, 2)
        made.clear()
        third = asyncio.ensure_future(pool.acquire_async())
        await until_waiting_in_loop(pool, 3)
        waiting = pool._queue().waiting.values()
        assert {type(future) for future in waiting} == {Future if own else asyncio.Future}
        assert len(waiting) == 3 and made[-1:] == (list(waiting)[-1:] if own else [])
        ref.release()
        for wait in [*waits, third]:
            (await wait).release()

    loop = Loop()
    loop.run_until_complete(wait_twice())
    loop.close()


def test_the_time_of_a_grant_means_what_it_means_elsewhere(full):
    pool, ref = full
    for too_short in (0, 0.0, -1e-12):
        with pytest.raises(
            slabby.InvalidArgumentError, match="choose more than 0 s, or None for ever"
        ):
            pool.listener(timeout=too_short)
    with pool.listener(timeout=1e-12) as listener:
        assert listener.cancel(listener.begin()) is None
    # Infinity and None are for ever, so that no grant is revoked.
    for forever in (None, float("inf"), 10**30):
        with pool.listener(timeout=forever) as listener:
            ticket = listener.begin()
            with pytest.raises(slabby.InvalidArgumentError, match="never issued; pass one that"):
                listener.cancel(ticket + 10)
            assert listener.cancel(ticket) is None
    ref.release()


def test_a_listener_of_a_closed_pool_names_the_pool():
    with slabby.Allocator(64, 1, name="orders") as pool, pool.listener() as listener:
        assert f"{pool!r}: descriptor {listener.fd}>" in repr(listener)
        pool.close()
        for call in (listener.begin, listener.take):
            with pytest.raises(slabby.ClosedError, match="pool orders"):
                call()
    assert repr(listener).endswith("closed>")
