# SPDX-License-Identifier: GPL-3.0-or-later
"""What a buffer costs: slabs over both backends against what Python has, in interleaved rounds.

The clock of a shared machine drifts, so only ratios within a round count; a round measures every case and its peer
once, in turn, and the table gives the median of the rounds' ratios with their quartiles. Each backend runs in this
process: the same pool, opened by one and adopted by the other.

"floor" is the same Python with floor.c in place of the pool: objects of C that do nothing. For tasks it is a semaphore,
which serves them in turn as a pool does; a queue lets a task that puts something back take it again at once.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any
from dataclasses import dataclass

import floor
import slabby

SIZE = 4096
BATCH = 64
TASKS, SLABS = 200, 8
Run = Callable[[int], None]


def turns(times: int) -> int:
    """How often each task takes a buffer: often enough that opening the pool and the loop is no part of it."""
    return max(1, times // 2 // TASKS)


def bytearrays(times: int) -> None:
    for _ in range(times):
        bytearray(SIZE)


def bytearray_views(times: int) -> None:
    for _ in range(times):
        memoryview(bytearray(SIZE)).release()


def ready_bytearrays(times: int) -> None:
    ready = collections.deque(bytearray(SIZE) for _ in range(8))
    append, popleft = ready.append, ready.popleft
    for _ in range(times):
        append(popleft())


def queued_bytearrays(times: int) -> None:
    async def main() -> None:
        queue: asyncio.Queue[bytearray] = asyncio.Queue()
        queue.put_nowait(bytearray(SIZE))

        async def get() -> bytearray:
            return queue.get_nowait()

        for _ in range(times):
            queue.put_nowait(await get())

    asyncio.run(main())


def tasks_on_a_queue(times: int) -> None:
    async def main() -> None:
        queue: asyncio.Queue[bytearray] = asyncio.Queue()
        for _ in range(SLABS):
            queue.put_nowait(bytearray(SIZE))

        async def work() -> None:
            for _ in range(turns(times)):
                buffer = await queue.get()
                await asyncio.sleep(0)
                queue.put_nowait(buffer)

        await asyncio.gather(*(work() for _ in range(TASKS)))

    asyncio.run(main())


def tasks_on_a_semaphore(times: int) -> None:
    async def main() -> None:
        free = asyncio.Semaphore(SLABS)
        ready = [bytearray(SIZE) for _ in range(SLABS)]

        async def work() -> None:
            for _ in range(turns(times)):
                async with free:
                    buffer = ready.pop()
                    await asyncio.sleep(0)
                    ready.append(buffer)

        await asyncio.gather(*(work() for _ in range(TASKS)))

    asyncio.run(main())


def pairs(pool: Any) -> Run:
    def run(times: int) -> None:
        allocate = pool.allocate
        for _ in range(times):
            allocate().release()

    return run


def with_views(pool: Any) -> Run:
    def run(times: int) -> None:
        allocate = pool.allocate
        for _ in range(times):
            ref = allocate()
            memoryview(ref).release()
            ref.release()

    return run


def blocks_with_views(pool: Any) -> Run:
    def run(times: int) -> None:
        allocate = pool.allocate
        for _ in range(times):
            with allocate() as ref:
                memoryview(ref).release()

    return run


def batches(pool: slabby.Allocator) -> Run:
    def run(times: int) -> None:
        allocate, deallocate = pool.allocate_batch, pool.deallocate_batch
        for _ in range(times // BATCH):
            deallocate(allocate(BATCH))

    return run


def fast_pairs(pool: Any) -> Run:
    def run(times: int) -> None:
        allocate, deallocate = pool.allocate_fast, pool.deallocate_fast
        for _ in range(times):
            deallocate(allocate()[1])

    return run


def acquired(pool: slabby.Allocator) -> Run:
    def run(times: int) -> None:
        acquire = pool.acquire
        for _ in range(times):
            acquire(timeout=1).release()

    return run


def acquired_in_a_task(pool: slabby.Allocator) -> Run:
    async def main(times: int) -> None:
        acquire = pool.acquire_async
        for _ in range(times):
            (await acquire()).release()

    return lambda times: asyncio.run(main(times))


def tasks_on_slabs(pool: slabby.Allocator) -> Run:
    async def main(times: int) -> None:
        with slabby.Allocator(SIZE, SLABS) as few:
            shared = slabby.Allocator.adopt(*few.handle(), backend=pool.backend)

            async def work() -> None:
                for _ in range(turns(times)):
                    async with shared.acquire_async():
                        await asyncio.sleep(0)

            await asyncio.gather(*(work() for _ in range(TASKS)))

    return lambda times: asyncio.run(main(times))


@dataclass(frozen=True)
class Case:
    """What is measured, against which peer, and the ratio to reach over CFFI and over SWIG."""

    name: str
    make: Callable[[slabby.Allocator], Run]
    peer: Run
    goals: dict[str, float]
    floor: Run | None = None


def goals(cffi: float, swig: float) -> dict[str, float]:
    return {"cffi": cffi, "swig": swig}


CASES = (
    Case("allocate + release", pairs, bytearrays, goals(0.55, 0.45), pairs(floor)),
    Case(
        "+ memoryview (both sides)",
        with_views,
        bytearray_views,
        goals(0.85, 0.75),
        with_views(floor),
    ),
    Case(
        "with + memoryview",
        blocks_with_views,
        bytearrays,
        goals(1.2, 1.1),
        blocks_with_views(floor),
    ),
    Case("batch of 64, a slab", batches, bytearrays, goals(0.30, 0.30)),
    Case("allocate_fast pair", fast_pairs, bytearrays, goals(0.55, 0.45), fast_pairs(floor)),
    Case("acquire(timeout=1), free pool", acquired, bytearrays, goals(0.7, 0.6)),
    Case(
        "acquire_async / Queue.get_nowait", acquired_in_a_task, queued_bytearrays, goals(1.2, 1.2)
    ),
    Case(
        "200 tasks, 8 slabs / asyncio.Queue",
        tasks_on_slabs,
        tasks_on_a_queue,
        goals(1.3, 1.3),
        tasks_on_a_semaphore,
    ),
    Case("allocate + release / ready deque", pairs, ready_bytearrays, goals(2.0, 1.6)),
)


def measured(run: Run, times: int) -> float:
    started = time.thread_time_ns()
    run(times)
    return (time.thread_time_ns() - started) / times


def check(pool: slabby.Allocator) -> None:
    """Nothing was refused, and everything came back: errors would be measured as speed."""
    stats = pool.stats()
    if stats.used_slabs or any(stats.errors.values()):
        raise SystemExit(f"the pool refused or lost something: {stats}")


def bar(ratio: float, goal: float, width: int = 20) -> str:
    """The ratio as a bar whose full length is twice the goal, which a line marks."""
    filled = min(width, round(ratio / goal * width / 2))
    cells = ["█" if at < filled else " " for at in range(width)]
    cells[width // 2] = "│" if filled <= width // 2 else "┃"
    return "".join(cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--times", type=int, default=6_400, help="pairs in one measurement")
    options = parser.parse_args()
    first = slabby.Allocator(SIZE, 1000)
    other = "swig" if first.backend == "cffi" else "cffi"
    pools = {
        first.backend: first,
        other: slabby.Allocator.adopt(*first.handle(), backend=other),
    }
    ratios: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
    costs: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
    gc.disable()
    for _ in range(options.rounds):
        for case in CASES:
            peer = measured(case.peer, options.times)
            if case.floor is not None:
                ratios[case.name, "floor"].append(measured(case.floor, options.times) / peer)
            for backend, pool in sorted(pools.items()):
                cost = measured(case.make(pool), options.times)
                costs[case.name, backend].append(cost)
                ratios[case.name, backend].append(cost / peer)
        gc.collect()
    check(first)
    print(f"Python {platform.python_version()} on {platform.machine()}, slabs of {SIZE} bytes;")
    print(f"{options.rounds} interleaved rounds of {options.times} pairs; nothing was refused")
    print(f"x: ratio to the peer in the same round, bytearray({SIZE}) where none is named")
    print()
    print(f"{'':36}{'backend':8}{'x':>6}  quartiles     goal  0{' ' * 9}goal")
    reached = 0
    for case in CASES:
        if case.floor is not None:
            low, middle, high = statistics.quantiles(ratios[case.name, "floor"], n=4)
            print(f"{case.name:36}{'floor':8}{middle:6.2f}  {low:.2f} to {high:.2f}")
        for backend in sorted(pools):
            low, middle, high = statistics.quantiles(ratios[case.name, backend], n=4)
            goal = case.goals[backend]
            reached += middle <= goal
            print(
                f"{case.name:36}{backend:8}{middle:6.2f}  {low:.2f} to {high:.2f}  {goal:4.2f}  "
                f"{bar(middle, goal)}"
            )
    print(f"\n{reached} of {2 * len(CASES)} goals reached")
    return 0


if __name__ == "__main__":
    sys.exit(main())
