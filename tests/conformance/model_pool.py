# SPDX-License-Identifier: GPL-3.0-or-later
"""What one pool does, in plain Python: written from the design and the header, not from the core.

Order of refusals, where several apply (slabby.h lists the statuses of each function in this order): a bad batch size,
then Closed, then CircuitBreakerOpen, then OutOfMemory or Timeout; of a reference: forged or foreign, then stale, then
Pinned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from enums import OPTIONS, words
from model_states import BREAKER_STATES, HALF_OPEN, METRICS_ONLY, NORMAL, OPEN
from model_states import Breaker as Breaker
from model_states import Degradation
from model_states import Undetermined as Undetermined
from model_waits import Queue, Ticket

ALLOCATION_ERRORS = (
    "OutOfMemory",
    "CircuitBreakerOpen",
    "Timeout",
    "LatencyExceeded",
    "Closed",
    "Busy",
)


class Slab:
    """One allocation of one slab, from its allocation on for ever."""

    __slots__ = (
        "content",
        "damage",
        "fast",
        "freed_at",
        "heap",
        "label",
        "number",
        "pins",
        "pool",
        "stack",
        "state",
    )

    def __init__(self, pool: Pool, fast: bool, heap: bool) -> None:
        self.pool = pool
        self.fast = fast
        self.heap = heap
        self.state = "live"
        self.pins = 0
        self.label = 0
        self.content: bytes | None = bytes(pool.size) if pool.secure else None
        self.damage: dict[int, int] = {}
        self.number: int | None = None
        self.stack = pool.debug
        self.freed_at = -1


class Pool:
    """A pool and its counters."""

    def __init__(self, size: int, capacity: int, values: dict[str, int], name: str) -> None:
        self.size = size
        self.capacity = capacity
        self.values = values
        self.name = name
        self.owners = 1
        self.exists = True
        self.closed = False
        self.slabs: dict[int, Slab] = {}
        self.used = 0
        self.heap_live = 0
        self.quarantined = 0
        self.corruptions = 0
        self.unacknowledged = False
        self.allocations = self.deallocations = 0
        self.fast_allocations = self.fast_deallocations = 0
        self.heap_fallbacks = 0
        self.errors: Counter[str] = Counter()
        self.records: Counter[str] = Counter()
        self.codes = {"opened"}
        self.numbers = 0
        self.debug_ever = self.debug
        self.breaker = Breaker(values, self.codes)
        self.degradation = Degradation(values)
        self.heap_limit = (
            capacity if values["heap_fallback_limit"] < 0 else values["heap_fallback_limit"]
        )
        self.reserved = capacity if values["max_capacity"] < 0 else values["max_capacity"]
        # A resize that waits for slabs to come back.
        self.resizing = False
        self.queue = Queue()

    # ------------------------------------------------------------------------------------------ options

    @property
    def secure(self) -> bool:
        return self.values["secure"] != 0

    @property
    def debug(self) -> bool:
        return self.values["debug"] != 0

    @property
    def numbered(self) -> bool:
        """Whether which slab comes next is determined."""
        values = self.values
        return (
            values["per_cpu_cache"] == 0
            and values["shards"] == 1
            and values["shuffle"] == 0
            and values["guard_sample_rate"] == 0
            and values["reuse_delay"] == 0
        )

    def set_option(self, name: str, value: int) -> str:
        info = OPTIONS.get(name)
        if info is None:
            return self.reported("option_change", "InvalidOption")
        if not info.get("hot", False):
            return self.reported("option_change", "ColdOption")
        low, high = limits(info)
        if not low <= value <= high:
            return self.reported("option_change", "InvalidOption")
        if name == "max_alloc_latency":
            raise Undetermined(f"{name} while running")
        self.queue.changes(name)
        if name in ("degrade_at", "survive_at") and self._contradicts(name, value):
            return self.reported("option_change", "OptionConflict")
        self.values[name] = value
        self.debug_ever |= self.debug
        if name == "circuit_breaker_threshold":
            self.breaker.changed()
        if name in ("degrade_at", "survive_at"):
            self.degradation.switched()
            self.degradation.ticked(*self._use())
        self.codes.add("option_changed")
        return self.reported("option_change", "OK")

    def _contradicts(self, name: str, value: int) -> bool:
        values = self.values | {name: value}
        return 0 < values["survive_at"] <= values["degrade_at"]

    def _use(self) -> tuple[int, int, int]:
        return self.used, self.capacity, self.heap_live

    # ------------------------------------------------------------------------------------------ records

    def reported(self, operation: str, status: str) -> str:
        """Records a call and, where it was refused, counts it."""
        self.records[f"{operation} {status}"] += 1
        if status != "OK":
            self.errors[status] += 1
        return status

    # --------------------------------------------------------------------------------------- allocate

    def free(self) -> int:
        return max(0, self.capacity - self.used - self.quarantined)

    def awaited(self) -> int:
        """Slabs of a smaller capacity that are to come back."""
        return 0 if self.closed else max(0, self.used + self.quarantined - self.capacity)

    def resize(self, capacity: int) -> str:
        if capacity == 0:
            return self.reported("resize", "InvalidCapacity")
        if capacity > self.reserved:
            return self.reported("resize", "CapacityExceeded")
        if self.closed:
            return self.reported("resize", "Closed")
        self.capacity = capacity
        self.codes.add("resizing")
        self.resizing = True
        self._changed()
        self._serve()
        return self.reported("resize", "OK")

    def check_resize(self) -> None:
        """Before slabs come back."""
        if self.resizing and self.closed:
            raise Undetermined("a resize that was under way when the pool was closed")

    def _changed(self) -> None:
        """Slabs went out or came back, or the capacity changed."""
        self.degradation.moved(*self._use())
        if self.resizing and self.awaited() == 0:
            self.codes.add("resized")
            self.resizing = False

    def tick(self) -> None:
        self.degradation.ticked(*self._use())

    def heap_space(self) -> int:
        return max(0, self.heap_limit - self.heap_live) if self.values["heap_fallback"] else 0

    def allocate(self, operation: str, count: int = 1, timeout: bool = False) -> list[Slab] | str:
        """The new slabs, or the status of the refusal."""
        fast = operation == "allocate_fast"
        limit = self.capacity + (self.heap_limit if self.values["heap_fallback"] else 0)
        if not 1 <= count <= limit:
            return self.reported(operation, "InvalidBatchSize")
        if self.closed:
            return self.reported(operation, "Closed")
        if self.breaker.refuses():
            return self.reported(operation, "CircuitBreakerOpen")
        self.breaker.admits(count)
        if count > self.free() + self.heap_space():
            self.codes.add("exhausted")
            self.degradation.moved(*self._use())
            if timeout:
                return self.reported(operation, "Timeout")
            self.breaker.failed()
            return self.reported(operation, "OutOfMemory")
        return [self._one(operation, fast) for _ in range(count)]

    def _one(self, operation: str, fast: bool) -> Slab:
        heap = self.free() == 0
        slab = Slab(self, fast, heap)
        self.slabs[id(slab)] = slab
        if heap:
            self.heap_live += 1
            self.heap_fallbacks += 1
            self.codes.add("heap_fallback")
        else:
            self.used += 1
        self.allocations += 1
        self.fast_allocations += fast
        self.breaker.succeeded(1)
        self.records[f"{operation} OK"] += 1
        self._changed()
        return slab

    # ------------------------------------------------------------------------------------------ waiting

    def wait(self) -> Ticket | str:
        """A place in the queue, with a slab where one is free; or the status of the refusal."""
        if self.closed:
            return self.reported("allocate", "Closed")
        if self.breaker.refuses():
            return self.reported("allocate", "CircuitBreakerOpen")
        if self.breaker.threshold or self.breaker.open:
            raise Undetermined("when a grant counts as a success for the breaker")
        if self.free() + self.heap_space() > 0:
            return self.queue.begin(self, self._one("allocate", False))
        if self.values["heap_fallback"] or self.degradation.on:
            raise Undetermined("who waits for the heap, and what a queue does to the degradation")
        self.codes.add("exhausted")
        return self.queue.begin(self, None)

    def _serve(self) -> None:
        """Slabs that came back go to those who wait, the first of them first."""
        while self.queue.waiting and self.free() > 0 and not self.closed:
            self.queue.waiting.popleft().slab = self._one("allocate", False)

    def collect(self, ticket: Ticket) -> Slab | str | None:
        """Its slab; "Closed" where it will get none; None while it waits."""
        if ticket.slab is None and not self.closed:
            return None
        self.queue.end(ticket)
        return ticket.slab or "Closed"

    def cancel(self, ticket: Ticket) -> bool:
        """Whether a slab had been granted, which goes back."""
        if ticket.slab is not None:
            self.give_back(ticket.slab)
        self.queue.end(ticket)
        return ticket.slab is not None

    # ----------------------------------------------------------------------------------------- release

    def give_back(self, slab: Slab) -> str:
        """The end of a slab; the status of the call that brought it about."""
        self.check_resize()
        status = "MemoryCorruption" if slab.damage else "OK"
        slab.state = "gone"
        slab.freed_at = self.allocations
        del self.slabs[id(slab)]
        if slab.heap:
            self.heap_live -= 1
        else:
            self.used -= 1
        self.deallocations += 1
        self.fast_deallocations += slab.fast
        if slab.damage:
            self.corruptions += 1
            self.unacknowledged = True
            self.codes.add("corruption")
            if not slab.heap and self.values["corruption_policy"] == 0:
                self.quarantined += 1
        self._changed()
        operation = "deallocate_fast" if slab.fast else "release"
        self.records[f"{operation} {status}"] += 1
        self._serve()
        return status

    def _count(self, status: str) -> str:
        if status != "OK":
            self.errors[status] += 1
        return status

    def release(self, slab: Slab | str) -> str:
        if isinstance(slab, str):
            return self.reported("release", slab)
        if slab.pins:
            return self.reported("release", "Pinned")
        return self._count(self.give_back(slab))

    def release_deferred(self, slab: Slab | str) -> str:
        if isinstance(slab, str):
            return self.reported("release_deferred", slab)
        if slab.pins:
            slab.state = "dying"
            return self.reported("release_deferred", "OK")
        return self._count(self.give_back(slab))

    def deallocate_fast(self, slab: Slab) -> str:
        if slab.state == "live":
            return self._count(self.give_back(slab))
        if slab.freed_at != self.allocations:
            raise Undetermined("a fast id that may have been handed out again")
        return self.reported("deallocate_fast", "DoubleDeallocation")

    def reset(self) -> str:
        self.queue.must_be_collected("a reset")
        out = list(self.slabs.values())
        if any(slab.pins for slab in out):
            return self.reported("reset", "Pinned")
        for slab in out:
            self.give_back(slab)
        return self.reported("reset", "OK")

    # -------------------------------------------------------------------------------------------- pins

    def pin(self, slab: Slab | str) -> str:
        if isinstance(slab, str):
            return self.reported("pin", slab)
        slab.pins += 1
        return self.reported("pin", "OK")

    def unpin(self, slab: Slab | str) -> str:
        if isinstance(slab, str):
            return self.reported("unpin", slab)
        if slab.pins == 0:
            return self.reported("unpin", "InvalidArgument")
        if slab.pins == 1 and slab.state == "dying":
            self.check_resize()
        slab.pins -= 1
        if slab.pins or slab.state != "dying":
            return self.reported("unpin", "OK")
        return self.reported("unpin", self.give_back(slab))

    # --------------------------------------------------------------------------------- the pool as a whole

    def reclaim(self) -> int:
        self.check_resize()
        count, self.quarantined = self.quarantined, 0
        self.unacknowledged = False
        self._changed()
        self._serve()
        self.reported("reclaim", "OK")
        return count

    def close(self) -> str:
        if not self.closed:
            self.codes.add("closed")
        self.closed = True
        self.queue.close()
        return self.reported("close", "OK")

    def destroy(self) -> str:
        self.queue.must_be_empty("a destroy")
        if self.owners == 1 and self.slabs:
            return "InUse"
        self.owners -= 1
        self.exists = self.owners > 0
        return "OK"

    def force_breaker(self, mode: int) -> str:
        if not NORMAL <= mode <= METRICS_ONLY:
            return self.reported("breaker_force", "InvalidArgument")
        self.queue.must_be_empty("forcing the breaker")
        self.breaker.force(mode)
        return self.reported("breaker_force", "OK")

    # ----------------------------------------------------------------------------------------- numbers

    def allocation_errors(self) -> int:
        return sum(self.errors[name] for name in ALLOCATION_ERRORS)

    def state(self) -> str:
        if not self.closed:
            return "open"
        return "closed" if self.slabs else "drained"

    def stats(self) -> Iterator[tuple[str, object]]:
        self.queue.must_be_counted("errors")
        yield "total_slabs", self.capacity
        yield "slab_size", self.size
        yield "used_slabs", self.used
        yield "available_slabs", self.free()
        yield "total_allocations", self.allocations
        yield "total_deallocations", self.deallocations
        yield "fast_allocations", self.fast_allocations
        yield "fast_deallocations", self.fast_deallocations
        yield "ref_pool_hits", self.allocations - self.fast_allocations
        yield "utilization_ppm", ppm(self.used / self.capacity)
        yield "allocation_errors", self.allocation_errors()
        yield "guard_page_violations", 0
        yield "heap_fallbacks", self.heap_fallbacks
        yield "tier_hits", self.allocations
        yield "corruptions", self.corruptions
        yield "quarantined_slabs", self.quarantined
        yield "retired_slabs", 0
        yield "heap_slabs", self.heap_live
        yield "heap_bytes", self.heap_live * self.size
        yield "waiters", len(self.queue.waiting)
        yield "breaker_state", BREAKER_STATES[self.breaker.state()]
        yield "degradation_state", self.degradation.shown(*self._use())
        yield "pool_state", self.state()
        yield "awaited_slabs", self.awaited()
        yield "reserved_slabs", self.reserved
        yield "errors", {name: self.errors[name] for name in sorted(self.errors) if name != "InUse"}

    def health(self) -> Iterator[tuple[str, object]]:
        self.queue.must_be_counted("errors")
        failures = self.allocation_errors()
        attempts = self.allocations + failures
        error_rate = failures / attempts if attempts else 0.0
        use = self.used / self.capacity
        score = 1.0 if use <= 0.8 else 1.0 - min(1.0, (use - 0.8) / 0.2) * 0.8
        score *= 1.0 - error_rate
        score *= {OPEN: 0.0, HALF_OPEN: 0.5}.get(self.breaker.state(), 1.0)
        score *= 0.25 if self.unacknowledged else 1.0
        score *= 0.0 if self.closed else 1.0
        yield "score_ppm", ppm(score)
        yield "error_rate_ppm", ppm(error_rate)
        yield "breaker_open", int(self.breaker.refuses())


def ppm(ratio: float) -> int:
    return int(ratio * 1e6 + 0.5)


def limits(info: dict[str, object]) -> tuple[int, int]:
    """The range of an option's number."""
    if info["kind"] == "flag":
        return 0, 1
    if info["kind"] == "enum":
        return 0, max(words(str(info["enum"])))
    return int(str(info.get("minimum", 0))), int(str(info["maximum"]))
