# SPDX-License-Identifier: GPL-3.0-or-later
"""Released twice, by two threads, while viewed, by the wrong call, never."""

import gc
import sys
import threading
import warnings

import slabby
from reported import SLAB_SIZE, counted, make_pool, mistake, refused, rounds, report

RACERS = 1000


@mistake
def double_release() -> None:
    ref = make_pool().allocate()
    ref.release()
    with refused(ref):
        ref.release()


@mistake
def double_release_after_reuse() -> None:
    pool = make_pool(SLAB_SIZE, 1)
    ref = pool.allocate()
    ref.release()
    owner = pool.allocate()
    with refused(ref):
        ref.release()
    owner.release()


def release_all(refs: list[slabby.SlabRef], answers: list[slabby.Status]) -> None:
    for ref in refs:
        try:
            ref.release()
            answers.append(slabby.Status.OK)
        except slabby.SlabbyError as error:
            answers.append(error.status)


@mistake
def release_race() -> None:
    pool = make_pool(SLAB_SIZE, RACERS)
    heats = -(-rounds(20_000) // RACERS)
    sys.setswitchinterval(1e-6)  # a few releases, not some thousand, between two threads' turns
    won = lost = 0
    for _ in range(heats):
        refs = pool.allocate_batch(RACERS)
        # The same slabs through objects of their own: one object's releases are counted by itself.
        twins = [pool.from_ref(ref.ref) for ref in refs]
        answers: tuple[list[slabby.Status], list[slabby.Status]] = ([], [])
        other = threading.Thread(target=release_all, args=(twins, answers[0]))
        other.start()
        release_all(refs, answers[1])
        other.join()
        for pair in zip(*answers, strict=True):
            won += pair.count(slabby.Status.OK) == 1
            lost += pair.count(slabby.Status.DOUBLE_DEALLOCATION)
    counted("races", heats * RACERS)
    counted("won", won)
    counted("lost", lost)
    with refused(refs[0]):
        refs[0].release()


@mistake
def release_while_viewed() -> None:
    ref = make_pool().allocate()
    view = memoryview(ref)
    with refused(ref):
        ref.release()
    view.release()
    ref.release()


@mistake
def fast_id_twice() -> None:
    pool = make_pool()
    _, slab = pool.allocate_fast()
    pool.deallocate_fast(slab)
    with refused():
        pool.deallocate_fast(slab)


@mistake
def fast_id_of_reference() -> None:
    pool = make_pool()
    ref = pool.allocate()
    with refused():
        pool.deallocate_fast(ref.id)
    ref.release()


@mistake
def reset_with_live_references() -> None:
    pool = make_pool()
    ref = pool.allocate()
    pool.reset()
    with refused(ref):
        ref.release()


@mistake
def reset_while_viewed() -> None:
    pool = make_pool()
    ref = pool.allocate()
    view = memoryview(ref)
    with refused():
        pool.reset()
    view.release()
    ref.release()


@mistake
def leak() -> None:
    """A reference that is dropped without release: told as a ResourceWarning, and the slab comes back."""
    pool = make_pool()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pool.allocate()
        gc.collect()
    counted("used", pool.stats().used_slabs)
    for warning in caught:
        report("OK", f"{warning.category.__name__}: {warning.message}")


@mistake
def use_after_close() -> None:
    pool = make_pool()
    pool.close()
    with refused():
        pool.allocate()
