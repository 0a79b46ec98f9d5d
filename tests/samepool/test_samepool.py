# SPDX-License-Identifier: GPL-3.0-or-later
"""One pool in one process, driven from C, Python over CFFI, Python over SWIG, and Go."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from bindings import OK, SEAL, STAMP, Binding, Market, all_bindings, core_path, golib, golib_log

import slabby
from slabby import Status

BINDINGS = range(4)
NAMES = ("c", "cffi", "swig", "go")
PAIRS = list(product(BINDINGS, BINDINGS))


def names(pair: tuple[int, int]) -> str:
    return f"{NAMES[pair[0]]}-{NAMES[pair[1]]}"


@pytest.fixture
def pool() -> Iterator[slabby.Allocator]:
    made = slabby.Allocator(256, 8)
    yield made
    assert made.verify() == []
    made.close()


@pytest.fixture
def bindings(pool: slabby.Allocator) -> list[Binding]:
    return all_bindings(pool)


def test_one_core(bindings: list[Binding]) -> None:
    """Every binding answers the same instance id, and the process maps one core."""
    assert len({binding.instance_id() for binding in bindings}) == 1
    mapped = {
        line.split(maxsplit=5)[5].strip()
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "libslabby" in line
    }
    assert mapped == {str(core_path().resolve())}


@pytest.mark.parametrize("pair", PAIRS, ids=names)
def test_what_one_holds_another_uses(bindings: list[Binding], pair: tuple[int, int]) -> None:
    owner, other = bindings[pair[0]], bindings[pair[1]]
    status, ref = owner.allocate()
    assert status == OK
    text = f"from {owner.name} to {other.name}".encode()
    assert owner.write(ref, text) == OK
    assert other.read(ref, len(text)) == (OK, text)
    assert other.pin(ref) == OK
    assert owner.release(ref) == Status.PINNED
    assert other.unpin(ref) == OK
    assert other.release(ref) == OK
    assert owner.release(ref) == Status.DOUBLE_DEALLOCATION
    for binding in bindings:
        assert binding.read(ref, 1) == (Status.USE_AFTER_FREE, b"")


@pytest.mark.parametrize("at", [0, 1, 2], ids=NAMES[:3])
def test_go_logs_what_others_do(at: int) -> None:
    """A breaker that another language trips is in Go's log, without a call of Go's, once."""
    name = f"logged-by-{NAMES[at]}"
    with slabby.Allocator(
        64, 1, name=name, circuit_breaker_threshold=1, circuit_breaker_timeout=3600
    ) as made:
        binding = all_bindings(made)[at]
        assert golib().golib_join_logged(*made.handle()) >= 0
        status, ref = binding.allocate()
        assert status == OK
        assert binding.allocate()[0] == Status.OUT_OF_MEMORY
        until = time.monotonic() + 60
        heard: list[str] = []
        while heard != ["exhausted", "breaker_opened"]:
            assert time.monotonic() < until, heard
            time.sleep(0.001)
            heard = [line["event"] for line in golib_log() if line["pool"] == name]
        assert binding.release(ref) == OK


@pytest.mark.parametrize("pair", PAIRS, ids=names)
def test_release_waits_for_the_pin_of_another(
    pool: slabby.Allocator, bindings: list[Binding], pair: tuple[int, int]
) -> None:
    owner, other = bindings[pair[0]], bindings[pair[1]]
    _, ref = owner.allocate()
    assert other.pin(ref) == OK
    assert owner.release_deferred(ref) == OK
    assert pool.stats().used_slabs == 1
    for binding in bindings:
        assert binding.pin(ref) == Status.USE_AFTER_FREE
        assert binding.release(ref) == Status.DOUBLE_DEALLOCATION
    assert other.unpin(ref) == OK
    assert pool.stats().used_slabs == 0


def test_statuses_agree(pool: slabby.Allocator, bindings: list[Binding]) -> None:
    other_pool = slabby.Allocator(256, 8)
    foreign = other_pool.allocate()
    _, stale = bindings[0].allocate()
    assert bindings[0].release(stale) == OK
    _, live = bindings[0].allocate()
    bad = {"zero": 0, "forged": live ^ 1 << 40, "foreign": foreign.ref, "all ones": 2**64 - 1}
    for binding in bindings:
        for name, ref in bad.items():
            wanted = Status.INVALID_REFERENCE
            for call in (binding.release, binding.release_deferred, binding.pin):
                assert call(ref) == wanted, f"{binding.name}: {name}"
            assert binding.read(ref, 1)[0] == wanted, f"{binding.name}: {name}"
        assert binding.release(stale) == Status.DOUBLE_DEALLOCATION
        assert binding.pin(stale) == Status.USE_AFTER_FREE
    assert bindings[1].release(live) == OK
    foreign.release()


def test_exhaustion_and_close_are_reported_to_all(
    pool: slabby.Allocator, bindings: list[Binding]
) -> None:
    refs = [bindings[at % 4].allocate() for at in range(8)]
    assert [status for status, _ in refs] == [OK] * 8
    for binding in bindings:
        assert binding.allocate() == (Status.OUT_OF_MEMORY, 0)
    pool.close()
    for binding in bindings:
        assert binding.allocate() == (Status.CLOSED, 0)
    for at, (_, ref) in enumerate(refs):
        assert bindings[(at + 1) % 4].release(ref) == OK
    assert pool.stats().used_slabs == 0


def test_one_queue_for_all_bindings() -> None:
    """The first to wait is served first, in whatever language each of them waits."""
    pool = slabby.Allocator(64, 1)
    bindings = all_bindings(pool) * 3
    held = pool.allocate().detach()
    with ThreadPoolExecutor(len(bindings)) as executor:
        queue = []
        for binding in bindings:
            queue.append(executor.submit(binding.wait, 60))
            while pool.stats().waiters < len(queue):
                assert not queue[-1].done(), queue[-1].result()
        for at, waiting in enumerate(queue):
            assert bindings[at - 1].release(held) == OK
            status, held = waiting.result()
            assert status == OK
            assert not any(other.done() for other in queue[at + 1 :])
    assert pool.stats().allocation_errors == 0
    assert bindings[0].release(held) == OK
    assert pool.verify() == []


def test_close_ends_the_waits_of_all_bindings() -> None:
    pool = slabby.Allocator(64, 1)
    bindings = all_bindings(pool)
    held = pool.allocate()
    with ThreadPoolExecutor(len(bindings)) as executor:
        queue = [executor.submit(binding.wait, 60) for binding in bindings]
        while pool.stats().waiters < len(queue):
            assert not any(waiting.done() for waiting in queue)
        pool.close()
        assert [waiting.result() for waiting in queue] == [(Status.CLOSED, 0)] * 4
    held.release()


POOLS: dict[str, dict[str, Any]] = {
    "default": {},
    "portable": {"cpu_cache_backend": "portable"},
    "without CPU caches": {"per_cpu_cache": False},
    "protected": {"secure": True, "bit_guard": True, "audit": 1024},
}


@pytest.mark.parametrize("name", POOLS)
def test_all_bindings_at_once(name: str) -> None:
    """Demand never exceeds capacity, so no binding may ever meet OutOfMemory (law 1), nor another's slab (law 3); a
    second release is refused (law 2), and the counters agree with what was done (law 6)."""
    slots, workers_a_binding = 8, 2
    pool = slabby.Allocator(64, slots + 4 * workers_a_binding, **POOLS[name])
    bindings = all_bindings(pool)
    market = Market(slots)
    for at in range(slots):
        fill_slot(bindings[at % 4], market, at)
    milliseconds = int(1000 * float(os.environ.get("SAMEPOOL_SECONDS", "0.75")))
    over = threading.Event()
    with ThreadPoolExecutor(4 * workers_a_binding + 1) as executor:
        inspector = executor.submit(inspect_until, over, pool)
        jobs = [
            executor.submit(binding.work, market, milliseconds, seed)
            for seed, binding in enumerate(bindings * workers_a_binding, start=1)
        ]
        outcomes = [job.exception() or job.result() for job in jobs]
        over.set()
        inspected = inspector.result()
    print(
        [(f.name, o) for f, o in zip(bindings * workers_a_binding, outcomes, strict=True)],
        inspected,
    )
    for outcome in outcomes:
        assert isinstance(outcome, tuple) and outcome[0] == OK, outcomes
        assert outcome[1] > 0, "a worker never traded"
    for at in range(slots):
        assert bindings[at % 4].release(market.slots[at]) == OK
    check_quiet(pool, slots + sum(trades for _, trades in outcomes))  # type: ignore[misc]


def fill_slot(binding: Binding, market: Market, at: int) -> None:
    status, ref = binding.allocate()
    assert status == OK
    assert binding.write(ref, STAMP.pack(ref, ref ^ SEAL)) == OK
    market.slots[at] = ref


def inspect_until(over: threading.Event, pool: slabby.Allocator) -> int:
    """Opens and closes the gate all the while; returns how often."""
    times = 0
    while not over.is_set():
        assert pool.verify() == []
        stats = pool.stats()
        assert stats.used_slabs <= stats.total_slabs
        # A worker that the system stops inside a call for long makes trim give up, as it may.
        with contextlib.suppress(slabby.BusyError):
            pool.trim()
        times += 1
    return times


def check_quiet(pool: slabby.Allocator, allocations: int) -> None:
    stats = pool.stats()
    assert pool.verify() == []
    assert (stats.used_slabs, stats.available_slabs) == (0, stats.total_slabs)
    assert stats.total_allocations == stats.total_deallocations == allocations
    assert stats.allocation_errors == 0


def test_readme_example() -> None:
    """The Python program of the README prints what the README says."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert printed.splitlines() == re.findall(r"# prints: (.*)", text)


OWN_CORE = """
import ctypes, os, slabby
pool = slabby.Allocator(64, 4)
address, instance = pool.handle()
go = ctypes.CDLL(os.environ["SAMEPOOL_OWNCORE"], mode=ctypes.RTLD_GLOBAL)
go.owncore_instance_id.restype = ctypes.c_uint64
go.owncore_adopt.argtypes = [ctypes.c_uint64] * 2
assert go.owncore_instance_id() not in (0, instance), "two cores have one instance id"
print(go.owncore_adopt(address, instance), go.owncore_use())
with pool.allocate() as ref, memoryview(ref) as view:
    view[0] = 1
"""


def test_a_separate_core_keeps_to_itself() -> None:
    """A Go library with a core of its own refuses the shared core's handle, and both go on working."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", OWN_CORE],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(int(Status.ABI_MISMATCH)), "0"]
    assert done.stderr == ""
