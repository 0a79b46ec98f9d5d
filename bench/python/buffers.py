# SPDX-License-Identifier: GPL-3.0-or-later
"""What a buffer costs, by kind: slabs against bytearray, mmap, shared_memory and numpy, in interleaved rounds.

Three numbers for each kind and size, all in processor time: to make and drop a buffer; to make one, write each of its
bytes once, and drop it; and the same with the content wiped before the memory is used again. A round measures every
kind once; the table gives medians, and the ratio to a slab within the round.
"""

from __future__ import annotations

import argparse
import gc
import mmap
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from multiprocessing import shared_memory

import numpy
import slabby

Run = Callable[[], None]
SIZES = (256, 4096, 65536, 1 << 20)
# So many buffers in one measurement of 4 KiB; of larger ones fewer.
TIMES = 400


def slab(pool: slabby.Allocator, content: bytes | None) -> Run:
    def run() -> None:
        with pool.allocate() as ref:
            if content is not None:
                ref[:] = content

    return run


def of_bytearray(size: int, content: bytes | None) -> Run:
    def run() -> None:
        buffer = bytearray(size)
        if content is not None:
            buffer[:] = content

    return run


def of_mmap(size: int, content: bytes | None) -> Run:
    def run() -> None:
        with mmap.mmap(-1, size) as buffer:
            if content is not None:
                buffer[:] = content

    return run


def of_shared_memory(size: int, content: bytes | None) -> Run:
    def run() -> None:
        buffer = shared_memory.SharedMemory(create=True, size=size)
        if content is not None:
            buffer.buf[:size] = content
        buffer.close()
        buffer.unlink()

    return run


def of_numpy(size: int, content: bytes | None) -> Run:
    source = None if content is None else numpy.frombuffer(content, numpy.uint8)

    def run() -> None:
        buffer = numpy.empty(size, numpy.uint8)
        if source is not None:
            buffer[:] = source

    return run


def wiped(size: int, content: bytes) -> Run:
    """A bytearray that is overwritten at its end, as a slab of a pool with `secure` is."""
    zeros = bytes(size)

    def run() -> None:
        buffer = bytearray(size)
        buffer[:] = content
        buffer[:] = zeros

    return run


def kinds(
    size: int, plain: slabby.Allocator, secure: slabby.Allocator
) -> dict[str, dict[str, Run]]:
    """What is done -> kind -> how."""
    content = bytes(range(256)) * (size // 256)
    makers = (of_bytearray, of_mmap, of_shared_memory, of_numpy)

    def all_kinds(written: bytes | None) -> dict[str, Run]:
        peers = {make.__name__.removeprefix("of_"): make(size, written) for make in makers}
        return {"slab": slab(plain, written), **peers}

    return {
        "make, drop": all_kinds(None),
        "make, write, drop": all_kinds(content),
        "make, write, wipe, drop": {
            "slab": slab(secure, content),
            "bytearray": wiped(size, content),
        },
    }


def measured(run: Run, times: int) -> float:
    started = time.process_time_ns()
    for _ in range(times):
        run()
    return (time.process_time_ns() - started) / times


def measure(size: int, rounds: int) -> None:
    times = max(20, TIMES * 4096 // max(size, 4096))
    with slabby.Allocator(size, 64) as plain, slabby.Allocator(size, 64, secure=True) as secure:
        work = kinds(size, plain, secure)
        costs: dict[tuple[str, str], list[float]] = defaultdict(list)
        for _ in range(rounds):
            for what, runs in work.items():
                for kind, run in runs.items():
                    costs[what, kind].append(measured(run, times))
            gc.collect()
        for pool in (plain, secure):
            stats = pool.stats()
            if stats.used_slabs or stats.allocation_errors:
                raise SystemExit(f"the pool refused or lost something: {stats}")
    for what, runs in work.items():
        slabs = costs[what, "slab"]
        for kind in runs:
            ratio = statistics.median(cost / slab for cost, slab in zip(costs[what, kind], slabs))
            middle = statistics.median(costs[what, kind])
            print(f"{size:>9,}  {what:25}{kind:15}{middle:>12,.0f} ns {ratio:>8.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=41)
    options = parser.parse_args()
    gc.disable()
    print(
        f"Python {platform.python_version()}, numpy {numpy.__version__}, {platform.machine()}, over"
    )
    print(f"{slabby.backend()}; medians of {options.rounds} interleaved rounds, processor time")
    print(f"\n{'bytes':>9}  {'what':25}{'kind':15}{'cost':>12}    {'x slab':>8}")
    for size in SIZES:
        measure(size, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
