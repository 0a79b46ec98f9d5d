# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals during a wait in the main thread. Events order what happens; LONG only bounds how long a defect lasts."""

from __future__ import annotations

import copy
import json
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FunctionType

import pytest
import slabby
from conftest import FULL
from test_waiting import until_waiting

LONG = 60
# Longer than any test runs: a wait that is not interrupted ends when the helper gives the slab back.
FOREVER = 10**9


class Interrupted(Exception):
    """What a handler of one's own raises."""


@pytest.fixture
def full() -> Iterator[tuple[slabby.Allocator, slabby.SlabRef]]:
    with slabby.Allocator(64, 1) as pool:
        yield pool, pool.allocate()
        assert pool.stats().used_slabs == 0
        assert pool.stats().waiters == 0
        assert pool.verify() == []


@pytest.fixture
def handler() -> Iterator[Callable[..., None]]:
    """Installs a handler of SIGUSR1, until the test is over."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda function: signal.signal(signal.SIGUSR1, function)
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own handler of Ctrl-C, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_the_wait(full, ctrl_c):
    pool, ref = full
    ended = threading.Event()
    in_time = []

    def interrupt():
        until_waiting(pool, 1)
        os.kill(os.getpid(), signal.SIGINT)
        in_time.append(ended.wait(LONG))
        ref.release()

    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            pool.allocate(timeout=FOREVER)
        # Before the slab comes back: it was the signal that ended the wait.
        assert pool.stats().waiters == 0
        assert pool.stats().used_slabs == 1
    finally:
        ended.set()
        helper.join()
    assert in_time == [True]
    # A change of mind is no failure of the pool.
    assert pool.stats().allocation_errors == 0


def main_thread_is_in(function: FunctionType) -> bool:
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame is not None


def test_ctrl_c_ends_the_wait_of_a_listener(full, ctrl_c):
    pool, ref = full
    ended = threading.Event()
    in_time = []

    def interrupt():
        while not main_thread_is_in(slabby.Listener.wait):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        in_time.append(ended.wait(LONG))
        ref.release()

    helper = threading.Thread(target=interrupt)
    with pool.listener() as listener:
        listener.begin()
        try:
            with pytest.raises(KeyboardInterrupt):
                helper.start()
                listener.wait()
        finally:
            ended.set()
            helper.join()
    assert in_time == [True]


def test_a_signal_that_raises_nothing_keeps_the_position(full, handler):
    pool, ref = full
    handled = threading.Semaphore(0)
    handler(lambda *_: handled.release())
    order, in_time = [], []

    def second():
        until_waiting(pool, 1)
        with pool.allocate(timeout=FOREVER):
            order.append("second")

    def disturb():
        until_waiting(pool, 2)
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGUSR1)
            in_time.append(handled.acquire(timeout=LONG))
        ref.release()

    helpers = [threading.Thread(target=work) for work in (second, disturb)]
    for helper in helpers:
        helper.start()
    with pool.allocate(timeout=FOREVER):
        order.append("first")
    for helper in helpers:
        helper.join()
    assert order == ["first", "second"]
    assert in_time == [True] * 5


# A signal may also come when the slab was granted and not taken yet, and dropping it is worth a warning.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_signal_against_the_grant_loses_nothing(full, handler):
    pool, ref = full
    outcomes = {"slab": 0, "signal": 0}

    def interrupt(*_):
        raise Interrupted

    def race(signal_first):
        until_waiting(pool, 1)
        if signal_first:
            os.kill(os.getpid(), signal.SIGUSR1)
        ref.release()
        if not signal_first:
            os.kill(os.getpid(), signal.SIGUSR1)

    handler(interrupt)
    for number in range(2000 if FULL else 200):
        helper = threading.Thread(target=race, args=(number % 2 == 0,))
        helper.start()
        slab = None
        try:
            slab = pool.allocate(timeout=FOREVER)
            outcomes["slab"] += 1
            helper.join()
            # The signal has been sent: it is handled here at the latest.
            signal.pthread_sigmask(signal.SIG_BLOCK, ())
        except Interrupted:
            outcomes["signal"] += 1
        helper.join()
        if slab is not None:
            slab.release()
        assert pool.stats().used_slabs == 0
        ref = pool.allocate()  # the one slab that there is
    ref.release()
    assert outcomes["signal"] > 0


def test_without_a_descriptor_the_wait_still_ends(full):
    pool, ref = full
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def give():
        until_waiting(pool, 1)
        ref.release()

    helper = threading.Thread(target=give)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        helper.start()
        slab = pool.allocate(timeout=FOREVER)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    helper.join()
    slab.release()


def test_a_wait_in_the_main_thread_counts_as_any_other(full):
    pool, ref = full
    with pytest.raises(slabby.TimeoutError):
        pool.allocate(timeout=0.001)
    stats = pool.stats()
    assert stats.allocation_errors == 1
    assert stats.errors[slabby.Status.TIMEOUT] == 1
    pool.breaker_force(slabby.BreakerMode.FORCED_OPEN)
    with pytest.raises(slabby.CircuitBreakerOpenError):
        pool.allocate(timeout=FOREVER)
    pool.breaker_force(slabby.BreakerMode.NORMAL)
    closer = threading.Thread(target=lambda: (until_waiting(pool, 1), pool.close()))
    closer.start()
    with pytest.raises(slabby.ClosedError):
        pool.allocate(timeout=FOREVER)
    closer.join()
    ref.release()


def written_later(pool: slabby.Allocator, descriptor: int) -> int:
    end = time.monotonic() + LONG
    while True:
        try:
            return pool.audit_write(descriptor)
        except slabby.BusyError:
            assert time.monotonic() < end


def test_ctrl_c_ends_the_wait_for_a_full_pipe(ctrl_c):
    """The trail stays whole: each record is in it once."""
    pool = slabby.Allocator(64, 1, audit=10000)
    for _ in range(2000):
        pool.allocate().release()
    reader, writer = os.pipe()
    ended = threading.Event()
    in_time = []

    def interrupt() -> None:
        while select.select([], [writer], [], 0)[1]:
            pass
        os.kill(os.getpid(), signal.SIGINT)
        in_time.append(ended.wait(LONG))
        while not ended.is_set():
            if select.select([reader], [], [], 0.1)[0]:
                os.read(reader, 1 << 16)

    helper = threading.Thread(target=interrupt)
    helper.start()
    text, records = b"", 4001  # with the one of the pool's beginning
    try:
        with pytest.raises(KeyboardInterrupt):
            pool.audit_write(writer)
        with pytest.raises(slabby.BusyError):
            pool.audit_write(writer)
        ended.set()
        while text.count(b"\n") < 1 + records:
            text += os.read(reader, 1 << 16)
        pool.allocate().release()
        assert written_later(pool, writer) == 2
        text += os.read(reader, 1 << 16)
    finally:
        ended.set()
        helper.join()
        os.close(reader)
        os.close(writer)
    assert in_time == [True]
    numbers = [json.loads(line)["sequence"] for line in text.splitlines()[1:]]
    assert numbers == list(range(records + 2))


def test_one_audit_write_at_a_time(monkeypatch, tmp_path):
    """The first call has left the core, which would take another one, and has not stored its place yet."""
    pool = slabby.Allocator(64, 1, audit=100)
    pool.allocate().release()
    core, left, stored = pool._backend.core, threading.Event(), threading.Event()

    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(core, name)

        def slabby_audit_write(self, *arguments):
            answer = core.slabby_audit_write(*arguments)
            left.set()
            assert stored.wait(LONG)
            return answer

    counts = []
    with open(tmp_path / "trail", "w") as file:
        writer = threading.Thread(target=lambda: counts.append(pool.audit_write(file.fileno())))
        with monkeypatch.context() as patch:
            slow = copy.copy(pool._backend)
            slow.core = Slow()
            patch.setattr(pool, "_backend", slow)
            writer.start()
            assert left.wait(LONG)
        with pytest.raises(slabby.BusyError, match="has not ended yet"):
            pool.audit_write(file.fileno())
        stored.set()
        writer.join()
        assert counts == [3]
        assert pool.audit_write(file.fileno()) == 0
