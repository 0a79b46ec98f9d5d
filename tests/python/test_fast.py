# SPDX-License-Identifier: GPL-3.0-or-later
"""Fast slabs: bare ids, and what Python still keeps apart for them."""

import pytest
import slabby


def test_a_fast_slab_is_memory_and_an_id(pool):
    slab, number = pool.allocate_fast()
    assert (slab.id, slab.size, len(slab)) == (number, 4096, 4096)
    with memoryview(slab) as view:
        view[:4] = b"fast"
    assert bytes(memoryview(slab)[:4]) == b"fast"
    pool.deallocate_fast(number)


def test_no_deallocation_under_a_view(pool):
    slab, number = pool.allocate_fast()
    view = memoryview(slab)
    rest = view[100:]
    view.release()
    with pytest.raises(BufferError):
        pool.deallocate_fast(number)
    with pytest.raises(slabby.PinnedError):
        pool.reset()
    del rest
    pool.deallocate_fast(number)


def test_the_other_backend_sees_the_view_too(pool):
    other = slabby.Allocator.adopt(
        *pool.handle(), backend="swig" if pool.backend == "cffi" else "cffi"
    )
    slab, number = pool.allocate_fast()
    view = memoryview(slab)
    with pytest.raises(slabby.PinnedError):
        other.deallocate_fast(number)
    view.release()
    other.deallocate_fast(number)
    with pytest.raises(slabby.UseAfterFreeError):
        memoryview(slab)


def test_a_stale_fast_slab_gives_no_view():
    with slabby.Allocator(64, 1) as pool:
        old, number = pool.allocate_fast()
        pool.deallocate_fast(number)
        new, again = pool.allocate_fast()
        assert again == number
        with pytest.raises(slabby.UseAfterFreeError):
            memoryview(old)
        memoryview(new).release()
        pool.reset()
        with pytest.raises(slabby.UseAfterFreeError):
            memoryview(new)


def test_wrong_ids_are_refused(pool):
    slab, number = pool.allocate_fast()
    pool.deallocate_fast(number)
    with pytest.raises(slabby.DoubleDeallocationError):
        pool.deallocate_fast(number)
    with pool.allocate() as ref, pytest.raises(slabby.InvalidSlabIDError):
        pool.deallocate_fast(ref.id)
    for wrong in (10_000, 2**32 - 1, 2**32, 2**64, 2**100):
        with pytest.raises(slabby.InvalidSlabIDError):
            pool.deallocate_fast(wrong)
    with pytest.raises((slabby.InvalidSlabIDError, OverflowError)):
        pool.deallocate_fast(-1)
    with pytest.raises(TypeError):
        pool.deallocate_fast("1")
    del slab


def test_dropping_a_fast_slab_keeps_the_id(pool):
    number = pool.allocate_fast()[1]
    assert pool.stats().used_slabs == 1
    pool.deallocate_fast(number)
    stats = pool.stats()
    assert (stats.fast_allocations, stats.fast_deallocations) == (1, 1)


def test_exhaustion():
    with slabby.Allocator(64, 3) as pool:
        numbers = [pool.allocate_fast()[1] for _ in range(3)]
        with pytest.raises(slabby.OutOfMemoryError):
            pool.allocate_fast()
        for number in numbers:
            pool.deallocate_fast(number)
