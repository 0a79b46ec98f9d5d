# SPDX-License-Identifier: GPL-3.0-or-later
"""Two pools under a load that rises and falls, so that the views show changes."""

import math
import random
import threading
import time
import warnings
from collections.abc import Callable

from slabby._allocator import Allocator
from slabby._base_error import SlabbyError
from slabby._types import SlabRef

# One rise and fall of the load.
PERIOD_S = 60.0
STEP_S = 0.02
# Between two references that are dropped without release.
LEAK_EVERY_S = 15.0


class Demo:
    """Load on `pools` until close()."""

    def __init__(self) -> None:
        orders = Allocator(
            4096,
            400,
            name="orders",
            debug=True,
            finalizers=True,
            bit_guard=True,
            circuit_breaker_threshold=200,
            circuit_breaker_timeout="5s",
            health_checks=True,
        )
        bodies = Allocator(65536, 128, name="bodies", degrade_at=80, heap_fallback=True)
        self.pools = [orders, bodies]
        self._ended = threading.Event()
        self._threads = [
            self._start(lambda: self._load(orders, 1.04, handle_order)),
            self._start(lambda: self._load(bodies, 0.9, read_body)),
            self._start(lambda: self._wait(orders)),
        ]

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name="slabby-demo", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for pool in self.pools:
            pool.close()

    def _load(self, pool: Allocator, height: float, work: Callable[[Allocator], SlabRef]) -> None:
        """Holds a share of the slabs that swings between a tenth and `height`."""
        held: list[SlabRef] = []
        leaked = time.monotonic()
        while not self._ended.wait(STEP_S):
            phase = time.monotonic() / PERIOD_S * 2 * math.pi
            share = 0.1 + (height - 0.1) * (1 - math.cos(phase)) / 2
            wanted = int(pool.capacity * share * random.uniform(0.95, 1.05))
            _reach(pool, held, wanted, work)
            if time.monotonic() - leaked > LEAK_EVERY_S:
                leaked = time.monotonic()
                _leak(held)
        for ref in held:
            ref.release()

    def _wait(self, pool: Allocator) -> None:
        """Waits for a slab, again and again."""
        while not self._ended.wait(0.1):
            try:
                with pool.allocate(timeout=0.5):
                    pass
            except SlabbyError:
                continue


def _reach(
    pool: Allocator, held: list[SlabRef], wanted: int, work: Callable[[Allocator], SlabRef]
) -> None:
    try:
        for _ in range(20):
            work(pool).release()
        while len(held) < wanted:
            held.append(work(pool))
    except SlabbyError:
        pass
    random.shuffle(held)
    while len(held) > wanted:
        held.pop().release()


def _leak(held: list[SlabRef]) -> None:
    if held:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            held.pop()


def handle_order(pool: Allocator) -> SlabRef:
    """A function that the stacks of the demo name."""
    return pool.allocate()


def read_body(pool: Allocator) -> SlabRef:
    """The other function that they name."""
    return pool.allocate()


# Stacks leave out the frames of this package by their file, but must show the frames of the demo.
for _function in (handle_order, read_body):
    _function.__code__ = _function.__code__.replace(co_filename="demo.py")
