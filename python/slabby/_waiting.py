# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue in which the tasks of one event loop wait for the slabs of one pool.

References between the objects, so that no object of a dead loop keeps a slab:

    loop ──reader──▶ LoopWaits ──▶ Listener          pool ──weak──▶ WaitQueue ◀── coroutines that wait
                     ▲ │  └──weak──▶ WaitQueue                       │  │  └──▶ loop, futures
                     │ └──────▶ Tickets ◀────────────────────────────┘  │
                     └────────────────────weak──────────────────────────┘

The loop's reader is the only strong reference to LoopWaits. A closed loop drops its readers at once, and a forgotten
loop drops them when it is collected. Then LoopWaits ends, and its listener and all granted slabs go back. Tickets, in
C, is the hot half. It refers to the listener without holding it, until LoopWaits closes Tickets, before it closes the
listener. No reference leads from Tickets to a future or to a loop.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
import weakref

from slabby import _types
from slabby._base_error import SlabbyError
from slabby._errors import ClosedError, NoSystemMemoryError
from slabby._option_values import NANOSECONDS
from slabby._readable import readable, running_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from slabby._allocator import Allocator
    from slabby._listener import Listener
    from slabby._types import SlabRef

    # The queue, a ticket of it, the future that is done when the ticket has brought an answer, and the queue's
    # dictionaries: futures and references by ticket.
    _Joined = tuple[
        "WaitQueue", int, asyncio.Future[None], dict[int, asyncio.Future[None]], dict[int, int]
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
    if (waits := queue.waits()) is None or waits.listener is None:
        raise RuntimeError("Event loop is closed")
    granted: asyncio.Future[None] = loop.create_future()
    try:
        ticket = queue.tickets.join()
    except BaseException:
        queue.close_if_empty()
        raise
    # Slabs that were granted in the meantime make the descriptor readable.
    queue.waiting[ticket] = granted
    return queue, ticket, granted, queue.waiting, queue.tickets.brought


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
    queue, ticket, granted, _, brought = joined
    expiry = None
    try:
        if timeout_ns is not None:
            expiry = loop.call_later(timeout_ns / NANOSECONDS, queue.expire, ticket)
        await granted
        ref = brought.pop(ticket, None)
        if ref is None:
            # The loop was closed in between, and the slab went back.
            raise RuntimeError("Event loop is closed")
        return pool._own(ref)
    except BaseException:
        queue.leave(ticket)
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
    return pool._core.slabby_allocate_timeout(pool, 1)


def _closing(
    waits_of: weakref.ref[LoopWaits], loop_of: weakref.ref[asyncio.AbstractEventLoop]
) -> Callable[[object], None]:
    """The callback for the case that the last waiting coroutine is collected in a cycle together with the queue,
    which then has no reference to LoopWaits any more."""

    def close(_: object) -> None:
        waits, loop = waits_of(), loop_of()
        if waits is None or waits.listener is None:
            return
        if loop is not None and not loop.is_closed():
            loop.remove_reader(waits.listener.fd)
        waits.close()

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
    """The object that the reader of a loop holds: the listener, and its tickets with the slabs that they brought."""

    def __init__(self, pool: Allocator, queue: WaitQueue) -> None:
        self._pool = pool
        self._queue = weakref.ref(queue, _closing(weakref.ref(self), weakref.ref(queue.loop)))
        listener = pool.listener()
        self.tickets = pool._tickets(pool._backend.pointer(listener._listener))
        # By ticket: references, not SlabRefs, because a slab that no task has seen is no leak when it goes back.
        self.brought = self.tickets.brought
        self.listener: Listener | None = listener

    def __call__(self) -> None:
        """The descriptor is readable."""
        if (queue := self._queue()) is not None:
            queue._collect(self)

    def close(self) -> None:
        listener, self.listener = self.listener, None
        self.tickets.close()
        while self.brought:
            self.give_back(self.brought.popitem()[1])
        if listener is not None:
            listener.close()

    def give_back(self, ref: int) -> None:
        self._pool._core.slabby_release(self._pool, ref)

    def __del__(self) -> None:
        # Empty if __init__ did not finish.
        if getattr(self, "listener", None) is not None:
            self.close()


class WaitQueue:
    """One listener for all tasks of a loop, from the first that waits to the last. Used in the loop's thread, except
    by coroutines that are closed elsewhere."""

    def __init__(self, pool: Allocator, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._pool = pool
        self.waiting: dict[int, asyncio.Future[None]] = {}
        waits = LoopWaits(pool, self)
        assert waits.listener is not None
        self.tickets = waits.tickets
        # The data that Acquisition needs to begin a wait.
        self.joining = (loop, waits.tickets, self.waiting, _future_maker(loop))
        self._fd = waits.listener.fd
        pool._crowded = True
        self.waits = weakref.ref(waits)
        loop.add_reader(self._fd, waits)

    def close_if_empty(self) -> None:
        """Ends the queue if no coroutine waits, and none has a slab to pick up."""
        if self.waiting:
            return
        waits = self.waits()
        if waits is not None and waits.brought:
            return
        self._pool._crowded = False
        spaces = self._pool._spaces
        if (known := spaces.get(self.loop)) is not None and known() is self:
            del spaces[self.loop]
        if (recent := self._pool._queue) is not None and recent() is self:
            self._pool._queue = None
        if waits is not None:
            if not self.loop.is_closed():
                self.loop.remove_reader(self._fd)
            waits.close()

    def _collect(self, waits: LoopWaits) -> None:
        """Passes granted slabs to their waits."""
        if waits.listener is None:
            return
        try:
            self.tickets.collect(self.waiting)
        except ClosedError:
            for ticket in list(self.waiting):
                self._give_up(waits, ticket)

    def expire(self, ticket: int) -> None:
        waits = self.waits()
        if waits is None or waits.listener is None or ticket not in self.waiting:
            return
        if (future := self.waiting[ticket]).done():
            return  # a cancelled task, which leaves the queue next
        try:
            ref = waits.listener._expire_ref(ticket)
        except SlabbyError as error:
            del self.waiting[ticket]
            future.set_exception(error)
        else:
            self.tickets.hand_over(self.waiting, ticket, ref)

    def leave(self, ticket: int) -> None:
        """The coroutine ends without its slab, perhaps after the slab had come and before the coroutine could see
        it."""
        waiting = self.waiting.pop(ticket, None) is not None
        if (waits := self.waits()) is None:
            return
        ref = waits.brought.pop(ticket, 0)
        if waiting and waits.listener is not None:
            ref = waits.listener.cancel_ref(ticket)
        if ref:
            waits.give_back(ref)

    def end(self, ticket: int) -> None:
        """The same, and the queue ends with its last wait."""
        self.leave(ticket)
        self.close_if_empty()

    def _give_up(self, waits: LoopWaits, ticket: int) -> None:
        """Ends a wait that the end of the pool ended, as in a thread: the core counts it."""
        future = self.waiting.pop(ticket)
        if future.done():
            return
        try:
            slab = self._pool._core.slabby_allocate_timeout(self._pool, 1)
        except SlabbyError as error:
            future.set_exception(error)
        else:
            waits.brought[ticket] = slab.ref
            slab._finish()
            future.set_result(None)
