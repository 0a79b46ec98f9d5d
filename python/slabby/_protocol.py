# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections of asyncio that receive into slabs.

    socket ──recv_into──▶ slab being filled ──full──▶ ready chunks ──receive()──▶ the handler, which releases them

Two conditions stop the reading: `ahead` full chunks that the handler has not taken, and a pool without a free slab.
TCP then makes the sender wait. An idle connection holds no slab.

Bytes that arrive without a slab, and all bytes over TLS, are copied into slabs as slabs get free. TLS of asyncio and of
uvloop reads one buffer at the end of a connection and forgets what did not fit, so it gets one in which everything has
room.
"""

from __future__ import annotations

import asyncio
from collections import deque

from slabby._base_error import SlabbyError
from slabby._option_values import check_pool, whole
from slabby._types import SlabRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from typing_extensions import Buffer

    from slabby._allocator import Allocator

# The buffer for a read while the pool has no slab, because a read must not be empty.
SPARE_BYTES = 64
# What TLS may have decrypted beyond the bytes that it says are pending: one record.
RECORD_BYTES = 16384
# A timer of the loop holds the connection, and is set again after so many seconds.
HOLD_S = 3600.0


class Chunk:
    """Bytes that were received: the first `size` of a slab. `with chunk as data:` gives them as a memoryview and
    releases the slab at the end."""

    __slots__ = ("slab", "size", "_view")
    slab: SlabRef
    """Holds the bytes; release() releases it."""
    size: int
    """How many bytes arrived."""

    def __init__(self, slab: SlabRef, size: int) -> None:
        self.slab = slab
        self.size = size
        self._view: memoryview | None = None

    def __len__(self) -> int:
        return self.size

    def tobytes(self) -> bytes:
        """A copy."""
        return self.slab[: self.size]

    def release(self) -> None:
        """Releases the slab; one that a view holds goes back when that ends."""
        self.slab.release_deferred()

    def __enter__(self) -> memoryview:
        self._view = memoryview(self.slab)[: self.size]
        return self._view

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        view, self._view = self._view, None
        try:
            if view is not None:
                view.release()
        except BufferError:
            pass  # a view still uses the slab, which goes back after that
        self.slab.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<Chunk of {self.size} bytes in {self.slab!r}>"


class SlabProtocol(asyncio.BufferedProtocol):
    """A connection whose bytes arrive in slabs, with back-pressure; without a copy, except over TLS.

    `await loop.create_server(lambda: SlabProtocol(pool, handle), host, port)` runs `handle(connection)` as a task for
    each connection, which ends with it; `loop.create_connection` works likewise. The handler takes the chunks that
    have arrived:

        async for chunk in connection:
            with chunk as data:
                await connection.send(data)

    At most `ahead` full slabs wait for the handler. Without a free slab the connection waits in the pool's queue,
    first come, first served. Chunks that were not taken go back when the connection is closed.
    """

    def __init__(
        self,
        pool: Allocator,
        handler: Callable[[SlabProtocol], Awaitable[object]] | None = None,
        *,
        ahead: int = 4,
    ) -> None:
        check_pool(pool)
        if handler is not None and not callable(handler):
            raise TypeError(f"handler takes a function of the connection, or None, not {handler!r}")
        if whole("ahead", ahead) < 1:
            raise ValueError(
                f"ahead is {ahead}; choose 1 or more slabs that may wait for the handler"
            )
        self.pool = pool
        self._handler = handler
        self._ahead = ahead
        self._transport: asyncio.Transport | None = None
        self._is_tls = False
        self._task: asyncio.Task[None] | None = None
        self._refill: asyncio.Task[None] | None = None
        self._ready: deque[Chunk] = deque()
        self._slab: SlabRef | None = None
        self._view: memoryview | None = None
        self._filled = 0
        # The buffer of a read without a slab, and the bytes that such reads brought and that wait for slabs.
        self._spare: memoryview | None = None
        self._arrived = bytearray()
        self._at_end = False
        self._error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writers: set[asyncio.Future[None]] = set()
        self._may_write = True
        self._hold: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------------------------- the handler's side

    @property
    def transport(self) -> asyncio.Transport:
        """The transport of the connection."""
        if self._transport is None:
            raise RuntimeError(
                "there is no connection yet; pass this to create_server or create_connection"
            )
        return self._transport

    async def receive(self) -> Chunk | None:
        """The next chunk, as soon as bytes have arrived; None at the end of the stream. The caller releases the
        chunk."""
        while True:
            if (chunk := self._take()) is not None:
                return chunk
            if self._error is not None:
                raise self._error
            if self._at_end and not self._arrived:
                return None
            if self._reader is not None:
                raise RuntimeError("another task is in receive(); one reads a connection")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        chunk = await self.receive()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def send(self, data: Buffer) -> None:
        """Writes, and waits while the other side takes too little."""
        self.transport.write(data)  # type: ignore[arg-type] # transports take every buffer
        await self.drain()

    async def drain(self) -> None:
        """Waits while the transport holds too much that was not sent yet."""
        while not self._may_write and not self.transport.is_closing():
            waiter = asyncio.get_running_loop().create_future()
            self._writers.add(waiter)
            try:
                await waiter
            finally:
                self._writers.discard(waiter)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Closes the connection after the written bytes are sent, and releases the chunks that were received and not
        taken."""
        self._at_end = True
        self._forget_arrived()
        if self._transport is not None:
            self._transport.close()
        self._wake()
        while self._ready:
            self._ready.popleft().release()
        self._drop_slab()

    def _take(self) -> Chunk | None:
        """The oldest full chunk, or else the bytes of the next chunk so far."""
        if self._ready:
            chunk = self._ready.popleft()
        elif self._filled:
            chunk = self._finish_slab()
        else:
            return None
        self._go_on()
        return chunk

    # ----------------------------------------------------------------------------------- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # of a stream, as the loop promises
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._hold_on()
        if self._handler is not None:
            self._task = asyncio.get_running_loop().create_task(self._handle(self._handler))

    def get_buffer(self, sizehint: int) -> memoryview:
        self._spare = None
        if self._is_tls:
            # It asks for a buffer for each record, also for one that brings the connection no bytes.
            asyncio.get_running_loop().call_soon(self._drop_spare)
            size = max(sizehint, 0) + RECORD_BYTES
        else:
            if not self._arrived and not self._at_end and self._has_slab():
                assert self._view is not None
                return self._view[self._filled :]
            size = SPARE_BYTES
        self._spare = memoryview(bytearray(size))
        return self._spare

    def buffer_updated(self, nbytes: int) -> None:
        if self._at_end:
            return  # closed; bytes that still arrive are dropped
        if self._spare is not None:
            self._arrived += self._spare[:nbytes]
            self._spare = None
            self._fill_slabs()
        else:
            self._count(nbytes)
        if self._arrived or len(self._ready) >= self._ahead:
            self._transport_must_wait()
        self._wake()

    def eof_received(self) -> bool:
        """Stays open for writing, if the transport supports half-closed connections."""
        self._at_end = True
        self._drop_empty_slab()
        self._wake()
        return not self._is_tls

    def connection_lost(self, error: BaseException | None) -> None:
        self._error = self._error or error
        self._at_end = True
        if self._error is not None:
            self._forget_arrived()
        self._wake()
        self._wake_writers()
        self._let_go_at_end()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._wake_writers()

    # --------------------------------------------------------------------------------------------------- inside

    async def _handle(self, handler: Callable[[SlabProtocol], Awaitable[object]]) -> None:
        try:
            await handler(self)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            context = {"message": "the handler of a connection failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler({**context, "protocol": self})
        finally:
            self.close()
            self._let_go()

    def _hold_on(self) -> None:
        """Sets the timer that holds the connection.

        A loop refers only to connections that it reads. While the reading is stopped, the collector would take the
        connection and its tasks. A timer keeps them, and ends with the loop.
        """
        self._hold = asyncio.get_running_loop().call_later(HOLD_S, self._hold_on)

    def _let_go(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None

    def _let_go_at_end(self) -> None:
        """Without a handler, the connection ends when its last bytes have their slabs."""
        is_over = self._task is None or self._task.done()
        if is_over and self._refill is None and self.transport.is_closing():
            self._let_go()

    def _free_slab(self) -> SlabRef | None:
        """A slab, if one is free at once. What refuses it ends the connection when bytes have arrived for it."""
        try:
            return self.pool._try_now()
        except SlabbyError:
            return None

    def _has_slab(self) -> bool:
        """Whether there is a slab to fill, perhaps since now."""
        if self._view is None and (slab := self._free_slab()) is not None:
            self._begin_slab(slab)
        return self._view is not None

    def _fill_slabs(self) -> None:
        """Copies arrived bytes into slabs, or waits for a free slab. No more than `ahead` get full."""
        while self._arrived and self._refill is None and len(self._ready) < self._ahead:
            if not self._has_slab():
                self._refill = asyncio.get_running_loop().create_task(self._wait_for_slab())
                return
            assert self._view is not None
            size = min(len(self._view) - self._filled, len(self._arrived))
            self._view[self._filled : self._filled + size] = self._arrived[:size]
            del self._arrived[:size]
            self._count(size)

    def _count(self, size: int) -> None:
        """So many bytes were put into the slab."""
        assert self._view is not None
        self._filled += size
        if self._filled == len(self._view):
            self._ready.append(self._finish_slab())

    async def _wait_for_slab(self) -> None:
        """Puts the bytes that arrived without a slab into the next free slab, and continues to read."""
        try:
            slab = await self.pool.acquire_async()
        except Exception as error:
            self._refill = None
            self._error = error
            self._arrived.clear()
            self.transport.abort()
            self._wake()
            self._let_go_at_end()
            return
        self._refill = None
        self._begin_slab(slab)
        self._go_on()
        self._let_go_at_end()
        # The next pass of the loop reads the other bytes that have arrived, so that the handler does not get only
        # these few bytes.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._wake)

    def _forget_arrived(self) -> None:
        self._arrived.clear()
        refill, self._refill = self._refill, None
        if refill is not None:
            refill.cancel()

    def _begin_slab(self, slab: SlabRef) -> None:
        self._slab, self._view, self._filled = slab, memoryview(slab), 0

    def _finish_slab(self) -> Chunk:
        assert self._slab is not None
        chunk = Chunk(self._slab, self._filled)
        self._slab, self._view, self._filled = None, None, 0
        return chunk

    def _drop_empty_slab(self) -> None:
        if not self._filled:
            self._drop_slab()

    def _drop_spare(self) -> None:
        self._spare = None

    def _drop_slab(self) -> None:
        slab, self._slab, self._view, self._filled = self._slab, None, None, 0
        if slab is not None:
            slab.release_deferred()

    def _transport_must_wait(self) -> None:
        if self.transport.is_reading():
            self.transport.pause_reading()

    def _go_on(self) -> None:
        """Reads again if nothing prevents it."""
        self._fill_slabs()
        waits = self._arrived or len(self._ready) >= self._ahead
        if not waits and not self._at_end and not self.transport.is_closing():
            self.transport.resume_reading()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_writers(self) -> None:
        for waiter in self._writers:
            if not waiter.done():
                waiter.set_result(None)
        self._writers.clear()
