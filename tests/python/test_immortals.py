# SPDX-License-Identifier: GPL-3.0-or-later
"""Immortal objects: interpreters with locks of their own share None, True and small integers, and nothing may change
their reference counts. A change back and forth is invisible here, so the results are kept."""

import sys

import pytest
import slabby

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="3.12 was the first to have immortal objects"
)


def counts() -> list[int]:
    return [sys.getrefcount(shared) for shared in (None, True, False, 0, 5, (), b"", "", int)]


def results_of_types(pool):
    """Of slabby._types."""
    with pool.allocate() as ref:
        yield from (ref.__enter__(), ref.is_valid, ref.label, ref.allocation_stack, ref.id)
        yield from (ref == ref, ref != ref, ref == 5, ref[:0], ref.size, pool.closed)
    yield from (ref.is_valid, pool.allocate().release(), ref.__exit__(None, None, None))
    yield from (pool.deallocate(pool.allocate()), pool.deallocate_batch(pool.allocate_batch(5)))
    slab, number = pool.allocate_fast()
    yield from (number, slab.size, pool.deallocate_fast(number))
    for wrong in (
        lambda: ref.release(),
        lambda: pool.deallocate_fast(number),
        lambda: memoryview(ref),
    ):
        with pytest.raises(slabby.SlabbyError) as caught:
            wrong()
        yield caught.value


def results_of_the_backend(pool):
    core, ref = pool._core, pool.allocate()
    yield from (core.slabby_set_label(pool, ref.ref, 5), core.slabby_get_label(pool, ref.ref))
    yield from (core.slabby_pin(pool, ref.ref), core.slabby_unpin(pool, ref.ref))
    yield from (core.slabby_release(pool, ref.ref), ref._finish())
    yield from (pool.trim(), pool.verify(), pool.stats(), list(pool.live()), pool.reset())
    yield from (pool.get_option("secure"), pool.set_option("secure", True))
    if slabby.backend() == "cffi":
        from slabby._cffi import ffi, lib

        yield lib.slabby_options_destroy(ffi.NULL)


@pytest.mark.parametrize("results", [results_of_types, results_of_the_backend])
def test_calls_leave_them_alone(pool, results):
    held = list(results(pool))
    before = counts()
    held += [list(results(pool)) for _ in range(20)]
    assert counts() == before
    assert len(held) > 20
