# SPDX-License-Identifier: GPL-3.0-or-later
"""A SlabRef as a sequence of bytes, as a key, and behind weak references."""

import gc
import sys
import threading
import time
import weakref

import pytest
import slabby


def test_items_and_slices_are_copies(pool):
    with pool.allocate() as ref:
        ref[:5] = b"hello"
        ref[-1] = 7
        assert (ref[0], ref[4], ref[-1], len(ref)) == (104, 111, 7, 4096)
        assert ref[:5] == b"hello" and type(ref[:5]) is bytes
        assert ref[4::-1] == b"olleh" and ref[0:5:2] == b"hlo"
        assert ref[4000:9999] == ref.tobytes()[4000:] and ref[10:5] == b""
        ref[0:6:2] = bytearray(b"abc")
        assert ref[0:6] == b"aeblc\0"
        ref[2:5] = memoryview(ref)[0:3]
        ref[:0] = b""
        assert ref.tobytes() == bytes(memoryview(ref))


@pytest.mark.parametrize("step", [-1, 1, 2, -2])
def test_a_slice_of_steps_takes_bytes_of_the_same_slab(pool, step):
    """As a bytearray does, also where a step would overwrite what a later one reads."""
    expected = bytearray(bytes(range(256)) * 16)
    with pool.allocate() as ref:
        ref[:] = expected
        with memoryview(ref) as view:
            ref[::step] = view[: len(view) // abs(step)]
        expected[::step] = expected[: len(expected) // abs(step)]
        assert ref.tobytes() == expected


def test_no_view_is_left_behind(pool):
    ref = pool.allocate()
    ref[:3] = b"abc"
    assert ref[:3] + ref[3:4] + ref.tobytes()[:1]
    ref.release()  # a view would refuse it
    assert pool.stats().used_slabs == 0


@pytest.mark.parametrize("value", [-1, 256, 2**70])
def test_a_byte_is_a_byte(pool, value):
    with pool.allocate() as ref:
        with pytest.raises(ValueError):
            ref[0] = value
        assert ref[0] == 0


def test_what_is_no_index_or_no_bytes(pool):
    with pool.allocate() as ref:
        for key in ("x", None, 1.5, (0, 1)):
            with pytest.raises(TypeError):
                ref[key]
        for wrong in ("abc", 5, None):
            with pytest.raises(TypeError):
                ref[:3] = wrong
        with pytest.raises(TypeError):
            ref[0] = b"a"
        with pytest.raises(TypeError):
            del ref[0]
        with pytest.raises(IndexError):
            ref[4096] = 0
        with pytest.raises(IndexError):
            ref[2**80]
        assert not any(ref.tobytes())


def test_equality_is_of_the_allocation(pool):
    first, second = pool.allocate_batch(2)
    same = pool.from_ref(first.ref)
    other = slabby.Allocator.adopt(*pool.handle()).from_ref(first.ref)
    assert first == same == other and hash(first) == hash(same) == hash(other)
    assert first != second and first != first.ref and not first == "x"
    assert len({first, same, other, second}) == 2
    with pytest.raises(TypeError):
        first < second  # noqa: B015
    first.release()
    assert first == same
    second.release()
    again = pool.allocate()
    assert again != first and again != second
    again.release()


def test_weak_references(pool):
    ref = pool.allocate()
    ended = []
    weak = weakref.ref(ref, lambda _: ended.append(1))
    table = weakref.WeakKeyDictionary({ref: "mine"})
    assert weak() is ref and table[ref] == "mine"
    ref.release()
    del ref
    gc.collect()
    assert weak() is None and ended == [1] and len(table) == 0


def test_a_dropped_slab_clears_its_weak_references(pool):
    with pytest.warns(ResourceWarning):
        ref = pool.allocate()
        weak = weakref.ref(ref)
        del ref
        gc.collect()
        # The warning may hold it as its source for a while; its slab is released.
        assert weak() is None or not weak().is_valid


def test_capacity_length_and_closed():
    pool = slabby.Allocator(64, 2, max_capacity=5)
    assert (len(pool), pool.capacity, pool.closed) == (2, 2, False)
    pool.resize(5)
    assert (len(pool), pool.capacity) == (5, 5)
    pool.close()
    assert pool.closed


def test_the_stack_of_a_slab_is_pythons(pool):
    pool.set_option("debug", True)
    with pool.allocate() as ref:
        text = pool.stack(ref)
        assert "test_the_stack_of_a_slab_is_pythons" in text and "libpython" not in text
        assert pool.stack(ref.ref) == text


def test_a_large_secured_slab_is_zeroed_without_the_lock():
    """Another thread counts while 64 MiB are zeroed: with the lock held it could not, however often it is tried.

    One release lasts some milliseconds; on a busy machine the other thread may get no processor in all of them.
    """
    size = 64 << 20
    counted, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0)  # hands the lock back each time

    pool = slabby.Allocator(size, 1, secure=True)
    interval = sys.getswitchinterval()
    thread = threading.Thread(target=count)
    deadline = time.monotonic() + 30
    during_releases = 0
    try:
        thread.start()
        while not during_releases and time.monotonic() < deadline:
            ref = pool.allocate()
            memoryview(ref)[:: 1 << 12] = b"x" * (size >> 12)
            sys.setswitchinterval(60)  # nothing but a released lock lets the other thread run
            before = counted[0]
            ref.release()
            during_releases = counted[0] - before
            sys.setswitchinterval(interval)
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
        pool.close()
    assert during_releases > 0
