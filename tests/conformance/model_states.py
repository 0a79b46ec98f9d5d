# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a pool that open, degrade and pass with time: its circuit breaker and its degradation.

Time is what the program sleeps. What depends on how fast a binding runs is undetermined.
"""

from __future__ import annotations

from enums import words

BREAKER_STATES = words("breaker_state")
NORMAL, FORCED_OPEN, DISABLED, METRICS_ONLY = range(4)
CLOSED, OPEN, HALF_OPEN = range(3)
# The breaker's second rule: more than half of the calls of a window failed, which had at least this many.
FEWEST_CALLS = 20
# A timeout that no program outlives, with what it sleeps.
LONG_NS = 10 * 10**9

DEGRADATION_STATES = words("degradation_state")
HEALTHY, DEGRADED, SURVIVAL, FALLBACK = range(4)
# Percent below a threshold for the way back.
POINTS = 10


class Undetermined(Exception):
    """The program asks for something that the design leaves open: it is no program of the language."""


class Breaker:
    """Closed, open, half open. Between the end of a short timeout and a sleep nobody knows which."""

    def __init__(self, values: dict[str, int], codes: set[str]) -> None:
        self.values = values
        self.codes = codes
        self.mode = NORMAL
        self.open = False
        # Open, and the timeout is over for certain: the next allocation is a probe.
        self.expired = False
        self.in_a_row = 0
        self.window_calls = -1
        self.window_failures = 0

    @property
    def threshold(self) -> int:
        return self.values["circuit_breaker_threshold"]

    @property
    def timeout_ns(self) -> int:
        return self.values["circuit_breaker_timeout"]

    def state(self) -> int:
        """As the next allocation would meet it."""
        if not self.open:
            return CLOSED
        if self.mode == FORCED_OPEN:
            return OPEN
        if self.expired:
            return HALF_OPEN
        if self.timeout_ns < LONG_NS:
            raise Undetermined("whether a short timeout is over")
        return OPEN

    def refuses(self) -> bool:
        return self.open and self.mode in (NORMAL, FORCED_OPEN) and self.state() == OPEN

    def slept(self, duration_ns: int) -> None:
        """The timeout is spread by a tenth either way."""
        if self.open and duration_ns * 10 > self.timeout_ns * 11:
            self.expired = True

    def admits(self, count: int) -> None:
        """An allocation of `count` slabs goes on."""
        if not self.open or self.mode != NORMAL:
            return
        if count > 1:
            raise Undetermined("how many probes a batch needs")
        self.codes.add("breaker_half_open")

    def succeeded(self, count: int) -> None:
        self.in_a_row = 0
        if self.window_calls >= 0:
            self.window_calls += count
        if self.expired and self.mode == NORMAL:
            self.close()

    def failed(self) -> None:
        if self.threshold == 0 or self.mode == DISABLED:
            return
        if self.open:
            if self.expired:
                self._open()
            return
        self.window_calls = max(self.window_calls, 0) + 1
        self.window_failures += 1
        self.in_a_row += 1
        fewest = max(2 * self.threshold, FEWEST_CALLS)
        often = self.window_calls >= fewest and 2 * self.window_failures > self.window_calls
        if self.in_a_row >= self.threshold or often:
            self._open()

    def _open(self) -> None:
        self.open = True
        self.expired = False
        self.in_a_row = 0
        self.codes.add("breaker_opened")

    def force(self, mode: int) -> None:
        if mode == METRICS_ONLY and self.timeout_ns < LONG_NS:
            raise Undetermined("when metrics_only goes on")
        before, self.mode = self.mode, mode
        if mode != before:
            self.codes.add("breaker_forced")
        if mode == FORCED_OPEN:
            self.open, self.expired, self.in_a_row = True, False, 0
        elif before == FORCED_OPEN or mode != NORMAL:
            self.close()

    def close(self) -> None:
        if self.open:
            self.codes.add("breaker_closed")
        self.open = self.expired = False
        self.in_a_row = 0

    def changed(self) -> None:
        """The threshold was set."""
        if self.threshold == 0 and self.mode != FORCED_OPEN:
            self.close()


class Degradation:
    """The states that the pool may be in: a step is taken by slow operations, of which a trace does not know, and the
    way back takes a second, which a program may last or not."""

    def __init__(self, values: dict[str, int]) -> None:
        self.values = values
        self.possible = {HEALTHY}
        # Whether a step was taken: for certain, perhaps.
        self.stepped = False
        self.perhaps = False

    @property
    def on(self) -> bool:
        return self.values["degrade_at"] != 0 or self.values["survive_at"] != 0

    @property
    def thins(self) -> bool:
        """Whether records may have been left out."""
        return self.stepped or self.perhaps

    def _warranted(self, state: int, used: int, capacity: int, heap_live: int) -> int:
        def reaches(threshold: int, reached: bool) -> bool:
            if threshold == 0:
                return False
            low = max(0, threshold - POINTS)
            return used * 100 > low * capacity if reached else used * 100 >= threshold * capacity

        if heap_live or (state == FALLBACK and reaches(100, True)):
            return FALLBACK
        if reaches(self.values["survive_at"], state >= SURVIVAL):
            return SURVIVAL
        return DEGRADED if reaches(self.values["degrade_at"], state >= DEGRADED) else HEALTHY

    def moved(self, used: int, capacity: int, heap_live: int) -> None:
        """The use has changed: the next check takes a step, and the model cannot know whether one was made."""
        if not self.on:
            return
        more = {self._warranted(state, used, capacity, heap_live) for state in self.possible}
        self.perhaps |= not more <= self.possible
        self.possible |= more

    def ticked(self, used: int, capacity: int, heap_live: int) -> None:
        """A look that takes each step up that is due."""
        if not self.on:
            return
        after: set[int] = set()
        for state in self.possible:
            to = self._warranted(state, used, capacity, heap_live)
            after |= {to} if to >= state else {state, to}
        self.stepped |= HEALTHY not in after
        self.perhaps |= not after <= self.possible
        self.possible = after

    def shown(self, used: int, capacity: int, heap_live: int) -> str:
        """What an observer is shown: the state that a check which takes steps would leave."""
        seen = set(self.possible)
        if self.on:
            seen = set()
            for state in self.possible:
                to = self._warranted(state, used, capacity, heap_live)
                seen |= {to} if to >= state else {state, to}
        if len(seen) != 1:
            raise Undetermined("how far the pool has degraded")
        return DEGRADATION_STATES[seen.pop()]

    def switched(self) -> None:
        """Both thresholds are off: healthy at once."""
        if not self.on:
            self.stepped |= HEALTHY not in self.possible
            self.perhaps |= self.possible != {HEALTHY}
            self.possible = {HEALTHY}
