# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for slabs in an event loop: tickets are granted first come first served."""

from __future__ import annotations

import os
import warnings

from slabby._closing import Closing
from slabby._errors import ClosedError, InvalidArgumentError, NoSystemMemoryError
from slabby._option_values import INT64_MAXIMUM, duration_text, nanoseconds, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, SupportsIndex
    from collections.abc import Iterator
    from datetime import timedelta

    from slabby._types import Pool, SlabRef, Tickets


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


def open_tickets(pool: Pool) -> Tickets:
    """A listener of the pool. NoSystemMemoryError comes from an OSError if the system refuses a descriptor."""
    try:
        return pool._listen()
    except NoSystemMemoryError as error:
        if error.value:
            raise error from OSError(error.value, os.strerror(error.value))
        raise


class Listener(Closing):
    """Holds tickets. `fd` becomes readable when some were granted; it belongs to the listener."""

    def __init__(self, allocator: Pool, timeout: float | timedelta | None = None) -> None:
        limit = _limit(timeout)
        self._allocator = allocator
        self.revoked: list[int] = []
        """Tickets that are over without a slab: theirs was not taken within `timeout`. For the caller to clear."""
        self._tickets = open_tickets(allocator)
        self.fd: int = self._tickets.fd
        """The descriptor that becomes readable."""
        if limit:
            self._tickets.set_timeout(limit)

    def begin(self, user_data: int = 0) -> int:
        """Joins the queue; returns the ticket. `user_data` is a 64-bit value of your own, which
        take_grants() hands back with it."""
        return self._open().begin(whole("user_data", user_data))

    def wait(self, timeout: float | timedelta | None = None) -> bool:
        """Sleeps until a ticket was granted or the pool is closed: true. After so many seconds: false. ClosedError:
        another thread closed the listener meanwhile."""
        limit = INT64_MAXIMUM if timeout is None else nanoseconds("timeout", timeout, forever=True)
        ready = self._open().wait(limit)
        self._open()
        return ready

    def take(self, limit: int = 64) -> dict[int, SlabRef]:
        """The tickets granted so far with their slabs, possibly none."""
        return {ticket: slab for ticket, slab, _ in self._take(limit)}

    def take_grants(self, limit: int = 64) -> list[Grant]:
        """The same with the user_data of each begin(), oldest first."""
        return [Grant(*granted) for granted in self._take(limit)]

    def take_refs(self, limit: int = 64) -> list[tuple[int, int]]:
        """The same as 64-bit references, which the caller must release. A signal whose handler raises may lose them
        on the way to the caller; take() loses none."""
        return [(ticket, slab.detach()) for ticket, slab, _ in self._take(limit)]

    def _take(self, limit: int) -> list[tuple[int, SlabRef, int]]:
        taken = self._open().take(whole("limit", limit))
        self.revoked += [ticket for ticket, slab, _ in taken if slab is None]
        return [(ticket, slab, given) for ticket, slab, given in taken if slab is not None]

    def cancel(self, ticket: int) -> SlabRef | None:
        """Leaves the queue; returns the slab that had been granted meanwhile, if any."""
        tickets, number = self._open(), whole("ticket", ticket)
        try:
            return tickets.cancel(number)
        except InvalidArgumentError:
            raise InvalidArgumentError(
                f"ticket is {number}, which this Listener never issued; pass one that begin() returned"
            ) from None

    def cancel_ref(self, ticket: int) -> int:
        """The same as a 64-bit reference, or 0; see take_refs()."""
        slab = self.cancel(ticket)
        return 0 if slab is None else slab.detach()

    def _expire(self, ticket: int) -> SlabRef:
        """Ends a wait whose time is over: the slab that came meanwhile. Without one the core counts the wait, and says
        how it ended: TimeoutError or ClosedError."""
        return self._open().overdue(ticket)

    def __repr__(self) -> str:
        state = "closed" if self._tickets.closed else f"descriptor {self.fd}"
        return f"<Listener of {self._allocator!r}: {state}>"

    def close(self) -> None:
        """Cancels the waiting tickets, and gives back slabs that were granted and not taken. May be called again. A
        thread in wait() leaves it within a tenth of a second; close() waits for that."""
        self._tickets.close()

    def __del__(self) -> None:
        # Without tickets if __init__ did not get so far.
        if hasattr(self, "_tickets") and not self._tickets.closed:
            # First, because a filter may make an error of the warning.
            self.close()
            warnings.warn("a Listener was dropped without close()", ResourceWarning, stacklevel=2)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("cannot copy or pickle a Listener: its descriptor has one owner")

    def _open(self) -> Tickets:
        if self._tickets.closed:
            raise ClosedError("this Listener was closed; make another by pool.listener()")
        return self._tickets
