# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tasks of one event loop wait for the slabs of one pool.

Who holds whom, so that nothing of a dead loop keeps a slab:

    loop ──reader──▶ LoopWaits ──▶ Listener          pool ──weak──▶ WaitQueue ◀── frames of the coroutines that wait
                        ▲ └──weak──▶ WaitQueue                         │
                        └────────────────────weak──────────────────────┘

The loop's reader is the only strong reference to LoopWaits. A loop that is closed drops its readers at once, and one
that is forgotten drops them when it is collected: LoopWaits ends, and its listener and all that was granted go back.
"""

from __future__ import annotations

import asyncio
import time
import weakref

from slabby._base_error import SlabbyError
from slabby._errors import ClosedError, NoSystemMemoryError
from slabby._option_values import NANOSECONDS
from slabby._readable import readable, running_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from slabby._allocator import Allocator
    from slabby._listener import Listener
    from slabby._types import SlabRef

Spaces = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, "weakref.ref[WaitQueue]"]

# Tickets asked for in one crossing.
TICKETS = 64
# From look to look where the system refuses a descriptor.
POLL_SECONDS = 0.005


async def wait_in_loop(pool: Allocator, spaces: Spaces, timeout_ns: int | None) -> SlabRef:
    """A slab at once, or in its turn; without a timeout as long as it takes. `spaces` are the pool's."""
    if timeout_ns == 0:
        return pool._core.slabby_allocate_timeout(pool, 0)
    if (slab := pool._try_now()) is not None:
        return slab
    if running_loop() == "trio":
        return await _wait_for_ticket(pool, timeout_ns)
    loop = asyncio.get_running_loop()
    known = spaces.get(loop)
    if (queue := None if known is None else known()) is None:
        try:
            queue = WaitQueue(pool, loop)
        except NoSystemMemoryError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            return await _poll(pool, loop, timeout_ns)
        spaces[loop] = weakref.ref(queue)
    try:
        return await queue.wait(timeout_ns)
    finally:
        if queue.is_empty:
            if (known := spaces.get(loop)) is not None and known() is queue:
                del spaces[loop]
            queue.close()


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
        if (slab := listener.cancel(ticket)) is not None:
            return slab
    # A wait in vain is counted at its end, as one in a thread is.
    return pool._core.slabby_allocate_timeout(pool, 1)


async def _poll(
    pool: Allocator, loop: asyncio.AbstractEventLoop, timeout_ns: int | None
) -> SlabRef:
    """Waits without a descriptor: the tasks look for a slab now and then, and tickets go before them."""
    end = None if timeout_ns is None else loop.time() + timeout_ns / NANOSECONDS
    while end is None or loop.time() < end:
        await asyncio.sleep(
            POLL_SECONDS if end is None else min(POLL_SECONDS, max(0.0, end - loop.time()))
        )
        if (slab := pool._try_now()) is not None:
            return slab
    # Counts the Timeout.
    return pool._core.slabby_allocate_timeout(pool, 1)


class LoopWaits:
    """What the reader of a loop holds: the listener, and what it brought that no coroutine has picked up yet."""

    def __init__(self, pool: Allocator, queue: WaitQueue) -> None:
        self._pool = pool
        self._queue = weakref.ref(queue)
        self.listener: Listener | None = pool.listener()
        self.pointer = pool._backend.pointer(self.listener._listener)
        # By ticket: references, not SlabRefs, because one that nobody has seen is no leak when it goes.
        self.brought: dict[int, int] = {}

    def __call__(self) -> None:
        """The descriptor is readable."""
        if (queue := self._queue()) is not None:
            queue._collect(self)

    def close(self) -> None:
        listener, self.listener = self.listener, None
        while self.brought:
            self.give_back(self.brought.popitem()[1])
        if listener is not None:
            listener.close()

    def give_back(self, ref: int) -> None:
        self._pool._core.slabby_release(self._pool, ref)

    def __del__(self) -> None:
        # Empty where __init__ did not come to an end.
        if getattr(self, "listener", None) is not None:
            self.close()


class WaitQueue:
    """One listener for all tasks of a loop, from the first that waits to the last. Used in the loop's thread, but for
    coroutines that are closed elsewhere."""

    def __init__(self, pool: Allocator, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pool = pool
        self._waiting: dict[int, asyncio.Future[None]] = {}
        waits = LoopWaits(pool, self)
        assert waits.listener is not None
        self._fd = waits.listener.fd
        self._waits = weakref.ref(waits)
        loop.add_reader(self._fd, waits)

    @property
    def is_empty(self) -> bool:
        """Whether no coroutine waits, and none has something to pick up."""
        waits = self._waits()
        return not self._waiting and (waits is None or not waits.brought)

    async def wait(self, timeout_ns: int | None) -> SlabRef:
        """A slab in its turn. A task that is cancelled leaves the queue, and so does a coroutine that is closed or
        forgotten; what it was granted goes back."""
        granted: asyncio.Future[None] = self._loop.create_future()
        ticket = self._begin()
        self._waiting[ticket] = granted
        expiry = None
        try:
            # What was granted in the meantime makes the descriptor readable.
            if timeout_ns is not None:
                expiry = self._loop.call_later(timeout_ns / NANOSECONDS, self._expire, ticket)
            await granted
            return self._pick_up(ticket)
        except BaseException:
            self._leave(ticket)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    def close(self) -> None:
        if (waits := self._waits()) is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._fd)
            waits.close()

    def _begin(self) -> int:
        waits = self._waits()
        if waits is None or waits.listener is None:
            raise RuntimeError("Event loop is closed")
        return self._pool._join(waits.pointer)

    def _pick_up(self, ticket: int) -> SlabRef:
        waits = self._waits()
        ref = None if waits is None else waits.brought.pop(ticket, None)
        if ref is None:
            # The loop was closed in between, and the slab went back.
            raise RuntimeError("Event loop is closed")
        return self._pool._own(ref)

    def _collect(self, waits: LoopWaits) -> None:
        """Hands out what was granted."""
        if waits.listener is None:
            return
        try:
            more = True
            while more:
                granted = self._pool._granted(waits.pointer)
                for ticket, ref in granted:
                    self._hand_over(waits, ticket, ref)
                more = len(granted) == TICKETS
        except ClosedError:
            for ticket in list(self._waiting):
                self._give_up(waits, ticket)

    def _hand_over(self, waits: LoopWaits, ticket: int, ref: int) -> None:
        future = self._waiting.pop(ticket, None)
        if future is None or future.done():  # cancelled, and its task does not know yet
            waits.give_back(ref)
        else:
            waits.brought[ticket] = ref
            future.set_result(None)

    def _expire(self, ticket: int) -> None:
        waits = self._waits()
        if waits is None or waits.listener is None or ticket not in self._waiting:
            return
        if ref := waits.listener.cancel_ref(ticket):
            self._hand_over(waits, ticket, ref)
        else:
            self._give_up(waits, ticket)

    def _leave(self, ticket: int) -> None:
        """The coroutine ends without its slab, maybe after that had come and before it could look."""
        waiting = self._waiting.pop(ticket, None) is not None
        if (waits := self._waits()) is None:
            return
        ref = waits.brought.pop(ticket, 0)
        if waiting and waits.listener is not None:
            ref = waits.listener.cancel_ref(ticket)
        if ref:
            waits.give_back(ref)

    def _give_up(self, waits: LoopWaits, ticket: int) -> None:
        """Ends a wait in vain as one in a thread ends: the core counts it, or has a slab after all."""
        future = self._waiting.pop(ticket)
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
