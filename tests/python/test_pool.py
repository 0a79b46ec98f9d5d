# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool as a whole: making, closing, batches, reset, snapshots, backends."""

import gc
import json
import math
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import slabby
from slabby import _backend
from slabby._gc_clock import clock


def test_exhaustion_and_back():
    with slabby.Allocator(64, 3) as pool:
        refs = [pool.allocate() for _ in range(3)]
        with pytest.raises(MemoryError) as caught:
            pool.allocate()
        assert isinstance(caught.value, slabby.OutOfMemoryError)
        assert "64" in str(caught.value) and "3" in str(caught.value)
        refs.pop().release()
        pool.allocate().release()
        for ref in refs:
            ref.release()


def test_batches(pool):
    refs = pool.allocate_batch(100)
    assert len({ref.id for ref in refs}) == 100
    with pytest.raises(slabby.OutOfMemoryError):
        pool.allocate_batch(1)
    assert pool.deallocate_batch(refs[:60]) == 60
    with pytest.raises(slabby.OutOfMemoryError):
        pool.allocate_batch(61)
    assert pool.stats().used_slabs == 40
    pool.deallocate_batch(refs[60:])


@pytest.mark.parametrize("count", [0, 201, 1_000_000, 2**63, 2**64 - 1])
def test_impossible_batches_are_refused(pool, count):
    with pytest.raises(slabby.InvalidBatchSizeError):
        pool.allocate_batch(count)


@pytest.mark.parametrize("count", [-1, 2**64])
def test_batch_sizes_beyond_64_bits(pool, count):
    with pytest.raises(slabby.InvalidBatchSizeError, match=f"count is {count}, .* 1 to 100 slabs"):
        pool.allocate_batch(count)


def test_a_batch_releases_what_it_can(pool):
    refs = pool.allocate_batch(5)
    refs[1].release()
    view = memoryview(refs[3])
    with pytest.raises(slabby.DoubleDeallocationError) as caught:
        pool.deallocate_batch(refs)
    assert caught.value.value == 3
    assert [ref.is_valid for ref in refs] == [False, False, False, True, False]
    view.release()
    refs[3].release()
    assert pool.deallocate_batch([]) == 0


def test_reset_makes_everything_stale(pool):
    refs = pool.allocate_batch(10)
    pool.reset()
    assert not any(ref.is_valid for ref in refs)
    assert pool.stats().used_slabs == 0
    with pytest.raises(slabby.DoubleDeallocationError):
        refs[0].release()


def test_close_is_final_and_idempotent():
    pool = slabby.Allocator(64, 4)
    ref = pool.allocate()
    pool.close()
    pool.close()
    for refused in (pool.allocate, pool.allocate_fast, lambda: pool.allocate_batch(1)):
        with pytest.raises(slabby.ClosedError):
            refused()
    ref.release()
    assert pool.stats().used_slabs == 0


def test_dropped_pools_make_space():
    for _ in range(5_000):
        slabby.Allocator(64, 1)


FORGOTTEN = """
import gc
import resource
import slabby

def forget_pools(count, slab_size, capacity):
    for number in range(count):
        holder = [slabby.Allocator(slab_size, capacity)]
        holder.append(holder)

gc.disable()
forget_pools(5000, 8, 1)
gc.collect()
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
limit = pages * resource.getpagesize() + 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
forget_pools(20, 2**20, 300)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits the address space of Linux"
)
def test_pools_in_cycles_are_collected_at_the_limit_of_pools_and_of_memory(run_script):
    done = run_script(FORGOTTEN)
    assert (done.returncode, done.stderr) == (0, "")


def test_timeouts(pool):
    for nothing in (0, 0.0, timedelta(0)):
        pool.allocate(timeout=nothing).release()
    for without_end in (None, math.inf, 1e300, 10**400):
        pool.allocate(timeout=without_end).release()
        pool.acquire(without_end).release()
    for wrong in (-1, math.nan, -math.inf):
        with pytest.raises(slabby.InvalidArgumentError, match="timeout"):
            pool.allocate(timeout=wrong)
    for wrong in ("soon", True, [1]):
        with pytest.raises(TypeError, match="timeout"):
            pool.allocate(wrong)
    with pytest.raises(TypeError, match="attempts"):
        pool.allocate(attempts=1)
    with pytest.raises(TypeError, match="at most 1"):
        pool.allocate(1, 2)


@pytest.mark.parametrize("size", [-1, 0, 2**30 + 1, 2**64 - 1, 2**70])
def test_slab_sizes_beyond_the_limits(size):
    with pytest.raises(slabby.InvalidSlabSizeError) as caught:
        slabby.Allocator(size, 1)
    assert (caught.value.minimum, caught.value.maximum) == (1, 2**30)
    assert str(size) in str(caught.value)


def test_capacities_beyond_the_limits():
    for too_few in (-1, 0):
        with pytest.raises(slabby.InvalidCapacityError):
            slabby.Allocator(64, too_few)
    for too_many in (2**31, 2**70):
        with pytest.raises(slabby.CapacityExceededError):
            slabby.Allocator(64, too_many)
    for wrong in ("10", 1.5, None, True):
        with pytest.raises(TypeError, match="capacity"):
            slabby.Allocator(64, wrong)


def test_a_subclass_that_forgets_to_begin():
    class Forgetful(slabby.Allocator):
        def __init__(self):
            pass

    pool = Forgetful()
    for use in (pool.allocate, pool.allocate_fast, lambda: pool.deallocate_fast(1)):
        with pytest.raises(RuntimeError, match="__init__"):
            use()
    assert "without a pool" in repr(pool)


def test_a_pool_begins_once(pool):
    # Often enough that pools left behind would use up the places.
    for _ in range(5_000):
        with pytest.raises(RuntimeError, match="already"):
            pool.__init__(64, 1)
    pool.allocate().release()


def test_stats_report_what_happened(pool):
    refs = [pool.allocate() for _ in range(7)]
    number = pool.allocate_fast()[1]
    stats = pool.stats()
    assert stats.version == slabby.core_version() == slabby.__version__
    assert (stats.total_slabs, stats.slab_size) == (100, 4096)
    assert (stats.used_slabs, stats.available_slabs) == (8, 92)
    assert (stats.total_allocations, stats.fast_allocations) == (8, 1)
    assert stats.ref_pool_hits == 7
    tiers = stats.pcpu_cache_hits + stats.lock_free_hits + stats.shard_hits
    assert tiers + stats.gate_hits + stats.guard_hits + stats.heap_fallbacks == 8
    assert stats.breaker_state is slabby.BreakerState.CLOSED
    assert stats.degradation_state is slabby.DegradationState.HEALTHY
    pool.deallocate_fast(number)
    pool.deallocate_batch(refs)
    with pytest.raises(slabby.DoubleDeallocationError):
        refs[0].release()
    stats = pool.stats()
    assert stats.total_deallocations == 8
    assert stats.errors[slabby.Status.DOUBLE_DEALLOCATION] == 1
    with pytest.raises(AttributeError):
        stats.used_slabs = 1


def test_json_has_the_same_numbers(pool):
    with pool.allocate():
        stats, reported = pool.stats(), json.loads(pool.stats_json())
    for name in ("version", "total_slabs", "used_slabs", "total_allocations", "memory_utilization"):
        assert reported[name] == getattr(stats, name)
    assert reported["breaker_state"] == stats.breaker_state.name.lower()


def test_memory_and_view(pool):
    memory, view = pool.memory(), pool.view()
    assert memory.slab_bytes == 100 * 4096
    assert memory.stride == view.stride >= 4096
    assert memory.reserved_bytes >= 100 * memory.stride - memory.stride + 4096
    with pool.allocate() as ref:
        assert ref.address == view.slabs_address + ref.id * view.stride


def test_live_lists_what_is_out(pool):
    refs = pool.allocate_batch(3)
    number = pool.allocate_fast()[1]
    refs[0].label = 42
    view = memoryview(refs[1])
    live = {record.id: record for record in pool.live()}
    assert set(live) == {ref.id for ref in refs} | {number}
    assert live[refs[0].id].label == 42
    assert live[refs[1].id].pins == 1
    assert live[refs[2].id].ref == refs[2].ref
    assert live[refs[2].id].state is slabby.SlabState.LIVE
    assert (live[number].state, live[number].ref) == (slabby.SlabState.LIVE_FAST, 0)
    view.release()
    pool.reset()
    assert list(pool.live()) == []


def test_trim_returns_pages_as_zeros(pool):
    refs = pool.allocate_batch(100)
    for ref in refs:
        memoryview(ref)[:] = b"\xff" * 4096
    pool.deallocate_batch(refs)
    assert pool.trim() > 0
    assert pool.reclaim() == 0


def test_the_collectors_clock():
    clock.last_duration_ns = 0
    gc.collect()
    assert clock.last_duration_ns > 0


def write_to_nothing(pool):
    with open(os.devnull, "wb", buffering=0) as nothing:
        pool.audit_write(nothing.fileno())


def listen_by_numbers(pool):
    """What slabby.Listener does in C."""
    core = pool._core
    listener, descriptor = core.slabby_listener_create(pool)
    assert descriptor >= 0
    core.slabby_listener_set_timeout(listener, 10**12)
    first, second = (core.slabby_wait_begin(listener, number) for number in (7, 8))
    core.slabby_listener_wait(listener, 0)
    tickets, refs, given, count = core.slabby_wait_take(listener, 1)
    assert (tickets, given, count) == ([first], [7], 1)
    for ref in (refs[0], core.slabby_wait_cancel(listener, second)):
        core.slabby_release(pool, ref)
    core.slabby_listener_destroy(listener)


CALLS = {
    "slabby_get_health": lambda pool: pool.health_check(),
    "slabby_health_json": lambda pool: pool.health_json(),
    "slabby_health_tick": lambda pool: pool.health_tick(),
    "slabby_listener_create": listen_by_numbers,
    "slabby_reset": lambda pool: pool._core.slabby_reset(pool),
    "slabby_audit_read": lambda pool: list(slabby.Allocator(64, 1, audit=8).audit()),
    "slabby_audit_write": lambda pool: write_to_nothing(slabby.Allocator(64, 1, audit=8)),
    "slabby_events_read": lambda pool: list(pool.events()),
    "slabby_resize": lambda pool: pool.resize(50),
    "slabby_breaker_force": lambda pool: pool.breaker_force(slabby.BreakerMode.NORMAL),
    "slabby_allocate_timeout": lambda pool: pool._core.slabby_allocate_timeout(pool, 0).release(),
    "slabby_classify_fault": lambda pool: slabby.classify_fault(4096),
    "slabby_install_fault_handler": lambda pool: slabby.install_fault_handler(),
    "slabby_suggest_slab_size": lambda pool: slabby.suggest_slab_size(
        100, 1000, rate_per_second=1e6
    ),
    "slabby_suggest_capacity": lambda pool: slabby.suggest_capacity(
        1e6, mean_hold=0.001, p99_hold=0.01, exhaustion_probability=1e-6
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls_that_are_used_nowhere_else_work(pool, call):
    call(pool)


def test_one_core_below_two_backends(pool):
    backends = [_backend.load(name) for name in _backend.NAMES]
    assert {backend.instance_id for backend in backends} == {slabby.instance_id()}
    cores = {
        line.split(maxsplit=5)[5].strip()
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "libslabby" in line
    }
    assert cores == {str(Path(slabby.__file__).with_name("libslabby.so.0"))}


def test_a_pool_passes_between_backends(pool):
    others = [slabby.Allocator.adopt(*pool.handle(), backend=name) for name in _backend.NAMES]
    assert [other.backend for other in others] == ["cffi", "swig"]
    for other in others:
        ref = other.allocate()
        assert (type(other), type(ref)) == (slabby.Allocator, slabby.SlabRef)
        mine = pool.from_ref(ref.ref)
        with memoryview(mine) as view:
            view[:4] = b"same"
            with pytest.raises(slabby.PinnedError):
                ref.release()
        assert bytes(memoryview(ref)[:4]) == b"same"
        pool.deallocate(ref)
        assert other.stats().total_deallocations == pool.stats().total_deallocations


def test_an_adopted_pool_outlives_its_maker():
    maker = slabby.Allocator(64, 2)
    adopted = slabby.Allocator.adopt(*maker.handle())
    del maker
    with adopted.allocate() as ref:
        assert ref.is_valid


def test_handles_of_other_cores_are_refused(pool):
    address, instance = pool.handle()
    with pytest.raises(slabby.AbiMismatchError):
        slabby.Allocator.adopt(address, instance ^ 1)
    with pytest.raises(slabby.InvalidArgumentError):
        slabby.Allocator.adopt(4096, instance)
    with pytest.raises(ValueError, match="fortran"):
        slabby.Allocator.adopt(address, instance, backend="fortran")


def test_the_two_backends_never_accept_two_cores(monkeypatch):
    stranger = _backend.Backend("stranger", None, slabby.instance_id() ^ 1, 0, None, None)
    monkeypatch.setitem(_backend._LOADERS, "stranger", lambda: stranger)
    with pytest.raises(slabby.AbiMismatchError, match="two cores"):
        _backend.load("stranger")


def test_an_unknown_backend_is_named(run_script, monkeypatch):
    monkeypatch.setenv("SLABBY_BACKEND", "fortran")
    done = run_script("import slabby")
    assert done.returncode == 1
    assert "fortran" in done.stderr and "choose 'cffi' or 'swig'" in done.stderr


def test_the_chosen_backend_is_used(pool):
    import os

    assert slabby.backend() == (os.environ.get("SLABBY_BACKEND") or "cffi") == pool.backend
