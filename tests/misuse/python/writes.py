# SPDX-License-Identifier: GPL-3.0-or-later
"""Written where nothing belongs to the writer, past Python's own bounds. What ends in a fault prints no answer."""

import ctypes

import slabby
from reported import CAPACITY, SLAB_SIZE, counted, make_pool, mistake, refused, report

LARGE = 4096


def byte_at(address: int) -> ctypes.c_ubyte:
    return ctypes.c_ubyte.from_address(address)


def damage(offset: int) -> None:
    ref = make_pool(bit_guard=True).allocate()
    byte_at(ref.address + offset).value ^= 1
    with refused(ref):
        ref.release()


@mistake
def overflow() -> None:
    damage(SLAB_SIZE)


@mistake
def underflow() -> None:
    damage(-1)


@mistake
def write_after_release() -> None:
    pool = make_pool(reuse_delay=2)
    ref = pool.allocate()
    address = ref.address
    ref.release()
    byte_at(address).value = 1
    for _ in range(2 * CAPACITY):
        pool.allocate().release()
    counted("corruptions", pool.stats().corruptions)
    scenario = pool.explain(ref, slabby.Status.MEMORY_CORRUPTION)
    report("MemoryCorruption", scenario, ref.id, ref.ref)


@mistake
def overflow_fault() -> None:
    ref = make_pool(guard_pages=True).allocate()
    slabby.install_fault_handler()
    byte_at(ref.address + SLAB_SIZE).value = 1


@mistake
def underflow_fault() -> None:
    ref = make_pool(LARGE, guard_sample_rate=1).allocate()
    slabby.install_fault_handler()
    byte_at(ref.address - 1).value = 1


@mistake
def write_after_release_fault() -> None:
    ref = make_pool(LARGE, guard_sample_rate=1).allocate()
    address = ref.address
    ref.release()
    slabby.install_fault_handler()
    byte_at(address + 5).value = 1
