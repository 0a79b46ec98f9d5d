# SPDX-License-Identifier: GPL-3.0-or-later
"""Who waits for a slab of a pool: tickets, served first come first served.

A binding takes a grant when it likes: at once, or as the program collects it. What tells the two apart is undetermined
while there is such a grant.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from model_states import Undetermined

if TYPE_CHECKING:
    from model_pool import Pool, Slab

# Options whose change means something else to those who wait, or to what was granted to them.
TOUCHY = frozenset(
    {"heap_fallback", "secure", "circuit_breaker_threshold", "degrade_at", "survive_at"}
)


class Ticket:
    """One wait. It is over when the program collects its slab, is told of the end, or cancels it."""

    __slots__ = ("pool", "slab")

    def __init__(self, pool: Pool, slab: Slab | None) -> None:
        self.pool = pool
        self.slab = slab


class Queue:
    """The tickets of one pool that are not over."""

    def __init__(self) -> None:
        self.tickets: set[Ticket] = set()
        self.waiting: deque[Ticket] = deque()
        self.ended = False

    @property
    def granted(self) -> bool:
        """Whether there is a slab that was granted and not collected."""
        return any(ticket.slab is not None for ticket in self.tickets)

    def begin(self, pool: Pool, slab: Slab | None) -> Ticket:
        ticket = Ticket(pool, slab)
        self.tickets.add(ticket)
        if slab is None:
            self.waiting.append(ticket)
        return ticket

    def end(self, ticket: Ticket) -> None:
        self.tickets.remove(ticket)
        if ticket in self.waiting:
            self.waiting.remove(ticket)

    def close(self) -> None:
        """The end of the pool ends the waits. In Go a wait is a call, which fails and is counted; a ticket is not."""
        self.ended = self.ended or bool(self.waiting)
        self.waiting.clear()

    def must_be_counted(self, what: str) -> None:
        if self.ended:
            raise Undetermined(f"{what} after a close that ended a wait")

    def changes(self, option: str) -> None:
        """Before an option is set."""
        if self.tickets and option in TOUCHY:
            raise Undetermined(f"{option} while there is a wait")

    def must_be_empty(self, what: str) -> None:
        if self.tickets:
            raise Undetermined(f"{what} while there is a wait")

    def must_be_collected(self, what: str) -> None:
        if self.granted:
            raise Undetermined(f"{what} while a grant was not collected")
