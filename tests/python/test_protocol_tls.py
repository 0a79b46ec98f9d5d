# SPDX-License-Identifier: GPL-3.0-or-later
"""slabby.SlabProtocol over TLS: no byte is lost, whenever it arrives."""

from __future__ import annotations

import asyncio
import gc
import ssl

import pytest
import slabby
from slabby import SlabProtocol
from test_protocol import Service, content, echo, run, until


@pytest.fixture
def certificate(tmp_path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def test_an_idle_connection_over_tls_holds_no_slab(certificate, pool):
    """Neither after the handshake, nor after a record that fills slabs to the last byte."""
    server_context, client_context = certificate

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SlabProtocol(pool, echo), "127.0.0.1", 0, ssl=server_context
        )
        _, client = await loop.create_connection(
            lambda: SlabProtocol(pool),
            *server.sockets[0].getsockname(),
            ssl=client_context,
            server_hostname="localhost",
        )
        for size in (1, pool.slab_size, 2 * pool.slab_size):
            await client.send(content(size))
            received = b""
            while len(received) < size:
                chunk = await client.receive()
                assert chunk is not None
                received += chunk.tobytes()
                chunk.release()
            assert received == content(size)
            await until(lambda: pool.stats().used_slabs == 0)
        client.close()
        await until(lambda: client.transport.is_closing())
        server.close()

    run(main())


@pytest.mark.parametrize("capacity", [1, 8])
def test_over_tls(certificate, capacity):
    server_context, client_context = certificate

    async def main() -> None:
        with slabby.Allocator(1000, capacity) as pool:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                lambda: SlabProtocol(pool, echo), "127.0.0.1", 0, ssl=server_context
            )
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
            )
            writer.write(content(50_000))
            assert await reader.readexactly(50_000) == content(50_000)
            writer.close()
            await until(lambda: pool.stats().used_slabs == 0)
            server.close()

    run(main())


class OnePiece:
    """A client whose records leave in one piece, so that the server finds them all at once."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    async def connect(self, service: Service) -> None:
        reader, self.writer = await service.connect()
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.writer.write(self._outgoing.read())
                self._incoming.write(await reader.read(65536))
            else:
                break
        self.writer.write(self._outgoing.read())

    def send(self, *records: bytes, and_end: bool = False) -> None:
        for record in records:
            self._tls.write(record)
        if and_end:
            with pytest.raises(ssl.SSLWantReadError):
                self._tls.unwrap()
        self.writer.write(self._outgoing.read())
        if and_end:
            self.writer.write_eof()


class Collector:
    """A handler that keeps a copy of all bytes of one connection."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.begun, self.may_read, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, connection: SlabProtocol) -> None:
        self.connection = connection
        self.begun.set()
        await self.may_read.wait()
        async for chunk in connection:
            with chunk as data:
                self.received += data
        self.done.set()


def test_records_that_arrive_together_without_a_slab(certificate):
    server_context, client_context = certificate
    records = [bytes([65 + number]) * 10 for number in range(10)]

    async def main() -> None:
        collector, client = Collector(), OnePiece(client_context)
        with slabby.Allocator(4096, 1) as pool:
            held = pool.allocate()
            async with Service(pool, collector, server_context) as service:
                await client.connect(service)
                await collector.begun.wait()
                client.send(*records)
                await until(lambda: pool.stats().waiters == 1)
                held.release()
                collector.may_read.set()
                await until(lambda: len(collector.received) == 100)
                assert collector.received == b"".join(records)
                client.writer.close()

    run(main())


@pytest.mark.parametrize("size", [50, 1000, 30_000])
@pytest.mark.parametrize("slab_size", [1000, 100_000])
def test_over_tls_the_handler_gets_all_bytes_before_the_end(certificate, size, slab_size):
    """Without a free slab, and with more bytes than the slabs that may wait for the handler have room for."""
    server_context, client_context = certificate

    async def main() -> None:
        collector, client = Collector(), OnePiece(client_context)
        with slabby.Allocator(slab_size, 2) as pool:
            held = pool.allocate_batch(2)
            async with Service(pool, collector, server_context, ahead=1) as service:
                await client.connect(service)
                await collector.begun.wait()
                client.send(content(size), and_end=True)
                await until(lambda: pool.stats().waiters == 1)
                await until(lambda: collector.connection.transport.is_closing())
                held.release()
                collector.may_read.set()
                await collector.done.wait()
                assert collector.received == content(size)
                assert service.errors == []
                client.writer.close()

    run(main())


def test_over_tls_a_connection_without_a_handler_gets_all_bytes_too(certificate):
    server_context, client_context = certificate

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(content(5000))
            writer.close()

        server = await asyncio.start_server(send, "127.0.0.1", 0, ssl=server_context)
        with slabby.Allocator(1000, 1) as pool:
            held = pool.allocate()
            transport, connection = await loop.create_connection(
                lambda: SlabProtocol(pool),
                *server.sockets[0].getsockname(),
                ssl=client_context,
                server_hostname="localhost",
            )
            await until(lambda: pool.stats().waiters == 1 and transport.is_closing())
            gc.collect()
            held.release()
            received = b""
            async for chunk in connection:
                received += chunk.tobytes()
                chunk.release()
            assert received == content(5000)
            await until(lambda: connection._hold is None)
            connection.close()
        server.close()

    run(main())
