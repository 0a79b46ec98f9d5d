# SPDX-License-Identifier: GPL-3.0-or-later
"""Random programs against a plain-Python model of the pool."""

from __future__ import annotations

import pytest
import slabby
from conftest import rounds
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

SIZE = 64
OPTIONS = st.fixed_dictionaries(
    {
        "per_cpu_cache": st.booleans(),
        "shards": st.sampled_from([1, 2, 8]),
        "secure": st.booleans(),
        "cpu_cache_backend": st.sampled_from(["auto", "portable"]),
    }
)


class Slab:
    """What the model knows of one allocation."""

    def __init__(self, ref: slabby.SlabRef, stamp: bytes) -> None:
        self.ref = ref
        self.stamp = stamp
        self.views: list[memoryview] = []
        self.named = True  # its reference is good
        self.held = True  # its slab is in use


class PoolMachine(RuleBasedStateMachine):
    slabs = Bundle("slabs")

    @initialize(capacity=st.sampled_from([1, 2, 3, 7, 40]), options=OPTIONS)
    def make(self, capacity: int, options: dict) -> None:
        self.pool = slabby.Allocator(SIZE, capacity, **options)
        self.capacity = capacity
        self.known: list[Slab] = []
        self.fast: dict[int, slabby.FastSlab] = {}
        self.allocations = self.deallocations = 0

    def used(self) -> int:
        return sum(slab.held for slab in self.known) + len(self.fast)

    def add(self, ref: slabby.SlabRef) -> Slab:
        slab = Slab(ref, ref.ref.to_bytes(8, "little"))
        memoryview(ref)[:8] = slab.stamp
        memoryview(ref)[-8:] = slab.stamp
        self.known.append(slab)
        self.allocations += 1
        return slab

    def free(self, slab: Slab) -> None:
        slab.named = slab.held = False
        self.deallocations += 1

    @rule(target=slabs)
    def allocate(self) -> Slab:
        if self.used() == self.capacity:
            with pytest.raises(slabby.OutOfMemoryError):
                self.pool.allocate()
            return self.known[0] if self.known else Slab(None, b"")  # type: ignore[arg-type]
        return self.add(self.pool.allocate())

    @rule(count=st.integers(1, 45))
    def allocate_batch(self, count: int) -> None:
        if count > self.capacity:
            with pytest.raises(slabby.SlabbyError):
                self.pool.allocate_batch(count)
        elif self.used() + count > self.capacity:
            with pytest.raises(slabby.OutOfMemoryError):
                self.pool.allocate_batch(count)
        else:
            for ref in self.pool.allocate_batch(count):
                self.add(ref)

    @rule(slab=slabs)
    def release(self, slab: Slab) -> None:
        if slab.ref is None:
            return
        if not slab.named:
            with pytest.raises(slabby.DoubleDeallocationError):
                slab.ref.release()
        elif slab.views:
            with pytest.raises(slabby.PinnedError):
                slab.ref.release()
        else:
            slab.ref.release()
            self.free(slab)

    @rule(slab=slabs)
    def release_deferred(self, slab: Slab) -> None:
        if slab.ref is None:
            return
        if not slab.named:
            with pytest.raises(slabby.DoubleDeallocationError):
                slab.ref.release_deferred()
            return
        slab.ref.release_deferred()
        slab.named = False
        if not slab.views:
            self.free(slab)

    @rule()
    def release_everything_free_of_views(self) -> None:
        slabs = [slab for slab in self.known if slab.named and not slab.views]
        assert self.pool.deallocate_batch(slab.ref for slab in slabs) == len(slabs)
        for slab in slabs:
            self.free(slab)

    @rule(slab=slabs)
    def check(self, slab: Slab) -> None:
        if slab.ref is None:
            return
        if slab.named:
            slab.views.append(memoryview(slab.ref)[:8])
        else:
            with pytest.raises(slabby.UseAfterFreeError):
                memoryview(slab.ref)

    @rule(slab=slabs)
    def drop_view(self, slab: Slab) -> None:
        if slab.views:
            slab.views.pop()
            if not slab.views and not slab.named:
                self.free(slab)

    @rule()
    def allocate_fast(self) -> None:
        if self.used() == self.capacity:
            with pytest.raises(slabby.OutOfMemoryError):
                self.pool.allocate_fast()
            return
        slab, number = self.pool.allocate_fast()
        assert number not in self.fast
        self.fast[number] = slab
        self.allocations += 1

    @rule(number=st.integers(0, 45))
    def deallocate_fast(self, number: int) -> None:
        if number in self.fast:
            self.pool.deallocate_fast(number)
            del self.fast[number]
            self.deallocations += 1
        else:
            with pytest.raises((slabby.InvalidSlabIDError, slabby.DoubleDeallocationError)):
                self.pool.deallocate_fast(number)

    @rule()
    def reset(self) -> None:
        if any(slab.views for slab in self.known):
            with pytest.raises(slabby.PinnedError):
                self.pool.reset()
            return
        self.deallocations += self.used()
        self.pool.reset()
        self.fast.clear()
        for slab in self.known:
            slab.named = slab.held = False

    @rule()
    def trim_and_verify(self) -> None:
        self.pool.trim()
        assert self.pool.verify() == []

    @invariant()
    def what_is_looked_at_stays_as_it_was(self) -> None:
        for slab in getattr(self, "known", []):
            assert slab.ref.is_valid == slab.named
            for view in slab.views:
                assert view == slab.stamp
            if slab.named:
                assert bytes(memoryview(slab.ref)[-8:]) == slab.stamp

    @invariant()
    def numbers_agree(self) -> None:
        if not hasattr(self, "pool"):
            return
        stats = self.pool.stats()
        assert stats.used_slabs == self.used()
        assert stats.available_slabs == self.capacity - self.used()
        assert stats.total_allocations == self.allocations
        assert stats.total_deallocations == self.deallocations
        assert len(list(self.pool.live())) == self.used()

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for slab in self.known:
            slab.views.clear()
        self.pool.reset()
        assert self.pool.stats().used_slabs == 0
        assert self.pool.verify() == []


TestPool = PoolMachine.TestCase
TestPool.settings = settings(
    max_examples=rounds(full=1000, usual=150, quick=40),
    stateful_step_count=50,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
