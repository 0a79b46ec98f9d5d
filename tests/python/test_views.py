# SPDX-License-Identifier: GPL-3.0-or-later
"""A view keeps its slab: every kind of view forbids every kind of release."""

import ctypes
import io
import os
import struct
import threading
from collections.abc import Callable

import numpy
import pytest
import slabby

# Each returns an object that still looks when the ones it was made from are gone.
LOOKERS: dict[str, Callable] = {
    "memoryview": memoryview,
    "slice": lambda ref: memoryview(ref)[10:20],
    "slice of a slice": lambda ref: memoryview(ref)[10:][::2],
    "cast": lambda ref: memoryview(ref).cast("Q"),
    "shaped cast": lambda ref: memoryview(ref).cast("B", [64, 64]),
    "read-only": lambda ref: memoryview(ref).toreadonly(),
    "numpy": lambda ref: numpy.frombuffer(ref, dtype=numpy.uint8),
    "numpy reshaped": lambda ref: numpy.frombuffer(ref, dtype=numpy.uint32).reshape(32, 32),
    "numpy strided": lambda ref: numpy.frombuffer(ref, dtype=numpy.uint8)[5::7],
    "numpy transposed": lambda ref: numpy.asarray(memoryview(ref)).reshape(64, 64).T,
    "ctypes": lambda ref: (ctypes.c_char * 100).from_buffer(ref),
    "ctypes with an offset": lambda ref: ctypes.c_uint64.from_buffer(ref, 8),
    "iterator of struct": lambda ref: struct.iter_unpack("Q", ref),
}


@pytest.mark.parametrize("name", LOOKERS)
def test_release_is_refused_while_a_view_exists(pool, c_core, name):
    ref = pool.allocate()
    check = LOOKERS[name](ref)
    for release in (
        ref.release,
        lambda: pool.deallocate(ref),
        lambda: pool.deallocate_batch([ref]),
    ):
        with pytest.raises(BufferError):
            release()
    with pytest.raises(slabby.PinnedError):
        pool.reset()
    # A C program is refused likewise.
    assert c_core.slabby_release(pool.handle()[0], ref.ref) == slabby.Status.PINNED
    assert ref.is_valid
    del check
    ref.release()


def test_numpy_writes_into_the_slab(pool):
    with pool.allocate() as ref:
        numbers = numpy.frombuffer(ref, dtype=numpy.uint64)
        numbers[:] = numpy.arange(512)
        assert memoryview(ref).cast("Q").tolist() == list(range(512))
        del numbers


def test_files_read_into_slabs(pool, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 8)
    with pool.allocate() as ref, open(path, "rb", buffering=0) as file:
        assert file.readinto(ref) == 2048
        assert bytes(memoryview(ref)[:2048]) == path.read_bytes()
        assert io.BytesIO(b"abc").readinto(ref) == 3


def test_a_thread_in_readinto_holds_the_slab(pool):
    reading, writing = os.pipe()
    ref = pool.allocate()
    started = threading.Event()
    got: list[int] = []

    def read() -> None:
        with open(reading, "rb", buffering=0) as file:
            started.set()
            got.append(file.readinto(ref))

    thread = threading.Thread(target=read)
    thread.start()
    started.wait()
    pins = 0
    # The reader pins when it enters readinto, somewhat after `started`.
    while not pins:
        pins = next(pool.live()).pins
    with pytest.raises(slabby.PinnedError):
        ref.release()
    os.write(writing, b"data")
    os.close(writing)
    thread.join()
    assert got == [4]
    assert bytes(memoryview(ref)[:4]) == b"data"
    ref.release()


def test_4095_views_and_no_more(pool):
    ref = pool.allocate()
    views = [memoryview(ref) for _ in range(4095)]
    with pytest.raises(slabby.TooManyPinsError):
        memoryview(ref)
    with pytest.raises(BufferError):
        ref.release()
    views.pop().release()
    memoryview(ref).release()
    del views
    ref.release()


@pytest.mark.parametrize(
    "use",
    [
        lambda ref: io.BytesIO(b"abc").readinto(ref),
        lambda ref: struct.pack_into("<I", ref, 0, 7),
        lambda ref: b"".join([ref]),
        lambda ref: bytearray().extend(ref),
        lambda ref: bytearray().__iadd__(ref),
    ],
)
def test_where_cpython_drops_the_error_the_use_is_refused_and_counted(use):
    """docs/python.md says so: the TypeError is CPython's."""
    with slabby.Allocator(64, 1) as pool:
        ref = pool.allocate()
        ref.release()
        with pool.allocate() as next_owner:
            with pytest.raises((TypeError, slabby.UseAfterFreeError)):
                use(ref)
            assert pool.stats().errors[slabby.Status.USE_AFTER_FREE] == 1
            assert next_owner.tobytes() == bytes(64)
            with pytest.raises(slabby.UseAfterFreeError):
                use(memoryview(ref))


def test_a_refused_buffer_leaves_no_pin(pool):
    with pool.allocate() as ref:
        with pytest.raises(ValueError, match="offset"):
            numpy.frombuffer(ref, dtype=numpy.uint8, offset=4097)
        assert next(pool.live()).pins == 0


def test_views_outlive_the_names(pool):
    """A view keeps its ref, its ref keeps the pool."""
    other = slabby.Allocator(64, 2)
    view = memoryview(other.allocate())
    view[:3] = b"abc"
    del other
    assert bytes(view[:3]) == b"abc"
    with pytest.warns(ResourceWarning):
        del view


def test_views_stay_readable_after_close():
    pool = slabby.Allocator(64, 2)
    ref = pool.allocate()
    view = memoryview(ref)
    view[:] = b"x" * 64
    pool.close()
    assert bytes(view) == b"x" * 64
    with pytest.raises(slabby.ClosedError):
        pool.allocate()
    view.release()
    ref.release()
