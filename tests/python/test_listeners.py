# SPDX-License-Identifier: GPL-3.0-or-later
"""A listener ends once, also where several threads close it, or sleep in it."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
from typing import Any

import pytest
import slabby
from conftest import Script
from test_interrupts import main_thread_is_in

CLOSED = "this Listener was closed"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_listener_has_no_copy(pool, copied):
    with pool.listener() as listener, pytest.raises(TypeError, match="cannot copy or pickle"):
        copied(listener)
    assert pool.stats().waiters == 0


def test_threads_that_close_one_listener(pool):
    """For each round, both threads begin at once."""
    go = threading.Barrier(2)
    listeners = [pool.listener() for _ in range(300)]

    def close() -> None:
        for listener in listeners:
            go.wait()
            listener.close()

    for listener in listeners:
        for _ in range(8):
            listener.begin()
    threads = [threading.Thread(target=close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.stats().used_slabs == 0


def test_close_wakes_threads_that_sleep_in_it():
    with slabby.Allocator(64, 1) as pool, pool.allocate():
        listener = pool.listener()
        listener.begin()
        asleep = threading.Semaphore(0)
        found: list[Any] = []

        def wait() -> None:
            asleep.release()
            try:
                found.append(listener.wait())
            except slabby.ClosedError as error:
                found.append(str(error))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in threads:
            asleep.acquire()
        listener.close()
        assert pool.stats().waiters == 0
        for thread in threads:
            thread.join()
        assert len(found) == 3 and all(text.startswith(CLOSED) for text in found)
        with pytest.raises(slabby.ClosedError, match=CLOSED):
            listener.wait(0)


def test_a_child_closes_what_a_thread_of_its_parent_sleeps_in(run_script: Script) -> None:
    done = run_script("""
import os, threading, time, warnings
import slabby

# From 3.12 on Python warns of a fork beside threads.
warnings.simplefilter("ignore", DeprecationWarning)
pool = slabby.Allocator(64, 1)
ref = pool.allocate()
listener = pool.listener()
listener.begin()
thread = threading.Thread(target=listener.wait)
thread.start()
time.sleep(0.05)
child = os.fork()
if child == 0:
    listener.close()
    os._exit(0 if pool.stats().waiters == 0 else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
ref.release()
thread.join()
listener.close()
print("child", code)
""")
    assert (done.stdout, done.returncode) == ("child 0\n", 0), done.stderr


def test_a_signal_handler_may_close_it():
    with slabby.Allocator(64, 1) as pool, pool.allocate():
        listener = pool.listener()
        listener.begin()
        before = signal.signal(signal.SIGUSR1, lambda *_: listener.close())

        def send() -> None:
            while not main_thread_is_in(slabby.Listener.wait):
                pass
            os.kill(os.getpid(), signal.SIGUSR1)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            with pytest.raises(slabby.ClosedError, match=CLOSED):
                listener.wait()
        finally:
            thread.join()
            signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("limit", [0, 1, 64, 65, 128, 65536])
def test_at_most_as_many_are_taken(limit):
    with slabby.Allocator(64, 150) as pool, pool.listener() as listener:
        tickets = [listener.begin(number) for number in range(150)]
        most = min(limit, 150)
        grants = listener.take_grants(limit)
        assert [grant.ticket for grant in grants] == tickets[:most]
        assert [grant.user_data for grant in grants] == list(range(most))
        for grant in grants:
            grant.slab.release()
        rest = listener.take(150 - most + 1)
        assert list(rest) == tickets[most:]
        for slab in rest.values():
            slab.release()


def test_what_a_closed_pool_granted_can_be_taken():
    pool = slabby.Allocator(64, 100)
    with pool.listener() as listener:
        for _ in range(64):
            listener.begin()
        pool.close()
        granted = listener.take(200)
        assert len(granted) == 64
        with pytest.raises(slabby.ClosedError, match="pool"):
            listener.take()
        for slab in granted.values():
            slab.release()


def test_references_are_the_callers(pool):
    with pool.listener() as listener:
        first, second = listener.begin(), listener.begin()
        [(ticket, ref)] = listener.take_refs(1)
        assert ticket == first
        other = listener.cancel_ref(second)
        assert listener.cancel_ref(second) == 0
        for number in (ref, other):
            pool.from_ref(number).release()


def test_a_listener_is_made_of_a_pool(pool):
    with slabby.Listener(pool) as listener, slabby.Listener(pool, timeout=60):
        ticket = listener.begin()
        assert listener.wait(60)
        listener.take()[ticket].release()
