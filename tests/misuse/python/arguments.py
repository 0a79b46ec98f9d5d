# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers out of range, sizes that cannot be, places that are missing."""

import slabby
from reported import CAPACITY, SLAB_SIZE, make_pool, mistake, refused, report


@mistake
def option_out_of_range() -> None:
    with refused():
        make_pool(shards=4097)
    with refused():
        make_pool(alignment=48)
    with refused():
        make_pool(degrade_at=101)


@mistake
def option_conflict() -> None:
    with refused():
        make_pool(guard_pages=True, huge_pages=True)


@mistake
def cold_option() -> None:
    with refused():
        make_pool().set_option("shards", 2)  # type: ignore[call-overload] # the mistake


@mistake
def absurd_sizes() -> None:
    sizes = (0, CAPACITY), (2**30 + 1, CAPACITY), (2**62, CAPACITY)
    for slab_size, capacity in (*sizes, (SLAB_SIZE, 0), (SLAB_SIZE, 2**31), (SLAB_SIZE, 2**62)):
        with refused():
            slabby.Allocator(slab_size, capacity)


@mistake
def absurd_batches() -> None:
    pool = make_pool()
    for count in (0, CAPACITY + 1):
        with refused():
            pool.allocate_batch(count)


@mistake
def null_arguments() -> None:
    """Python has no null; its nearest kin is an object that was never given a pool."""
    hollow = slabby.Allocator.__new__(slabby.Allocator)
    try:
        hollow.allocate()
    except RuntimeError as error:
        report(type(error).__name__, str(error))
