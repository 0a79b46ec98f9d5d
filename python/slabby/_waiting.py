# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tasks of one event loop wait for the slabs of one pool."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from slabby._base_error import SlabbyError
from slabby._errors import ClosedError
from slabby._option_values import NANOSECONDS

if TYPE_CHECKING:
    from slabby._allocator import Allocator
    from slabby._types import SlabRef

Spaces = dict[asyncio.AbstractEventLoop, "WaitQueue"]


async def wait_in_loop(pool: Allocator, spaces: Spaces, timeout_ns: int | None) -> SlabRef:
    """A slab at once, or in its turn; without a timeout as long as it takes. `rooms` are the pool's."""
    loop = asyncio.get_running_loop()
    if timeout_ns == 0:
        return pool._core.slabby_allocate_timeout(pool, 0)
    if (slab := pool._try_now()) is not None:
        return slab
    if (space := spaces.get(loop)) is None:
        space = spaces[loop] = WaitQueue(pool, loop)
    try:
        return await space.wait(timeout_ns)
    finally:
        if space.is_empty and spaces.get(loop) is space:
            del spaces[loop]
            space.close()


class WaitQueue:
    """One listener for all tasks of a loop, from the first that waits to the last. Used in the loop's thread alone."""

    def __init__(self, pool: Allocator, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pool = pool
        self._listener = pool.listener()
        self._waiting: dict[int, asyncio.Future[SlabRef]] = {}
        loop.add_reader(self._listener.fd, self._collect)

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    async def wait(self, timeout_ns: int | None) -> SlabRef:
        """A slab in its turn. A task that is cancelled leaves the queue, and what it was granted goes back."""
        granted: asyncio.Future[SlabRef] = self._loop.create_future()
        try:
            ticket = self._listener.begin()
        except SlabbyError as error:
            # The pool's own words, which know its name and numbers.
            self._pool._fail(error.status, 0)
        self._waiting[ticket] = granted
        self._collect()
        expiry = None
        if timeout_ns is not None:
            expiry = self._loop.call_later(timeout_ns / NANOSECONDS, self._expire, ticket)
        try:
            return await granted
        except asyncio.CancelledError:
            self._leave(ticket, granted)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    def close(self) -> None:
        self._loop.remove_reader(self._listener.fd)
        self._listener.close()

    def _collect(self) -> None:
        """The listener's bell rang: hands out what was granted."""
        try:
            while granted := self._listener.take():
                for ticket, slab in granted.items():
                    self._hand_over(self._waiting.pop(ticket), slab)
        except ClosedError:
            self._loop.remove_reader(self._listener.fd)
            for ticket in list(self._waiting):
                self._give_up(self._waiting.pop(ticket))

    def _expire(self, ticket: int) -> None:
        future = self._waiting.pop(ticket, None)
        if future is None:
            return
        slab = self._listener.cancel(ticket)
        if slab is None:
            self._give_up(future)
        else:
            self._hand_over(future, slab)

    def _leave(self, ticket: int, future: asyncio.Future[SlabRef]) -> None:
        """The task was cancelled, maybe after its slab had come and before it could look."""
        slab = None
        if self._waiting.pop(ticket, None) is not None:
            slab = self._listener.cancel(ticket)
        elif not future.cancelled() and future.exception() is None:
            slab = future.result()
        if slab is not None:
            slab.release()

    @staticmethod
    def _hand_over(future: asyncio.Future[SlabRef], slab: SlabRef) -> None:
        if future.done():  # cancelled, and its task does not know yet
            slab.release()
        else:
            future.set_result(slab)

    def _give_up(self, future: asyncio.Future[SlabRef]) -> None:
        """Ends a wait in vain as one in a thread ends: the core counts it, or has a slab after all."""
        if future.done():
            return
        try:
            future.set_result(self._pool._core.slabby_allocate_timeout(self._pool, 1))
        except SlabbyError as error:
            future.set_exception(error)
