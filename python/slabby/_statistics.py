# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of a block of code that uses a pool: slabby.statistics()."""

from __future__ import annotations

import os
import threading
import weakref

from slabby._option_values import check_pool
from slabby._records import Stats
from slabby._status import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from slabby._allocator import Allocator

# Recursive, because the collector or a signal handler may end a block while the same thread reads another.
_lock = threading.RLock()
# The open blocks of each Allocator, which reads the pool's use at each allocation while it has one. A block that was
# entered and dropped is open no longer, and does not keep its pool.
_blocks: weakref.WeakKeyDictionary[Allocator, weakref.WeakSet[BlockStatistics]] = (
    weakref.WeakKeyDictionary()
)


def _after_fork() -> None:
    """The child has a lock that no thread of the parent holds."""
    global _lock
    _lock = threading.RLock()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _spread_peak(pool: Allocator) -> None:
    """Passes the highest use since the last call to each open block. The lock is held."""
    blocks = tuple(_blocks.get(pool, ()))
    peak = pool._take_peak(bool(blocks))
    for block in blocks:
        block._peak = max(block._peak, peak)


class BlockStatistics:
    """The changes of a pool from the beginning of a `with` block to its end, or until now.

    Counters are those of the whole pool: other threads and other languages count, too. The peak is read at each
    allocation through this Allocator, which costs about a microsecond while a block is open.
    """

    def __init__(self, pool: Allocator) -> None:
        check_pool(pool)
        self._pool = pool
        self._first = self._last = pool.stats()
        self._peak = self._first.used_slabs
        self._is_open = False

    def __enter__(self) -> Self:
        if self._is_open:
            raise RuntimeError("this block is open; call slabby.statistics() again for another")
        with _lock:
            _spread_peak(self._pool)
            self._first = self._pool.stats()
            self._peak = self._first.used_slabs
            self._is_open = True
            _blocks.setdefault(self._pool, weakref.WeakSet()).add(self)
            _spread_peak(self._pool)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _lock:
            if not self._is_open:
                raise RuntimeError("this block is not open; enter it by `with` first")
            self._refresh()
            self._is_open = False
            _blocks[self._pool].discard(self)
            _spread_peak(self._pool)

    def _refresh(self) -> None:
        _spread_peak(self._pool)
        self._last = self._pool.stats()

    def _now(self) -> Stats:
        """The newest numbers: of this moment while the block is open, else of its end."""
        with _lock:
            if self._is_open:
                self._refresh()
        return self._last

    def _growth(self, name: str) -> int:
        """How much a number of the pool's statistics has changed since the beginning of the block."""
        now, first = getattr(self._now(), name), getattr(self._first, name)
        return int(now - first)

    @property
    def allocations(self) -> int:
        """How many slabs were allocated."""
        return self._growth("total_allocations")

    @property
    def releases(self) -> int:
        """How many were released."""
        return self._growth("total_deallocations")

    @property
    def live(self) -> int:
        """How many more slabs are in use than at the beginning; negative if fewer."""
        return self._growth("used_slabs")

    @property
    def peak(self) -> int:
        """The most slabs in use at once, those from before the block included."""
        self._now()
        return self._peak

    @property
    def peak_bytes(self) -> int:
        """The same in bytes of slabs."""
        return self.peak * self._first.slab_size

    @property
    def allocated_bytes(self) -> int:
        """The bytes of all slabs that were allocated, released or not."""
        return self.allocations * self._first.slab_size

    @property
    def failures(self) -> int:
        """How many allocations were refused."""
        return self._growth("allocation_errors")

    @property
    def leaks(self) -> int:
        """How many slabs were dropped without a release."""
        return self._growth("leaks")

    @property
    def errors(self) -> dict[Status, int]:
        """The number of refused calls, by status."""
        first = self._first.errors
        found = {status: count - first[status] for status, count in self._now().errors.items()}
        return {status: count for status, count in found.items() if count}

    def _numbers(self) -> dict[str, int]:
        names = ("allocations", "releases", "live", "peak", "failures", "leaks")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        numbers = ", ".join(f"{value} {name}" for name, value in self._numbers().items())
        return f"<statistics of {self._pool.name or 'a pool'}: {numbers}>"

    def _repr_html_(self) -> str:
        from slabby._html import table

        rows = {name: f"{value:,}" for name, value in self._numbers().items()}
        return table(f"Statistics of {self._pool.name or 'a pool'}", rows)


def statistics(pool: Allocator) -> BlockStatistics:
    """Measures a block: `with slabby.statistics(pool) as s:`, then `s.allocations`, `s.peak`, `s.live`, ... Blocks may
    be nested, and one may be read while it is open."""
    return BlockStatistics(pool)
