# SPDX-License-Identifier: GPL-3.0-or-later
"""Slabs as arrays of numpy, tensors of DLPack and buffers of Arrow, and arrays of numpy that live in slabs."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
import slabby

numpy = pytest.importorskip("numpy")

from slabby.numpy import allocate_from  # noqa: E402

try:
    from numpy._core.multiarray import get_handler_name
except ImportError:  # numpy 1
    from numpy.core.multiarray import get_handler_name


def used(pool: slabby.Allocator) -> int:
    return pool.stats().used_slabs


# ------------------------------------------------------------------------------------------------ ref.array()


@pytest.mark.parametrize(
    "arguments, shape, dtype",
    [
        ((), (4096,), "uint8"),
        (("float64",), (512,), "float64"),
        (("<f4", (4, 8)), (4, 8), "float32"),
        ((numpy.int16, 7), (7,), "int16"),
        (("int32", (2, -1, 4)), (2, 128, 4), "int32"),
        (("S100",), (40,), "S100"),
        (("f8", ()), (), "float64"),
        (("f8", (0, -1)), (0, 0), "float64"),
        ((numpy.dtype(("f8", (2, 2))), 3), (3, 2, 2), "float64"),
        ((numpy.dtype(("f8", (2, 2))),), (128, 2, 2), "float64"),
        ((numpy.dtype([("at", "u8"), ("price", "f4")]), 3), (3,), [("at", "u8"), ("price", "f4")]),
    ],
)
def test_an_array_is_the_slab(pool, arguments, shape, dtype):
    with pool.allocate() as ref:
        ref[:] = bytes(range(256)) * 16
        array = ref.array(*arguments)
        assert array.shape == shape and array.dtype == numpy.dtype(dtype)
        assert array.tobytes() == ref[: array.nbytes]
        if array.size:
            assert array.ctypes.data == ref.address
            array[...] = numpy.zeros((), dtype)
            assert ref[: array.nbytes] == bytes(array.nbytes)


def test_an_array_pins_its_slab_as_long_as_anything_of_it_lives(pool):
    ref = pool.allocate()
    part = ref.array("f4", (8, -1))[2:4].T
    with pytest.raises(slabby.PinnedError):
        ref.release()
    del part
    ref.release()
    with pytest.raises(slabby.UseAfterFreeError):
        ref.array()


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        (("O",), TypeError, "Python objects"),
        (("S",), TypeError, "fixed size"),
        (("f8", 513), ValueError, "takes 4104 bytes and a slab has 4096; choose"),
        (("f8", (2**40, 2**40)), ValueError, "choose a smaller shape"),
        (("f8", (-1, -1)), ValueError, "at most one -1"),
        (("f8", -2), ValueError, "choose sizes from 0 on"),
        (("f8", "x"), TypeError, "whole number"),
        (("f8", 1.5), TypeError, "whole number"),
        (("no such type",), TypeError, ""),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_pin(pool, arguments, error, text):
    ref = pool.allocate()
    with pytest.raises(error) as refused:
        ref.array(*arguments)
    assert text in str(refused.value)
    ref.release()


# ----------------------------------------------------------------------------------------------------- DLPack


def test_a_tensor_is_the_slab_and_pins_it(pool):
    ref = pool.allocate()
    tensor = numpy.from_dlpack(ref)
    assert (tensor.shape, tensor.dtype, tensor.ctypes.data) == ((4096,), numpy.uint8, ref.address)
    assert ref.__dlpack_device__() == (1, 0)
    ref[5] = 77
    assert tensor[5] == 77
    with pytest.raises(slabby.PinnedError):
        ref.release()
    del tensor
    ref.release()
    with pytest.raises(slabby.UseAfterFreeError):
        ref.__dlpack__()


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (1, 99)])
def test_a_capsule_that_is_not_taken_gives_its_pin_back(pool, version):
    ref = pool.allocate()
    capsule = ref.__dlpack__(max_version=version, dl_device=(1, 0), copy=False)
    assert ("versioned" in repr(capsule)) == (version is not None and version[0] >= 1)
    with pytest.raises(slabby.PinnedError):
        ref.release()
    del capsule
    ref.release()


def test_a_tensor_may_end_in_another_thread_and_after_its_ref(pool):
    tensors = [numpy.from_dlpack(pool.allocate())]
    with pytest.warns(ResourceWarning):
        thread = threading.Thread(target=tensors.clear)
        thread.start()
        thread.join()
        gc.collect()
    assert used(pool) == 0


@pytest.mark.parametrize(
    "request_, error, text",
    [
        ({"stream": 1}, BufferError, "pass None"),
        ({"dl_device": (2, 0)}, BufferError, "(1, 0)"),
        ({"dl_device": 1}, TypeError, "pair"),
        ({"copy": True}, BufferError, "pass None"),
        ({"max_version": 1}, TypeError, "pair"),
    ],
)
def test_what_dlpack_cannot_have_is_refused(pool, request_, error, text):
    with pool.allocate() as ref:
        with pytest.raises(error) as refused:
            ref.__dlpack__(**request_)
        assert text in str(refused.value)


# ------------------------------------------------------------------------------------------------------ Arrow


def test_a_buffer_of_arrow_holds_its_slab(pool):
    arrow = pytest.importorskip("pyarrow")
    ref = pool.allocate()
    buffer = arrow.py_buffer(ref)
    assert (buffer.address, buffer.size, buffer.is_mutable) == (ref.address, 4096, True)
    column = arrow.Array.from_buffers(arrow.int64(), 512, [None, buffer])
    ref[:8] = (12345).to_bytes(8, "little")
    assert column[0].as_py() == 12345
    del buffer
    with pytest.raises(slabby.PinnedError):
        ref.release()
    del column
    ref.release()


def test_arrow_writes_into_a_slab(pool):
    arrow = pytest.importorskip("pyarrow")
    batch = arrow.record_batch({"price": [1.5, 2.5]})
    with pool.allocate() as ref:
        sink = arrow.FixedSizeBufferWriter(arrow.py_buffer(ref))
        with arrow.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        sink.close()
        with arrow.ipc.open_stream(arrow.py_buffer(ref)) as reader:
            assert reader.read_next_batch().equals(batch)
        del sink, writer, reader


# -------------------------------------------------------------------------------------- arrays made from a pool


def test_arrays_live_in_slabs_and_release_them(pool):
    with allocate_from(pool):
        arrays = [numpy.zeros((16, 16)), numpy.arange(100), numpy.empty(4096, "u1")]
        assert {get_handler_name(array) for array in arrays} == {"slabby:test"}
    assert used(pool) == 3
    assert [pool.ref_of(array.ctypes.data).id for array in arrays]
    assert not arrays[0].any()
    assert arrays[1].sum() == 4950
    assert get_handler_name(numpy.empty(3)) == "default_allocator"
    del arrays
    assert used(pool) == 0


def test_zeros_are_zeros_in_a_used_slab(pool):
    with allocate_from(pool):
        for _ in range(3):
            array = numpy.full(512, 3.25)
            del array
            assert not numpy.zeros(512).any()


def test_arrays_are_refused_where_no_slab_can_hold_them():
    with slabby.Allocator(4096, 2) as pool, allocate_from(pool):
        with pytest.raises(MemoryError):
            numpy.empty(513)
        arrays = [numpy.empty(512), numpy.empty(0)]
        with pytest.raises(MemoryError):
            numpy.empty(1)
        arrays.pop()
        arrays.append(numpy.empty(1))
        with pytest.raises(MemoryError):
            arrays[0].resize(513, refcheck=False)
        assert used(pool) == 2
        del arrays
        assert used(pool) == 0


def test_other_memory_serves_where_it_is_asked_for():
    with slabby.Allocator(4096, 2) as pool:
        with allocate_from(pool, otherwise="system"):
            arrays = [numpy.arange(size) for size in (10, 512, 10, 513, 10_000)]
        assert used(pool) == 2
        assert [int(array[-1]) for array in arrays] == [9, 511, 9, 512, 9999]
        del arrays
        assert used(pool) == 0
        assert pool.stats().errors[slabby.Status.INVALID_REFERENCE] == 0


def test_arrays_grow_and_shrink_with_their_content():
    with slabby.Allocator(4096, 3) as pool, allocate_from(pool, otherwise="system"):
        array = numpy.arange(500)
        for size in (512, 300, 2000, 100, 4000, 1):
            before = array[: min(size, len(array))].copy()
            array.resize(size, refcheck=False)
            assert (array[: len(before)] == before).all()
            # After growth the memory is the system's, and stays so.
            assert used(pool) == (2 if size in (512, 300) else 1), size
            del before
        del array
        assert used(pool) == 0


def test_no_other_code_releases_the_slab_of_an_array(pool):
    with allocate_from(pool):
        array = numpy.ones(4)
    address = array.ctypes.data
    ref = pool.ref_of(address)
    for release in (ref.release, pool.reset, lambda: pool.release_data(address)):
        with pytest.raises(slabby.PinnedError):
            release()
    assert array.sum() == 4.0
    del array
    assert not ref.is_valid


def test_arrays_outlive_block_and_pool():
    pool = slabby.Allocator(4096, 2, name="short lived")
    with allocate_from(pool):
        array = numpy.full(512, 2.0)
    pool.close()
    del pool
    gc.collect()
    assert array.sum() == 1024.0
    assert get_handler_name(array) == "slabby:short lived"
    address = array.ctypes.data
    assert slabby.classify_fault(address).inside
    del array
    gc.collect()
    assert not slabby.classify_fault(address).inside


def test_blocks_nest_and_end_with_exceptions(pool):
    with slabby.Allocator(4096, 8, name="inner") as inner:
        with allocate_from(pool):
            with pytest.raises(ZeroDivisionError), allocate_from(inner):
                array = numpy.empty(1)
                assert get_handler_name(array) == "slabby:inner"
                raise ZeroDivisionError
            assert get_handler_name(numpy.empty(1)) == "slabby:test"
        assert get_handler_name(numpy.empty(1)) == "default_allocator"
        del array
        assert used(inner) == 0


def test_a_block_is_that_of_its_task_and_thread(pool):
    async def main() -> None:
        entered, checked = asyncio.Event(), asyncio.Event()

        async def inside() -> None:
            with allocate_from(pool):
                entered.set()
                await checked.wait()
                assert get_handler_name(numpy.empty(1)) == "slabby:test"

        async def outside() -> None:
            await entered.wait()
            assert get_handler_name(numpy.empty(1)) == "default_allocator"
            checked.set()

        await asyncio.gather(inside(), outside())

    asyncio.run(main())


def test_protections_cover_arrays():
    with slabby.Allocator(4096, 2, secure=True, bit_guard=True) as pool, allocate_from(pool):
        array = numpy.full(512, 7.0)
        address = array.ctypes.data
        del array
        (again,) = (numpy.empty(512),)
        if again.ctypes.data == address:
            assert not again.any()
        del again
        assert used(pool) == 0 and pool.verify() == []


@pytest.mark.parametrize("otherwise", ["", "malloc", None])
def test_an_unknown_alternative_is_refused(pool, otherwise):
    with (
        pytest.raises(ValueError, match="choose 'refuse' or 'system'"),
        allocate_from(pool, otherwise=otherwise),
    ):
        pass


def test_a_pool_that_is_not_aligned_enough_is_refused():
    with slabby.Allocator(100, 2, alignment=4, name="tight") as pool:
        with pytest.raises(ValueError, match="'tight' is 4; numpy needs 16"), allocate_from(pool):
            pass


def test_threads_make_and_drop_arrays_of_one_pool(pool):
    def work() -> None:
        with allocate_from(pool):
            for number in range(300):
                array = numpy.full(64, number)
                assert int(array[0]) == int(array[63]) == number

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert used(pool) == 0
    assert pool.stats().total_allocations >= 1200
