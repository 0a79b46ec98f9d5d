# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's program for mypy --strict: what the public API promises in types."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import assert_type

import slabby


def first_byte(pool: slabby.Allocator) -> int:
    """No statement is missing behind the block: it swallows no exception."""
    with pool.allocate() as ref:
        return ref[0]


async def waits(pool: slabby.Allocator) -> int:
    async with pool.acquire_async(timeout=1) as ref:
        assert_type(ref, slabby.SlabRef)
    with await pool.acquire_batch_async(2, None) as refs:
        return len(refs)


def test_options_have_types_of_their_own() -> None:
    with slabby.Allocator(4096, 10, secure=True) as pool:
        assert_type(pool.get_option("secure"), bool)
        assert_type(pool.get_option("health_interval"), float)
        assert_type(pool.get_option("degrade_at"), int)
        assert_type(pool.get_option("name"), str)
        assert_type(pool.get_option("corruption_policy"), slabby.CorruptionPolicy)
        pool.set_option("secure", False)
        pool.set_option("health_interval", timedelta(seconds=5))
        pool.set_option("latency_tracking", "all")
        try:
            pool.set_option("secure", 3)  # type: ignore[call-overload]
        except TypeError:
            pass
        else:
            raise AssertionError("a wrong call was accepted")


def test_types() -> None:
    with slabby.Allocator(
        4096, 10, name="typed", secure=True, circuit_breaker_timeout="30s"
    ) as pool:
        assert_type(pool, slabby.Allocator)
        with pool.allocate() as ref:
            assert_type(ref, slabby.SlabRef)
            view: memoryview = memoryview(ref)
            view.release()
            assert_type(
                (ref.ref, ref.id, ref.label, ref.address, ref.size), tuple[int, int, int, int, int]
            )
            assert_type(ref.is_valid, bool)
        ref = pool.allocate(timeout=0.0)
        pool.deallocate(ref)
        pool.allocate(timedelta(0)).release()
        batch = pool.allocate_batch(2)
        assert_type(batch, slabby.Batch)
        listed: list[slabby.SlabRef] = batch
        assert_type(listed[0].allocator, slabby.Allocator)
        assert_type((listed[0][0], listed[0][:2]), tuple[int, bytes])
        assert_type(pool.deallocate_batch(batch), int)
        assert_type(asyncio.run(pool.allocate_async(timeout=1.5)), slabby.SlabRef).release()
        assert_type(first_byte(pool), int)
        assert_type(asyncio.run(waits(pool)), int)
        assert_type(pool.acquire(timeout=None), slabby.SlabRef).release()
        slab, number = pool.allocate_fast()
        assert_type(slab, slabby.FastSlab)
        pool.deallocate_fast(number)
        stats = pool.stats()
        assert_type(stats, slabby.Stats)
        assert_type(stats.errors, dict[slabby.Status, int])
        assert_type(stats.breaker_state, slabby.BreakerState)
        assert_type(pool.memory().stride, int)
        assert_type(pool.verify(), list[slabby.Finding])
        assert_type(pool.handle(), tuple[int, int])
        assert_type(slabby.Allocator.adopt(*pool.handle()), slabby.Allocator)
        try:
            pool.resize(20)
        except slabby.SlabbyError as error:
            assert_type(error.status, slabby.Status)
            assert_type(error.option, str | None)
    # Each of these must be an error: strict mypy complains about an ignore that ignores nothing.
    refusals: tuple[Callable[[], object], ...] = (
        lambda: slabby.Allocator(4096, 10, secur=True),  # type: ignore[call-arg]
        lambda: slabby.Allocator(4096, 10, secure=3),  # type: ignore[arg-type]
        lambda: slabby.Allocator(4096, 10, latency_tracking="often"),  # type: ignore[arg-type]
        lambda: slabby.Allocator("4096", 10),  # type: ignore[arg-type]
    )
    for refusal in refusals:
        try:
            refusal()
        except (TypeError, slabby.InvalidOptionError):
            continue
        raise AssertionError("a wrong call was accepted")
