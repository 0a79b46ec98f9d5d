# SPDX-License-Identifier: GPL-3.0-or-later
"""From an address, or a buffer, back to its slab and its pool."""

import ctypes
import random

import numpy
import pytest
import slabby


def test_the_start_of_a_slab_gives_its_reference(pool):
    with pool.allocate() as ref:
        found = pool.ref_of(ref.address)
        assert found.ref == ref.ref
        with memoryview(ref) as view:
            assert pool.ref_of(view).ref == ref.ref
            assert pool.ref_of(view[:10]).ref == ref.ref
            with pytest.raises(slabby.InvalidReferenceError, match="at offset 1 of slab"):
                pool.ref_of(view[1:])
        address = ref.address
    with pytest.raises(slabby.UseAfterFreeError, match="after its release"):
        pool.ref_of(address)


def test_an_owning_reference_by_address_releases_its_slab(pool):
    ref = pool.allocate()
    address = ref.address
    ref.detach()
    with pool.ref_of(address, owning=True):
        assert pool.stats().used_slabs == 1


def test_a_slab_is_released_by_its_address_once(pool):
    ref = pool.allocate()
    address = ref.address
    with memoryview(ref) as view, pytest.raises(slabby.PinnedError):
        pool.release_data(view)
    ref.detach()
    pool.release_data(address)
    with pytest.raises(slabby.DoubleDeallocationError, match="after its release"):
        pool.release_data(address)
    slab, number = pool.allocate_fast()
    with memoryview(slab) as view:
        data = ctypes.addressof(ctypes.c_char.from_buffer(view))
    with pytest.raises(slabby.InvalidReferenceError):
        pool.ref_of(data)
    pool.release_data(data)
    with pytest.raises(slabby.DoubleDeallocationError):
        pool.deallocate_fast(number)


def test_an_address_may_be_a_number_of_numpy(pool):
    """Which is a buffer, too: not its own address is meant, as that of an array is."""
    ref = pool.allocate()
    for kind in (numpy.uint64, numpy.int64, numpy.intp, ctypes.c_uint64):
        if not hasattr(kind, "__index__"):
            assert pool.ref_of(kind.from_buffer(ref)) == ref  # a buffer alone
            continue
        address = kind(ref.address)
        assert pool.ref_of(address) == ref
        assert slabby.Allocator.of(address).handle() == pool.handle()
        assert "at offset 0 of slab" in slabby.classify_fault(address).text
    for array in (ref.array(numpy.uint64), ref.array(numpy.uint64)[0:1].reshape(())):
        assert pool.ref_of(array) == ref
    del array
    with pytest.raises(TypeError, match="memory takes an address or a buffer"):
        pool.ref_of(numpy.float64(1.5))
    address = numpy.uint64(ref.address)
    ref.detach()
    pool.release_data(address)
    with pytest.raises(
        slabby.UseAfterFreeError, match=f"memory is {address:#x}: .*after its release"
    ):
        pool.ref_of(address)


def test_the_pool_of_an_address(pool):
    with pool.allocate() as ref:
        found = slabby.Allocator.of(ref.address + 100)
        assert found.handle() == pool.handle()
        with memoryview(ref) as view:
            other = "swig" if pool.backend == "cffi" else "cffi"
            assert slabby.Allocator.of(view[5:], backend=other).handle() == pool.handle()
    with pytest.raises(slabby.InvalidReferenceError, match="belongs to no pool"):
        slabby.Allocator.of(bytearray(100))


@pytest.mark.parametrize("call", ["ref_of", "release_data", "of"])
def test_bad_addresses_are_refused(pool, call):
    method = getattr(pool, call)
    with pytest.raises(slabby.InvalidArgumentError):
        method(0)
    for number in (-1, 2**64, 2**70):
        with pytest.raises(slabby.InvalidArgumentError, match=f"memory is {number}; choose 1 to"):
            method(number)
    for value in ("text", None, 1.5, object()):
        with pytest.raises(TypeError, match="memory takes an address or a buffer, not"):
            method(value)
    with pytest.raises(slabby.InvalidReferenceError, match="belongs to no pool"):
        method(bytearray(10))


def test_random_addresses_are_refused(pool):
    refs = [pool.allocate() for _ in range(50)]
    starts = {ref.address: ref.ref for ref in refs}
    lowest, highest = min(starts), max(starts)
    draw = random.Random(1)
    for _ in range(10_000):
        address = draw.randrange(lowest - 10_000, highest + 10_000)
        if address in starts:
            assert pool.ref_of(address).ref == starts[address]
        else:
            with pytest.raises((slabby.InvalidReferenceError, slabby.UseAfterFreeError)):
                pool.ref_of(address)
    for ref in refs:
        ref.release()


def test_a_ticket_brings_its_user_data_and_is_no_reference(pool):
    with pool.listener() as listener:
        tickets = [listener.begin(user_data=2**64 - 1 - at) for at in range(3)]
        grants = listener.take_grants()
        assert [grant.ticket for grant in grants] == tickets
        assert [grant.user_data for grant in grants] == [2**64 - 1 - at for at in range(3)]
        for ticket in tickets:
            with pytest.raises(slabby.InvalidReferenceError):
                pool.from_ref(ticket)
        for grant in grants:
            with pytest.raises(slabby.InvalidArgumentError):
                listener.cancel(grant.slab.ref)
            grant.slab.release()
        for bad in (-1, 2**64):
            with pytest.raises(slabby.InvalidArgumentError, match="user_data is"):
                listener.begin(bad)
            with pytest.raises(slabby.InvalidArgumentError, match="ticket is"):
                listener.cancel(bad)
