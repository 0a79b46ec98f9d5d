# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the last garbage collection of this interpreter took."""

import gc
import time


class CollectionClock:
    """Listens to the collector; a collection runs on one thread at a time."""

    def __init__(self) -> None:
        self._started_ns = 0
        self.last_duration_ns = 0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        now_ns = time.perf_counter_ns()
        if phase == "start":
            self._started_ns = now_ns
        elif self._started_ns:
            self.last_duration_ns = now_ns - self._started_ns


clock = CollectionClock()
gc.callbacks.append(clock)
