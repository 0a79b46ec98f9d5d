# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that release what others look at. Counts, not clocks, end each test."""

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import slabby
from conftest import rounds

ATTEMPTS = rounds(full=2_000_000, usual=200_000, quick=40_000)
THREADS = 4


@pytest.fixture(autouse=True)
def eager_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*works: Callable[[], None]) -> None:
    """Runs all works at once and raises the first failure."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Duel:
    """One releases, Python's way and C's in turn; others look. Two slabs, so that each is reissued at once."""

    def __init__(self, pool: slabby.Allocator, core: ctypes.CDLL) -> None:
        self.pool = pool
        self.core = core
        self.ref = self.stamped()
        self.over = False
        self.checks = self.refused = 0

    def stamped(self) -> slabby.SlabRef:
        """A slab that carries its own reference."""
        ref = self.pool.allocate()
        memoryview(ref).cast("Q")[0] = ref.ref
        return ref

    def check(self) -> None:
        while not self.over:
            ref = self.ref
            try:
                view = memoryview(ref).cast("Q")
            except slabby.UseAfterFreeError:
                continue
            self.checks += 1
            # A view over a slab that was freed and handed out again would show another's stamp.
            for _ in range(8):
                assert view[0] == ref.ref
            del view

    def releases(self) -> None:
        handle = self.pool.handle()[0]
        try:
            for attempt in range(ATTEMPTS):
                if attempt % 2:
                    freed = self.core.slabby_release(handle, self.ref.ref) == 0
                else:
                    try:
                        self.ref.release()
                        freed = True
                    except slabby.PinnedError:
                        freed = False
                if freed:
                    self.ref = self.stamped()
                else:
                    self.refused += 1
        finally:
            self.over = True


def test_no_view_over_a_freed_slab(c_core):
    with slabby.Allocator(64, 2) as pool:
        duel = Duel(pool, c_core)
        together(duel.releases, *[duel.check] * 3)
        assert duel.checks > 0 and duel.refused > 0
        duel.ref.release()
        stats = pool.stats()
        assert stats.used_slabs == 0
        # Each refusal was an attempt that changed nothing: what succeeded is exactly what was reissued.
        assert stats.total_allocations == stats.total_deallocations == ATTEMPTS - duel.refused + 1
        assert pool.verify() == []


def test_exactly_one_of_many_releases_succeeds(c_core):
    with slabby.Allocator(64, 64) as pool:
        handle = pool.handle()[0]
        wins: list[int] = []
        refs: list[slabby.SlabRef] = []
        barrier = threading.Barrier(THREADS)

        def contender() -> None:
            won = 0
            for _ in range(ATTEMPTS // 4000):
                if barrier.wait() == 0:
                    refs[:] = pool.allocate_batch(64)
                barrier.wait()
                won += sum(c_core.slabby_release(handle, ref.ref) == 0 for ref in refs)
                barrier.wait()
            wins.append(won)

        together(*[contender] * THREADS)
        assert sum(wins) == 64 * (ATTEMPTS // 4000)
        assert pool.stats().used_slabs == 0


def test_exhaustion_is_truthful():
    """With a credit for each slab in hand, no allocate may answer OutOfMemory."""
    with slabby.Allocator(64, 3) as pool:
        credits = threading.BoundedSemaphore(3)

        def work() -> None:
            for _ in range(ATTEMPTS // 100):
                with credits, pool.allocate() as ref:
                    memoryview(ref)[0] = 1

        together(*[work] * 8)
        assert pool.stats().total_allocations == 8 * (ATTEMPTS // 100)
        assert pool.stats().allocation_errors == 0
        assert pool.verify() == []


LONG_CALLS: dict[str, Callable[[slabby.Allocator, int], object]] = {
    "verify": lambda pool, attempt: pool.verify(),
    "trim": lambda pool, attempt: pool.trim(),
    "reset": lambda pool, attempt: pool.reset(),
    "resize": lambda pool, attempt: pool.resize(10_000 if attempt % 2 == 0 else 20_000),
}
LONG_ENOUGH_S = 20


@pytest.mark.parametrize("name", LONG_CALLS)
def test_long_calls_let_others_run(name: str) -> None:
    """Another thread gets the interpreter in the middle of such a call, because the call has left it: by itself the
    interpreter would switch threads once in an hour."""
    turn = threading.Lock()
    turn.acquire()
    waiting, ran = threading.Event(), []

    def other() -> None:
        waiting.set()
        with turn:
            ran.append(True)

    thread = threading.Thread(target=other)
    with slabby.Allocator(4096, 20_000, max_capacity=20_000) as pool:
        sys.setswitchinterval(3600)
        thread.start()
        waiting.wait()
        turn.release()
        # One call may be over before the other thread has woken up.
        attempt, until = 0, time.monotonic() + LONG_ENOUGH_S
        while not ran and time.monotonic() < until:
            LONG_CALLS[name](pool, attempt)
            attempt += 1
        during = list(ran)
        thread.join()
    assert during, f"{attempt} calls of {name} in {LONG_ENOUGH_S} s, and the other thread never ran"
