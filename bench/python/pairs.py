# SPDX-License-Identifier: GPL-3.0-or-later
"""What a buffer costs: slabs over both backends against bytearray(4096), in interleaved rounds.

The clock of a shared machine drifts, so only ratios within a round count; a round measures every case once, in
turn, and the table gives the median of the rounds' ratios with their quartiles. Each backend runs in this process:
the same pool, opened by one and adopted by the other.
"""

import argparse
import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable

import slabby

SIZE = 4096
Case = Callable[[int], None]


def bytearrays(times: int) -> None:
    for _ in range(times):
        bytearray(SIZE)


def bytearray_views(times: int) -> None:
    for _ in range(times):
        memoryview(bytearray(SIZE)).release()


def method_calls(pool: slabby.Allocator) -> Case:
    def run(times: int) -> None:
        allocate = pool.allocate
        for _ in range(times):
            allocate().release()

    return run


def with_views(pool: slabby.Allocator) -> Case:
    def run(times: int) -> None:
        allocate = pool.allocate
        for _ in range(times):
            ref = allocate()
            memoryview(ref).release()
            ref.release()

    return run


def with_blocks(pool: slabby.Allocator) -> Case:
    def run(times: int) -> None:
        allocate = pool.allocate
        for _ in range(times):
            with allocate():
                pass

    return run


def fast_calls(pool: slabby.Allocator) -> Case:
    def run(times: int) -> None:
        allocate, deallocate = pool.allocate_fast, pool.deallocate_fast
        for _ in range(times):
            deallocate(allocate()[1])

    return run


def batches(pool: slabby.Allocator) -> Case:
    def run(times: int) -> None:
        allocate, deallocate = pool.allocate_batch, pool.deallocate_batch
        for _ in range(times // 64):
            deallocate(allocate(64))

    return run


CASES = {
    "allocate + release": method_calls,
    "the same + memoryview": with_views,
    "with pool.allocate()": with_blocks,
    "allocate_fast + deallocate_fast": fast_calls,
    "batches of 64, for each slab": batches,
}


def measured(case: Case, times: int) -> float:
    started = time.perf_counter_ns()
    case(times)
    return (time.perf_counter_ns() - started) / times


def check(pool: slabby.Allocator) -> None:
    """Nothing was refused, and everything came back: errors would be measured as speed."""
    stats = pool.stats()
    if stats.used_slabs or any(stats.errors.values()):
        raise SystemExit(f"the pool refused or lost something: {stats}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--times", type=int, default=19_200, help="pairs in one measurement")
    options = parser.parse_args()
    first = slabby.Allocator(SIZE, 1000)
    other = "swig" if first.backend == "cffi" else "cffi"
    pools = {
        first.backend: first,
        other: slabby.Allocator.adopt(*first.handle(), backend=other),
    }
    cases = {
        (name, backend): make(pool)
        for backend, pool in sorted(pools.items())
        for name, make in CASES.items()
    }
    results: dict[tuple[str, str], list[float]] = {key: [] for key in cases}
    ratios: dict[tuple[str, str], list[float]] = {key: [] for key in cases}
    baseline: list[float] = []
    gc.disable()
    for _ in range(options.rounds):
        base = measured(bytearrays, options.times)
        base_view = measured(bytearray_views, options.times)
        baseline.append(base)
        for key, case in cases.items():
            cost = measured(case, options.times)
            results[key].append(cost)
            against = base_view if "memoryview" in key[0] else base
            ratios[key].append(cost / against)
    check(first)
    print(f"Python {platform.python_version()} on {platform.machine()}, slabs of {SIZE} bytes;")
    print(f"{options.rounds} interleaved rounds of {options.times} pairs; nothing was refused")
    print(f"bytearray({SIZE}): median {statistics.median(baseline):.0f} ns")
    print(
        "x is the ratio to it in the same round; with a memoryview on both sides where it says so"
    )
    print()
    print(f"{'':34}{'backend':8}{'ns':>6}{'x':>7}  quartiles")
    for (name, backend), costs in results.items():
        low, middle, high = statistics.quantiles(ratios[name, backend], n=4)
        ns = statistics.median(costs)
        print(f"{name:34}{backend:8}{ns:6.0f}{middle:7.2f}  {low:.2f} to {high:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
