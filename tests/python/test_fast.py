# SPDX-License-Identifier: GPL-3.0-or-later
"""Fast slabs: bare ids, and what Python still keeps apart for them."""

import gc
import threading
import weakref

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


# The last pair is used again, as zip() does, if nobody else has it.


def test_an_unused_pair_comes_again(pool):
    pair = pool.allocate_fast()
    first, number = id(pair), pair[1]
    del pair
    pool.deallocate_fast(number)
    pair = pool.allocate_fast()
    assert (id(pair), pair[1]) == (first, number)
    with memoryview(pair[0]) as view:
        view[:4] = b"anew"
    pool.deallocate_fast(number)


def test_a_pair_in_use_does_not_come_again(pool):
    pair = pool.allocate_fast()
    pool.deallocate_fast(pair[1])
    again = pool.allocate_fast()
    assert again[1] == pair[1] and again is not pair and again[0] is not pair[0]
    pool.deallocate_fast(again[1])


@pytest.mark.parametrize("part", ["the pair", "its slab", "a view of it"])
def test_what_somebody_has_does_not_come_again(pool, part):
    pair = pool.allocate_fast()
    number = pair[1]
    held = {"the pair": pair, "its slab": pair[0], "a view of it": memoryview(pair[0])}[part]
    old = pair[0]
    del pair
    if part == "a view of it":
        held.release()
    pool.deallocate_fast(number)
    new, again = pool.allocate_fast()
    assert again == number and new is not old
    with pytest.raises(slabby.UseAfterFreeError):
        memoryview(old)
    memoryview(new).release()
    pool.deallocate_fast(number)
    del held


def test_pairs_of_several_slabs_do_not_mix(pool):
    numbers = []
    for turn in range(8):
        pair = pool.allocate_fast()
        with memoryview(pair[0]) as view:
            view[0] = turn
        numbers.append(pair[1])
    assert len(set(numbers)) == 8
    del pair
    for number in numbers:
        pool.deallocate_fast(number)
    for _ in range(3):
        slab, number = pool.allocate_fast()
        assert slab.id == number
        pool.deallocate_fast(number)


def use_in_a_call(pool):
    pool.deallocate_fast(pool.allocate_fast()[1])


def use_with_names(pool):
    slab, number = pool.allocate_fast()
    memoryview(slab).release()
    pool.deallocate_fast(number)


def use_and_reset(pool):
    pool.allocate_fast()
    pool.reset()


def use_and_forget(pool):
    pool.allocate_fast()


def use_elsewhere(pool):
    other = slabby.Allocator.adopt(*pool.handle(), backend=pool.backend)
    other.deallocate_fast(pool.allocate_fast()[1])


@pytest.mark.parametrize(
    "use", [use_in_a_call, use_with_names, use_and_reset, use_and_forget, use_elsewhere]
)
def test_a_pool_ends_with_its_last_reference(use):
    pool = slabby.Allocator(64, 4)
    gc.disable()
    try:
        use(pool)
        ended = weakref.ref(pool)
        del pool
        assert ended() is None
    finally:
        gc.enable()


def is_there(name):
    return any(pool.name == name for pool in slabby.pools())


@pytest.mark.parametrize("part", ["pair", "slab", "view"])
@pytest.mark.parametrize("spare", [True, False], ids=["the last pair", "an earlier pair"])
@pytest.mark.parametrize("cycle", [True, False], ids=["in a cycle", "alone"])
def test_what_somebody_has_of_a_pair_holds_the_pool(part, spare, cycle):
    name = f"{part} {spare} {cycle}"
    pool = slabby.Allocator(64, 4, name=name)
    if cycle:
        pool.itself = pool
    pair = pool.allocate_fast()
    if not spare:
        pool.allocate_fast()
    held = {"pair": pair, "slab": pair[0], "view": memoryview(pair[0])}[part]
    del pair, pool
    gc.collect()
    assert is_there(name)
    with held if part == "view" else memoryview(held[0] if part == "pair" else held) as view:
        view[:4] = b"here"
        assert bytes(view[:4]) == b"here"
        del view
    del held
    gc.collect()
    assert not is_there(name)


def test_a_pool_that_its_fast_slab_took_over_ends_once(pool):
    """Also where its class has a finalizer, which may use the pool."""
    ended = []

    class Finalized(slabby.Allocator):
        def __del__(self):
            ended.append(self.allocate_fast()[1])

    slab = Finalized(64, 4, name="finalized").allocate_fast()[0]
    assert len(ended) == 1 and is_there("finalized")
    memoryview(slab).release()
    del slab
    assert len(ended) == 1 and not is_there("finalized")


def test_slabs_that_the_collector_shows_are_stale(pool):
    pool.deallocate_fast(pool.allocate_fast()[1])
    shown = [each for each in gc.get_objects() if type(each) is slabby.FastSlab]
    mine = [each for each in shown if len(each) == pool.slab_size and "released" in repr(each)]
    assert mine
    for each in mine:
        with pytest.raises(slabby.UseAfterFreeError):
            memoryview(each)
    slab, number = pool.allocate_fast()
    assert all(slab is not each for each in mine)
    pool.deallocate_fast(number)


def test_a_reset_through_another_allocator_sees_the_view(pool):
    others = [slabby.Allocator.adopt(*pool.handle(), backend=name) for name in ("cffi", "swig")]
    fast, _ = pool.allocate_fast()
    with memoryview(fast) as view:
        view[:5] = b"alive"
        for other in others:
            with pytest.raises(slabby.PinnedError):
                other.reset()
        assert view[:5] == b"alive"
    others[0].reset()
    with pytest.raises(slabby.UseAfterFreeError):
        memoryview(fast)


def reset_beside_views(pool, fast):
    """Whether the reset was done, and the views that another thread made meanwhile."""
    begin, ended, views = threading.Event(), threading.Event(), []

    def view():
        begin.wait()
        while not views and not ended.is_set():
            try:
                views.append(memoryview(fast))
            except slabby.UseAfterFreeError:
                pass
            except slabby.BusyError as error:
                assert "a reset is under way" in str(error)

    thread = threading.Thread(target=view)
    thread.start()
    begin.set()
    try:
        pool.reset()
        done = True
    except slabby.PinnedError:
        done = False
    ended.set()
    thread.join()
    return done, views


def test_no_view_is_made_while_a_reset_runs():
    """The reset clears much memory, without the interpreter's lock."""
    pool = slabby.Allocator(65536, 1500, secure=True)
    for _ in range(10):
        fast, _ = pool.allocate_fast()
        for ref in pool.allocate_batch(1000):
            ref.detach()
        done, views = reset_beside_views(pool, fast)
        assert not done or views == []
        views.clear()
        pool.reset()
        with pytest.raises(slabby.UseAfterFreeError):
            memoryview(fast)
    assert pool.stats().used_slabs == 0
