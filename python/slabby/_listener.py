# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for slabs in an event loop: tickets are granted first come first served."""

from __future__ import annotations

import os
import threading
import time
import warnings

from slabby._closing import Closing
from slabby._errors import ClosedError, InvalidArgumentError, NoSystemMemoryError, TimeoutError
from slabby._option_values import INT64_MAXIMUM, duration_text, nanoseconds, whole
from slabby._status import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from collections.abc import Iterator
    from datetime import timedelta

    from slabby._backend_protocol import Core
    from slabby._types import Pool, SlabRef


# A signal that Python handles ends a wait of the main thread after this time at the latest, and a resize() after which
# the pool is too small ends the wait of a batch.
SLICE_NS = 100_000_000


def _limit(timeout: float | timedelta | None) -> int:
    """How long a grant may wait, in nanoseconds; 0 for ever."""
    if timeout is None:
        return 0
    try:
        limit = nanoseconds("timeout", timeout, forever=True)
    except InvalidArgumentError:
        limit = 0
    if limit == 0:
        raise InvalidArgumentError(
            f"timeout is {duration_text(timeout)}; choose more than 0 s, or None for ever"
        )
    return 0 if limit == INT64_MAXIMUM else limit


class Grant:
    """A slab that a ticket brought."""

    __slots__ = ("ticket", "slab", "user_data")
    __match_args__ = ("ticket", "slab", "user_data")

    def __init__(self, ticket: int, slab: SlabRef, user_data: int) -> None:
        self.ticket: int = ticket
        self.slab: SlabRef = slab
        self.user_data: int = user_data
        """What Listener.begin() was given."""

    def __iter__(self) -> Iterator[Any]:
        return iter((self.ticket, self.slab, self.user_data))

    def __repr__(self) -> str:
        return f"Grant(ticket={self.ticket}, slab={self.slab!r}, user_data={self.user_data})"


class Listener(Closing):
    """Holds tickets. `fd` becomes readable when some were granted; it belongs to the listener."""

    def __init__(
        self, allocator: Pool, core: Core, timeout: float | timedelta | None = None
    ) -> None:
        self._listener: Any = None
        self._allocator = allocator
        self._core = core
        limit = _limit(timeout)
        self.fd: int
        """The descriptor that becomes readable."""
        self.revoked: list[int] = []
        """Tickets that are over without a slab: theirs was not taken within `timeout`. For the caller to clear."""
        try:
            self._listener, self.fd = core.slabby_listener_create(allocator)
        except NoSystemMemoryError as error:
            if error.value:
                raise error from OSError(error.value, os.strerror(error.value))
            raise
        if limit:
            core.slabby_listener_set_timeout(self._listener, limit)

    def begin(self, user_data: int = 0) -> int:
        """Joins the queue; returns the ticket. `user_data` is a 64-bit value of your own, which
        take_grants() hands back with it."""
        listener, given = self._open(), whole("user_data", user_data)
        try:
            return self._core.slabby_wait_begin(listener, given)
        except ClosedError:
            self._allocator._fail(Status.CLOSED, 0)  # which names the pool

    def wait(self, timeout: float | timedelta | None = None) -> bool:
        """Sleeps until a ticket was granted or the pool is closed: true. After so many seconds: false."""
        limit = INT64_MAXIMUM if timeout is None else nanoseconds("timeout", timeout, forever=True)
        # Python handles signals in the main thread alone; others wait in one piece, which is cheaper.
        in_main_thread = threading.current_thread() is threading.main_thread()
        piece = min(limit, SLICE_NS) if in_main_thread else limit
        end_ns = time.monotonic_ns() + limit
        while True:
            try:
                self._core.slabby_listener_wait(self._open(), piece)
                return True
            except TimeoutError:
                left_ns = end_ns - time.monotonic_ns()
                if left_ns <= 0:
                    return False
                piece = min(piece, left_ns)

    def take(self, limit: int = 64) -> dict[int, SlabRef]:
        """The tickets granted so far with their slabs, possibly none."""
        return {ticket: self._wrap(ref) for ticket, ref, _ in self._take(limit)}

    def take_grants(self, limit: int = 64) -> list[Grant]:
        """The same with the user_data of each begin(), oldest first."""
        return [Grant(ticket, self._wrap(ref), given) for ticket, ref, given in self._take(limit)]

    def take_refs(self, limit: int = 64) -> list[tuple[int, int]]:
        """The same as 64-bit references, which the caller must release."""
        return [(ticket, ref) for ticket, ref, _ in self._take(limit)]

    def _take(self, limit: int) -> list[tuple[int, int, int]]:
        listener, most = self._open(), whole("limit", limit)
        try:
            tickets, refs, user_data, _ = self._core.slabby_wait_take(listener, most)
        except ClosedError:
            self._allocator._fail(Status.CLOSED, 0)
        granted = list(zip(tickets, refs, user_data, strict=True))
        if 0 in refs:
            self.revoked += [ticket for ticket, ref, _ in granted if not ref]
            granted = [grant for grant in granted if grant[1]]
        return granted

    def cancel(self, ticket: int) -> SlabRef | None:
        """Leaves the queue; returns the slab that had been granted meanwhile, if any."""
        ref = self.cancel_ref(ticket)
        return self._wrap(ref) if ref else None

    def cancel_ref(self, ticket: int) -> int:
        """The same as a 64-bit reference, or 0."""
        listener, number = self._open(), whole("ticket", ticket)
        try:
            return self._core.slabby_wait_cancel(listener, number)
        except InvalidArgumentError:
            raise InvalidArgumentError(
                f"ticket is {number}, which this Listener never issued; pass one that begin() returned"
            ) from None

    def _expire_ref(self, ticket: int) -> int:
        """Ends a wait whose time is over: the reference that came meanwhile. Without one the core counts the wait, and
        says how it ended: TimeoutError or ClosedError."""
        try:
            return self._core.slabby_wait_expire(self._open(), ticket)
        except (TimeoutError, ClosedError) as error:
            self._allocator._fail(error.status, 0)  # which names the pool

    def _expire(self, ticket: int) -> SlabRef:
        return self._wrap(self._expire_ref(ticket))

    def __repr__(self) -> str:
        state = "closed" if self._listener is None else f"descriptor {self.fd}"
        return f"<Listener of {self._allocator!r}: {state}>"

    def close(self) -> None:
        """Cancels the waiting tickets, and gives back slabs that were granted and not taken. May be called again."""
        if self._listener is not None:
            self._core.slabby_listener_destroy(self._listener)
            self._listener = None

    def __del__(self) -> None:
        if self._listener is not None:
            # First, because a filter may make an error of the warning.
            self.close()
            warnings.warn("a Listener was dropped without close()", ResourceWarning, stacklevel=2)

    def _open(self) -> Any:
        if self._listener is None:
            raise ClosedError("this Listener was closed; make another by pool.listener()")
        return self._listener

    def _wrap(self, ref: int) -> SlabRef:
        return self._allocator._wrap(ref, self._core.slabby_data(self._allocator, ref), True)
