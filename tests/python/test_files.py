# SPDX-License-Identifier: GPL-3.0-or-later
"""slabby.copyfileobj(): through one slab, whatever the files are."""

from __future__ import annotations

import io
import os
import socket
import threading

import pytest
import slabby

CONTENT = bytes(range(256)) * 100 + b"the end"


class OnlyRead:
    """A source without readinto()."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        return self._file.read(size)


class Reluctant:
    """A target that takes a little at a time and keeps nothing of the buffer."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: memoryview) -> int:
        self.content += data[:100]
        return min(100, len(data))


class Silent:
    """A target whose write() returns nothing."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: memoryview) -> None:
        self.content += data


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, bytes(4096), bytes(8192)])
@pytest.mark.parametrize("source", [io.BytesIO, OnlyRead])
@pytest.mark.parametrize("target", [Reluctant, Silent])
def test_everything_arrives(pool, content, source, target):
    written = target()
    assert slabby.copyfileobj(source(content), written, pool) == len(content)
    assert written.content == content
    assert pool.stats().total_allocations == 1


def test_files_of_the_system(pool, tmp_path):
    (tmp_path / "from").write_bytes(CONTENT)
    for buffering in (0, -1):
        with (
            open(tmp_path / "from", "rb", buffering) as source,
            open(tmp_path / "to", "wb", buffering) as target,
        ):
            source.seek(1000)
            assert slabby.copyfileobj(source, target, pool) == len(CONTENT) - 1000
        assert (tmp_path / "to").read_bytes() == CONTENT[1000:]


def test_from_a_socket(pool):
    left, right = socket.socketpair()
    with left, right, right.makefile("rb") as source:

        def send() -> None:
            left.sendall(CONTENT)
            left.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        target = io.BytesIO()
        assert slabby.copyfileobj(source, target, pool) == len(CONTENT)
        sender.join()
    assert target.getvalue() == CONTENT


def test_what_is_no_binary_file_is_refused(pool):
    with pytest.raises(TypeError, match="binary mode"):
        slabby.copyfileobj(io.StringIO("text"), io.BytesIO(), pool)
    with pytest.raises(TypeError):
        slabby.copyfileobj(io.BytesIO(b"bytes"), io.StringIO(), pool)


def test_files_that_do_not_block_are_refused(pool):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    with open(reader, "rb", 0) as source, open(writer, "wb", 0) as target:
        with pytest.raises(BlockingIOError, match="source"):
            slabby.copyfileobj(source, io.BytesIO(), pool)
        with pytest.raises(BlockingIOError, match="target"):
            slabby.copyfileobj(io.BytesIO(bytes(1 << 20)), target, pool)


def test_a_target_that_takes_nothing_is_refused(pool):
    class Full:
        def write(self, data: memoryview) -> int:
            return 0

    with pytest.raises(
        OSError, match=r"target.write\(\) took 0 of 5 bytes; it must take 1 or more"
    ):
        slabby.copyfileobj(io.BytesIO(b"hello"), Full(), pool)


def test_without_a_slab_it_waits_or_refuses():
    with slabby.Allocator(64, 1) as pool:
        slab = pool.allocate()
        with pytest.raises(slabby.OutOfMemoryError):
            slabby.copyfileobj(io.BytesIO(CONTENT), io.BytesIO(), pool)
        with pytest.raises(slabby.TimeoutError):
            slabby.copyfileobj(io.BytesIO(CONTENT), io.BytesIO(), pool, timeout=0.001)
        slab.release()
        assert slabby.copyfileobj(io.BytesIO(CONTENT), io.BytesIO(), pool, timeout=None) == len(
            CONTENT
        )
