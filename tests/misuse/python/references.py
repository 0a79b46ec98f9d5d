# SPDX-License-Identifier: GPL-3.0-or-later
"""References that are stale, of another pool, or made up."""

import random

import slabby
from reported import counted, make_pool, mistake, refused, rounds


@mistake
def stale_data() -> None:
    ref = make_pool().allocate()
    ref.release()
    with refused(ref):
        memoryview(ref)


@mistake
def stale_pin() -> None:
    """Python pins by viewing; the call that pins without a view is that of a second view."""
    pool = make_pool()
    ref = pool.allocate()
    ref.release()
    with refused(ref):
        pool.from_ref(ref.ref)


@mistake
def foreign_reference() -> None:
    pool, other = make_pool(), make_pool()
    ref = other.allocate()
    with refused(ref):
        pool.from_ref(ref.ref)
    ref.release()


def accepted(pool: slabby.Allocator, made_up: int) -> bool:
    try:
        pool.from_ref(made_up)
    except (slabby.InvalidReferenceError, slabby.UseAfterFreeError):
        return False
    return True


@mistake
def forged_references() -> None:
    """Half of them carry the pool's own tag. The seed is fixed, so that none is the live one by chance."""
    pool = make_pool()
    ref = pool.allocate()
    times = rounds(50_000)
    tag = ref.ref & 0xFFF0000000000000
    numbers = random.Random(1)
    forged = (
        tag | numbers.getrandbits(52) if at % 2 else numbers.getrandbits(64) for at in range(times)
    )
    counted("accepted", sum(accepted(pool, made_up) for made_up in forged))
    counted("forged", times)
    with refused(ref):
        pool.from_ref(ref.ref + (1 << 40))
    ref.release()
