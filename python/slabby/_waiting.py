# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue in which the tasks of one event loop wait for the slabs of one pool.

References between the objects, so that no object of a dead loop keeps a slab:

    loop ──reader──▶ LoopWaits                       pool ──weak──▶ WaitQueue ◀── coroutines that wait
                     ▲ │  └──weak──▶ WaitQueue                       │  │  └──▶ loop, futures
                     │ └──────▶ Tickets ◀────────────────────────────┘  │
                     └────────────────────weak──────────────────────────┘

The loop's reader is the only strong reference to LoopWaits. A closed loop drops its readers at once, and a forgotten
loop drops them when it is collected. Then LoopWaits ends and closes Tickets: the listener and all granted slabs go
back, though others still refer to Tickets. Tickets, in C, owns the listener and is the hot half. No reference leads
from Tickets to a future or to a loop.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
import weakref

from slabby import _types
from slabby._errors import ClosedError, NoSystemMemoryError
from slabby._listener import open_tickets
from slabby._option_values import NANOSECONDS
from slabby._readable import readable, running_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from slabby._allocator import Allocator
    from slabby._types import SlabRef, Tickets

    # The queue, a ticket of it, the future that is done when the ticket has brought an answer, the queue's
    # futures by ticket, and its tickets.
    _Joined = tuple[
        "WaitQueue", int, asyncio.Future[None], dict[int, asyncio.Future[None]], Tickets
    ]

_TRIO = "trio"
# The time between two attempts if the system refuses a descriptor.
POLL_SECONDS = 0.005

# From now on Acquisition joins an open queue by itself.
_types._set_running_loop(asyncio._get_running_loop)


def join_queue(pool: Allocator) -> _Joined | None:
    """A ticket in the pool's queue of the running loop, for a task that found no slab. None: wait_in_loop handles the
    case.

    Acquisition, in C, does the same by itself if the queue that the pool used last belongs to the loop; otherwise it
    calls this function, and continues as wait_in_loop does."""
    loop = asyncio._get_running_loop()
    if loop is None or (_TRIO in sys.modules and running_loop() == _TRIO):
        return None
    recent = pool._queue
    queue = None if recent is None else recent()
    if (queue is None or queue.loop is not loop) and (queue := _queue_of(pool, loop)) is None:
        return None
    if queue.tickets.closed:
        raise RuntimeError("Event loop is closed")
    granted: asyncio.Future[None] = loop.create_future()
    try:
        ticket = queue.tickets.begin(0)
    except BaseException:
        queue.close_if_empty()
        raise
    # Slabs that were granted in the meantime make the descriptor readable.
    queue.waiting[ticket] = granted
    return queue, ticket, granted, queue.waiting, queue.tickets


async def wait_in_loop(pool: Allocator, timeout_ns: int | None) -> SlabRef:
    """Waits for a slab in its turn, for a caller that found none; without a timeout, for ever. A cancelled task
    leaves the queue, and so does a coroutine that is closed or forgotten; a slab that was granted to it goes back.

    The frame must not hold a reference to LoopWaits, which ends with the loop.
    """
    if _TRIO in sys.modules and running_loop() == _TRIO:
        return await _wait_for_ticket(pool, timeout_ns)
    loop = asyncio.get_running_loop()
    if (joined := join_queue(pool)) is None:
        return await _poll(pool, loop, timeout_ns)
    queue, ticket, granted, waiting, tickets = joined
    expiry = None
    try:
        if timeout_ns is not None:
            expiry = loop.call_later(timeout_ns / NANOSECONDS, tickets.expire, waiting, ticket)
        await granted
        return tickets.pick_up(ticket)
    except BaseException:
        tickets.leave(waiting, ticket)
        raise
    finally:
        if expiry is not None:
            expiry.cancel()
        queue.close_if_empty()


def _queue_of(pool: Allocator, loop: asyncio.AbstractEventLoop) -> WaitQueue | None:
    """The queue of a loop, from the first task that waits to the last; None if the system refuses a descriptor."""
    spaces = pool._spaces
    known = spaces.get(loop)
    if (queue := None if known is None else known()) is None:
        try:
            queue = WaitQueue(pool, loop)
        except NoSystemMemoryError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            return None
        spaces[loop] = weakref.ref(queue)
    pool._queue = spaces[loop]
    return queue


async def _wait_for_ticket(pool: Allocator, timeout_ns: int | None) -> SlabRef:
    """In a loop other than asyncio's each wait has a listener of its own."""
    end = None if timeout_ns is None else time.monotonic() + timeout_ns / NANOSECONDS
    with pool.listener() as listener:
        ticket = listener.begin()
        try:
            while end is None or time.monotonic() < end:
                left = None if end is None else max(0.0, end - time.monotonic())
                await readable(listener.fd, left)
                if granted := listener.take(1):
                    return granted[ticket]
        except ClosedError:
            pass
        # A wait that gets no slab is counted at its end, like one in a thread.
        return listener._expire(ticket)


async def _poll(
    pool: Allocator, loop: asyncio.AbstractEventLoop, timeout_ns: int | None
) -> SlabRef:
    """Waits without a descriptor: the tasks try for a slab from time to time, and tickets have priority over them."""
    end = None if timeout_ns is None else loop.time() + timeout_ns / NANOSECONDS
    while end is None or loop.time() < end:
        await asyncio.sleep(
            POLL_SECONDS if end is None else min(POLL_SECONDS, max(0.0, end - loop.time()))
        )
        if (slab := pool._try_now()) is not None:
            return slab
    # Counts the Timeout.
    return pool._wait_inside(1)


def _closing(
    waits_of: weakref.ref[LoopWaits], loop_of: weakref.ref[asyncio.AbstractEventLoop]
) -> Callable[[object], None]:
    """The callback for the case that the last waiting coroutine is collected in a cycle together with the queue,
    which then has no reference to LoopWaits any more."""

    def close(_: object) -> None:
        waits, loop = waits_of(), loop_of()
        if waits is None or waits.tickets.closed:
            return
        if loop is not None and not loop.is_closed():
            loop.remove_reader(waits.tickets.fd)
        waits.tickets.close()

    return close


def _future_maker(loop: asyncio.AbstractEventLoop) -> Callable[[], asyncio.Future[None]]:
    """What loop.create_future() does, without its frame if the loop has asyncio's own."""
    create = loop.create_future
    usual = getattr(create, "__func__", None) is asyncio.BaseEventLoop.create_future
    # A loop may pass another's on.
    if usual and getattr(create, "__self__", None) is loop:
        return functools.partial(asyncio.Future, loop=loop)
    return create


class LoopWaits:
    """The object that the reader of a loop holds: the tickets with the slabs that they brought, which end with it."""

    def __init__(self, pool: Allocator, queue: WaitQueue) -> None:
        self._queue = weakref.ref(queue, _closing(weakref.ref(self), weakref.ref(queue.loop)))
        # A slab that no task has seen is a reference there, no SlabRef, because it is no leak when it goes back.
        self.tickets = open_tickets(pool)

    def __call__(self) -> None:
        """The descriptor is readable."""
        if (queue := self._queue()) is not None:
            queue._collect()

    def __del__(self) -> None:
        # Empty if __init__ did not finish.
        if hasattr(self, "tickets"):
            self.tickets.close()


class WaitQueue:
    """One listener for all tasks of a loop, from the first that waits to the last. Used in the loop's thread, except
    by coroutines that are closed elsewhere."""

    def __init__(self, pool: Allocator, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._pool = pool
        self.waiting: dict[int, asyncio.Future[None]] = {}
        waits = LoopWaits(pool, self)
        self.tickets = waits.tickets
        # The data that Acquisition needs to begin a wait.
        self.joining = (loop, waits.tickets, self.waiting, _future_maker(loop))
        loop.add_reader(self.tickets.fd, waits)
        pool._crowded = True

    def close_if_empty(self) -> None:
        """Ends the queue if no coroutine waits, and none has a slab to pick up."""
        if self.waiting or self.tickets.brought:
            return
        self._pool._crowded = False
        spaces = self._pool._spaces
        if (known := spaces.get(self.loop)) is not None and known() is self:
            del spaces[self.loop]
        if (recent := self._pool._queue) is not None and recent() is self:
            self._pool._queue = None
        # After the loop's end the descriptor may be another's.
        if not self.tickets.closed and not self.loop.is_closed():
            self.loop.remove_reader(self.tickets.fd)
        self.tickets.close()

    def _collect(self) -> None:
        """Passes granted slabs to their waits."""
        try:
            self.tickets.collect(self.waiting)
        except ClosedError:
            for ticket in list(self.waiting):
                self.tickets.give_up(self.waiting, ticket)
