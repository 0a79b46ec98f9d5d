# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a SlabRef: release, stale, foreign and forged references, blocks, ownership."""

import copy
import gc
import pickle
import sys
import tracemalloc
import warnings
import weakref

import pytest
import slabby


def test_release_is_refused_while_a_slice_exists(pool):
    ref = pool.allocate()
    view = memoryview(ref)
    view[:5] = b"hello"
    rest = view[1:]
    # Releasing the first view is no proof: the slice shares its buffer.
    view.release()
    with pytest.raises(BufferError) as caught:
        ref.release()
    assert isinstance(caught.value, slabby.PinnedError)
    assert bytes(rest[:4]) == b"ello"
    del rest
    ref.release()
    with pytest.raises(slabby.DoubleDeallocationError):
        ref.release()


def test_a_ref_says_what_it_is(pool):
    with pool.allocate() as ref:
        assert (ref.size, len(ref), memoryview(ref).nbytes) == (4096, 4096, 4096)
        assert ref.is_valid is True
        assert 0 <= ref.id < 100
        assert 0 < ref.ref < 2**64
        assert ref.address % 64 == 0
        assert ref.allocator is pool
        assert repr(ref).startswith("<SlabRef test:")
    assert ref.is_valid is False
    assert repr(ref).endswith("released>")


def test_a_view_is_the_memory(pool):
    import ctypes

    with pool.allocate() as ref:
        memoryview(ref)[4090:] = b"sixsix"
        assert ctypes.string_at(ref.address + 4090, 6) == b"sixsix"
        with pytest.raises(IndexError):
            memoryview(ref)[4096]


def test_no_access_after_release(pool):
    ref = pool.allocate()
    ref.release()
    for check in (
        memoryview,
        lambda r: r.address,
        lambda r: r.label,
        lambda r: setattr(r, "label", 1),
    ):
        with pytest.raises(slabby.UseAfterFreeError):
            check(ref)


def test_a_reissued_slab_does_not_revive_its_old_ref():
    with slabby.Allocator(64, 1) as pool:
        old = pool.allocate()
        old.release()
        with pool.allocate() as new:
            assert old.id == new.id
            assert not old.is_valid
            with pytest.raises(slabby.DoubleDeallocationError):
                old.release()
            with pytest.raises(slabby.UseAfterFreeError):
                memoryview(old)
            assert new.is_valid


def test_a_foreign_ref_is_refused(pool):
    with slabby.Allocator(4096, 10) as other, other.allocate() as ref:
        with pytest.raises(slabby.InvalidReferenceError):
            pool.deallocate(ref)
        with pytest.raises(slabby.InvalidReferenceError):
            pool.from_ref(ref.ref)
        assert ref.is_valid


@pytest.mark.parametrize("value", [0, 1, 2**63, 2**64 - 1])
def test_a_forged_ref_is_refused(pool, value):
    with pytest.raises(slabby.SlabbyError):
        pool.from_ref(value)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_ref_beyond_64_bits_is_named(pool, value):
    with pytest.raises(slabby.InvalidArgumentError, match=str(value)):
        pool.from_ref(value)


def test_deallocate_is_release(pool):
    ref = pool.allocate()
    pool.deallocate(ref)
    assert not ref.is_valid
    with pytest.raises(slabby.DoubleDeallocationError):
        pool.deallocate(ref)
    with pytest.raises(TypeError, match="SlabRef"):
        pool.deallocate(ref.ref)


def test_leaving_a_block_with_a_view_defers(pool):
    with pool.allocate() as ref:
        view = memoryview(ref)
    assert not ref.is_valid
    view[:2] = b"ok"
    with pytest.raises(slabby.UseAfterFreeError):
        memoryview(ref)
    assert pool.stats().used_slabs == 1
    view.release()
    assert pool.stats().used_slabs == 0


def test_release_deferred_waits_for_the_last_view(pool):
    ref = pool.allocate()
    first, second = memoryview(ref), memoryview(ref)
    ref.release_deferred()
    first.release()
    assert pool.stats().used_slabs == 1
    second.release()
    assert pool.stats().used_slabs == 0
    with pytest.raises(slabby.DoubleDeallocationError):
        ref.release_deferred()


def test_a_block_never_masks_the_bodys_exception(pool):
    with pytest.raises(ZeroDivisionError), pool.allocate() as ref:
        view = memoryview(ref)
        raise ZeroDivisionError
    view.release()


def test_a_block_whose_slab_was_taken_away_says_so(pool):
    with pytest.raises(slabby.DoubleDeallocationError), pool.allocate():
        pool.reset()


def test_a_failing_body_is_reported_before_a_failing_release(pool, monkeypatch):
    import sys

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_value))
    with pytest.raises(ZeroDivisionError), pool.allocate():
        pool.reset()
        raise ZeroDivisionError
    assert [type(error) for error in reported] == [slabby.DoubleDeallocationError]


def test_releasing_inside_the_block_is_fine(pool):
    with pool.allocate() as ref:
        ref.release()
    with pool.allocate() as ref:
        pool.deallocate(ref)
    with pool.allocate() as ref:
        pool.deallocate_batch([ref])


def test_labels(pool):
    with pool.allocate() as ref:
        assert ref.label == 0
        ref.label = 2**64 - 1
        assert ref.label == 2**64 - 1
        for wrong in (-1, 2**64):
            with pytest.raises(ValueError, match=str(wrong)):
                ref.label = wrong
        for wrong in ("x", 1.5, None):
            with pytest.raises(TypeError):
                ref.label = wrong
        with pytest.raises(TypeError):
            del ref.label
        assert ref.label == 2**64 - 1


def test_borrowed_and_owning(pool):
    ref = pool.allocate()
    borrowed = pool.from_ref(ref.ref)
    assert borrowed.address == ref.address
    del borrowed
    assert ref.is_valid
    value = ref.detach()
    del ref
    assert pool.stats().used_slabs == 1
    owning = pool.from_ref(value, owning=True)
    assert owning.is_valid
    owning.release()


def test_the_end_of_a_with_block_releases_a_borrowed_slab(pool):
    value = pool.allocate().detach()
    with pool.from_ref(value) as borrowed:
        assert borrowed.is_valid
    assert not borrowed.is_valid and pool.stats().used_slabs == 0


def test_only_the_pool_makes_refs():
    for kind in (slabby.SlabRef, slabby.FastSlab):
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            type("Child", (kind,), {})


def test_refs_and_pools_are_never_copied(pool):
    with pool.allocate() as ref:
        for thing in (ref, pool):
            for copier in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError):
                    copier(thing)
    with pytest.raises(TypeError):
        object.__new__(slabby.SlabRef)


def test_an_object_that_is_used_again_knows_nothing_of_its_first_life(pool):
    first = pool.allocate()
    address, weak = id(first), weakref.ref(first)
    first.label = 5
    first.release()
    del first
    second = pool.allocate()
    assert id(second) == address, "the memory of an object is used again"
    assert weak() is None and weakref.ref(second)() is second
    assert gc.is_tracked(second) and second.is_valid and second.label == 0
    with pytest.warns(ResourceWarning):
        del second
    assert pool.stats().used_slabs == 0


def test_more_objects_than_wait_for_their_next_use():
    with slabby.Allocator(64, 500) as pool:
        for _ in range(3):
            batch = pool.allocate_batch(500)
            assert len({ref.ref for ref in batch}) == 500
            batch.release()
            del batch
            slabs = [pool.allocate_fast() for _ in range(500)]
            for _, number in slabs:
                pool.deallocate_fast(number)
            del slabs
        assert pool.stats().used_slabs == 0 and pool.verify() == []


def test_objects_that_are_used_again_hold_their_type_once():
    """Objects that ended wait for their next use, with their type; more than those it must not hold."""
    waiting = 128
    for make in (
        lambda pool: pool.allocate().release(),
        lambda pool: pool.deallocate_fast(pool.allocate_fast()[1]),
    ):
        with slabby.Allocator(64, 4) as pool:
            make(pool)
            before = [sys.getrefcount(kind) for kind in (slabby.SlabRef, slabby.FastSlab)]
            for _ in range(5 * waiting):
                make(pool)
        after = [sys.getrefcount(kind) for kind in (slabby.SlabRef, slabby.FastSlab)]
        assert all(abs(now - then) <= waiting for then, now in zip(before, after, strict=True))


@pytest.mark.parametrize("call", ["pool.allocate()", "pool.allocate_fast()[0]"])
def test_tracemalloc_sees_where_an_object_was_made_that_is_used_again(call):
    with slabby.Allocator(64, 400) as pool:
        # All objects from before are in use: tracemalloc knows nothing of their memory.
        held = [(pool.allocate(), pool.allocate_fast()) for _ in range(150)]
        tracemalloc.start(1)
        try:
            code = compile(
                f"first = {call}; del first\n\n\nsecond = {call}", "somewhere.py", "exec"
            )
            names = {"pool": pool}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                exec(code, names)
            (frame,) = tracemalloc.get_object_traceback(names["second"])
            assert (frame.filename, frame.lineno) == ("somewhere.py", 4)
        finally:
            tracemalloc.stop()
        if "fast" not in call:
            names["second"].release()
        for ref, _ in held:
            ref.release()


def test_a_released_slab_is_not_handed_on(pool):
    """Its number may be that of no slab any more."""
    ref = pool.allocate()
    assert ref.detach() == ref.detach() == ref.ref
    ref.release()
    with pytest.raises(slabby.UseAfterFreeError):
        ref.detach()
