# SPDX-License-Identifier: GPL-3.0-or-later
"""slabby.SlabProtocol: connections of asyncio whose bytes arrive in slabs."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest
import slabby
from slabby import SlabProtocol

# Every wait ends by what it waits for; this ends a test that hangs.
DEADLINE_S = 300
Handler = Callable[[SlabProtocol], Awaitable[object]]


def run(main: Awaitable[object]) -> None:
    asyncio.run(asyncio.wait_for(main, DEADLINE_S))


class Service:
    """A server on a port of loopback, and the slabs of its pool all back at the end."""

    def __init__(
        self,
        pool: slabby.Allocator,
        handler: Handler,
        tls: ssl.SSLContext | None = None,
        **options: int,
    ) -> None:
        self.pool = pool
        self._tls = tls
        self.errors: list[dict[str, object]] = []
        self._make = lambda: SlabProtocol(pool, handler, **options)

    async def __aenter__(self) -> Service:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self._server = await loop.create_server(self._make, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await until(lambda: self.pool.stats().used_slabs == 0)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def echo(connection: SlabProtocol) -> None:
    async for chunk in connection:
        with chunk as data:
            await connection.send(data)


def content(size: int) -> bytes:
    return hashlib.shake_128(size.to_bytes(8, "little")).digest(size)


@pytest.mark.parametrize("capacity", [1, 2, 64])
def test_what_is_sent_arrives_however_few_slabs_there_are(capacity):
    async def client(service: Service, number: int) -> None:
        reader, writer = await service.connect()
        sent = content(5_000 + number)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == sent
        writer.close()

    async def main() -> None:
        with slabby.Allocator(512, capacity) as pool:
            async with Service(pool, echo) as service:
                await asyncio.gather(*(client(service, number) for number in range(8)))
                assert service.errors == []
            assert pool.stats().peak_used <= capacity

    run(main())


def test_an_idle_connection_holds_no_slab(pool):
    async def main() -> None:
        async with Service(pool, echo) as service:
            connections = [await service.connect() for _ in range(5)]
            for reader, writer in connections:
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
            await until(lambda: pool.stats().used_slabs == 0)
            for _, writer in connections:
                writer.close()

    run(main())


def test_chunks_are_slabs_of_the_pool_and_carry_what_came_together(pool):
    async def main() -> None:
        seen: list[slabby.Chunk] = []
        may_read, done = asyncio.Event(), asyncio.Event()

        async def handler(connection: SlabProtocol) -> None:
            await may_read.wait()
            async for chunk in connection:
                seen.append(chunk)
            done.set()

        async with Service(pool, handler) as service:
            _, writer = await service.connect()
            for _ in range(50):
                writer.write(content(100))
                await writer.drain()
                await asyncio.sleep(0)
            writer.close()
            await writer.wait_closed()
            may_read.set()
            await done.wait()
            assert b"".join(chunk.tobytes() for chunk in seen) == content(100) * 50
            # Small pieces share a slab as long as the handler is behind.
            assert len(seen[0]) == 4096 and seen[0].slab.allocator is pool
            assert sum(map(len, seen)) == 5000
            for chunk in seen:
                chunk.release()

    run(main())


def test_a_slow_handler_stops_the_sender(pool):
    """Nothing more is read than `ahead` slabs, and the rest waits in the sockets."""

    async def main() -> None:
        go_on, connections = asyncio.Event(), []

        async def handler(connection: SlabProtocol) -> None:
            connections.append(connection)
            await go_on.wait()
            received = hashlib.sha256()
            async for chunk in connection:
                with chunk as data:
                    received.update(data)
            await connection.send(received.digest())

        async with Service(pool, handler, ahead=2) as service:
            reader, writer = await service.connect()
            sent = content(4 << 20)
            writer.write(sent)
            writer.write_eof()
            await until(lambda: bool(connections) and not connections[0].transport.is_reading())
            assert pool.stats().used_slabs == 2
            go_on.set()
            assert await reader.read() == hashlib.sha256(sent).digest()
            assert pool.stats().peak_used <= 4
            writer.close()

    run(main())


@pytest.mark.parametrize("slab_size", [1, 63, 64, 65, 256])
def test_an_exhausted_pool_stops_the_reading_and_loses_nothing(slab_size):
    """Also where a slab is smaller than the buffer of a read without a slab."""

    async def main() -> None:
        with slabby.Allocator(slab_size, 1) as pool:
            connections = []

            async def handler(connection: SlabProtocol) -> None:
                connections.append(connection)
                await echo(connection)

            async with Service(pool, handler) as service:
                held = pool.allocate()
                reader, writer = await service.connect()
                writer.write(content(1000))
                writer.write_eof()
                await until(lambda: pool.stats().waiters == 1)
                assert not connections[0].transport.is_reading()
                # A loop does not refer to what it does not read.
                connections.clear()
                gc.collect()
                held.release()
                assert await reader.read() == content(1000)
                writer.close()

    run(main())


def test_a_loop_may_hold_the_buffer_while_it_says_what_arrived():
    """As uvloop does."""

    async def main() -> None:
        with slabby.Allocator(256, 1) as pool:
            held = pool.allocate()
            left, right = socket.socketpair()
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(lambda: SlabProtocol(pool), sock=left)
            with memoryview(connection.get_buffer(-1)) as buffer:
                buffer[:5] = b"hello"
                connection.buffer_updated(5)
            held.release()
            chunk = await connection.receive()
            assert chunk is not None and chunk.tobytes() == b"hello"
            chunk.release()
            connection.close()
            right.close()

    run(main())


def test_connections_that_end_while_they_wait_for_a_slab_leave_the_queue():
    async def main() -> None:
        with slabby.Allocator(256, 1) as pool:
            async with Service(pool, echo) as service:
                held = pool.allocate()
                waiting = []
                for number in range(5):
                    _, writer = await service.connect()
                    writer.write(b"x")
                    waiting.append(writer)
                    await until(lambda: pool.stats().waiters == number + 1)  # noqa: B023
                # The protocols are the server's: it ends them.
                for writer in waiting:
                    writer.transport.abort()
                held.release()
                await until(lambda: pool.stats().waiters == 0)

    run(main())


def test_a_handler_that_fails_closes_its_connection_and_is_reported(pool):
    async def handler(connection: SlabProtocol) -> None:
        chunk = await connection.receive()
        assert chunk is not None
        chunk.release()
        raise ZeroDivisionError("of the handler")

    async def main() -> None:
        async with Service(pool, handler) as service:
            reader, writer = await service.connect()
            writer.write(content(100_000))
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
            await until(lambda: bool(service.errors))
            assert isinstance(service.errors[0]["exception"], ZeroDivisionError)

    run(main())


def test_a_closed_pool_ends_the_connections_that_wait():
    async def main() -> None:
        pool = slabby.Allocator(256, 1)
        failures: list[BaseException] = []

        async def handler(connection: SlabProtocol) -> None:
            try:
                await connection.receive()
            except slabby.ClosedError as error:
                failures.append(error)

        async with Service(pool, handler) as service:
            held = pool.allocate()
            _, writer = await service.connect()
            writer.write(b"x")
            await until(lambda: pool.stats().waiters == 1)
            pool.close()
            await until(lambda: bool(failures))
            held.release()
            writer.close()

    run(main())


def test_bytes_for_a_closed_pool_end_their_connection():
    async def main() -> None:
        pool = slabby.Allocator(256, 1)
        failures: list[BaseException] = []
        started = asyncio.Event()

        async def handler(connection: SlabProtocol) -> None:
            started.set()
            try:
                await connection.receive()
            except slabby.ClosedError as error:
                failures.append(error)

        async with Service(pool, handler) as service:
            _, writer = await service.connect()
            await started.wait()
            pool.close()
            writer.write(b"x")
            await until(lambda: bool(failures))
            writer.close()
            assert service.errors == []

    run(main())


def test_as_a_client_without_a_handler(pool):
    async def main() -> None:
        async with Service(pool, echo) as service:
            loop = asyncio.get_running_loop()
            connection = (
                await loop.create_connection(lambda: SlabProtocol(pool), "127.0.0.1", service.port)
            )[1]
            await connection.send(content(10_000))
            connection.transport.write_eof()
            received = b""
            while (chunk := await connection.receive()) is not None:
                received += chunk.tobytes()
                chunk.release()
            assert received == content(10_000)
            assert await connection.receive() is None
            connection.close()

    run(main())


def test_what_was_not_taken_goes_back_when_the_connection_is_closed(pool):
    async def main() -> None:
        closed = asyncio.Event()

        async def handler(connection: SlabProtocol) -> None:
            await until(lambda: pool.stats().used_slabs >= 2)
            connection.close()
            assert pool.stats().used_slabs == 0
            closed.set()

        async with Service(pool, handler) as service:
            _, writer = await service.connect()
            writer.write(content(8000))
            await closed.wait()
            writer.close()

    run(main())


def test_a_view_that_goes_on_holds_its_slab(pool):
    async def main() -> None:
        views: list[memoryview] = []

        async def handler(connection: SlabProtocol) -> None:
            async for chunk in connection:
                with chunk as data:
                    views.append(data[1:3])

        async with Service(pool, handler) as service:
            _, writer = await service.connect()
            writer.write(b"hello")
            await until(lambda: bool(views))
            assert (bytes(views[0]), pool.stats().used_slabs) == (b"el", 1)
            views.clear()
            writer.close()

    run(main())


def test_one_task_reads_a_connection(pool):
    async def main() -> None:
        left, right = socket.socketpair()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: SlabProtocol(pool), sock=left)
        first = loop.create_task(connection.receive())
        await until(lambda: connection._reader is not None)
        with pytest.raises(RuntimeError, match="another task"):
            await connection.receive()
        right.send(b"x")
        chunk = await first
        assert chunk is not None and repr(chunk).startswith("<Chunk of 1 bytes in <SlabRef ")
        chunk.release()
        right.close()
        assert await connection.receive() is None
        connection.close()
        await until(lambda: left.fileno() == -1)

    run(main())


def test_what_arrives_after_close_takes_no_slab(pool):
    """TLS hands on what it had decrypted when the connection is closed."""

    async def main() -> None:
        left, right = socket.socketpair()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: SlabProtocol(pool), sock=left)
        connection.close()
        memoryview(connection.get_buffer(-1))[:5] = b"hello"
        connection.buffer_updated(5)
        assert (pool.stats().used_slabs, pool.stats().waiters) == (0, 0)
        assert await connection.receive() is None
        right.close()

    run(main())


def test_sends_that_are_given_up_leave_nothing_behind(pool):
    async def main() -> None:
        left, right = socket.socketpair()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: SlabProtocol(pool), sock=left)
        connection.pause_writing()
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(connection.drain(), 0.001)
        assert not connection._writers
        last = loop.create_task(connection.drain())
        await until(lambda: bool(connection._writers))
        connection.resume_writing()
        await last
        connection.close()
        right.close()

    run(main())


def test_before_the_connection_and_bad_arguments(pool):
    with pytest.raises(RuntimeError, match="create_server"):
        _ = SlabProtocol(pool).transport
    with pytest.raises(ValueError, match="ahead is 0; choose 1"):
        SlabProtocol(pool, ahead=0)
