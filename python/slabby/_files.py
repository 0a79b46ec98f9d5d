# SPDX-License-Identifier: GPL-3.0-or-later
"""Copying from file to file through a slab."""

from __future__ import annotations

import io

from slabby._option_values import check_pool, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Any

    from _typeshed import SupportsRead, SupportsWrite

    from slabby._allocator import Allocator


def copyfileobj(
    source: SupportsRead[bytes],
    target: SupportsWrite[memoryview],
    pool: Allocator,
    *,
    timeout: float | timedelta | None = 0,
) -> int:
    """Copies a binary file from its position to its end, as shutil.copyfileobj() does, through one slab of the pool.

    Returns how many bytes. Nothing is allocated for each piece where `source` has readinto(), as files, sockets'
    makefile() and BytesIO have. `timeout`: how long to wait for a slab, as in acquire(). If a target takes only part
    of the bytes, as raw files may, it gets the rest in further calls; if it takes none, that is an OSError.
    """
    check_pool(pool)
    if not (hasattr(source, "readinto") or hasattr(source, "read")):
        raise TypeError(f"source takes a file open for reading, not {source!r}")
    if not hasattr(target, "write"):
        raise TypeError(f"target takes a file open for writing, not {target!r}")
    if isinstance(target, io.TextIOBase):
        raise TypeError("target writes text; open it in binary mode, such as 'wb'")
    copied = 0
    with pool.acquire(timeout) as ref, memoryview(ref) as buffer:
        while size := _read(source, buffer):
            _write(target, buffer[:size])
            copied += size
    return copied


def _read(source: Any, buffer: memoryview) -> int:
    readinto = getattr(source, "readinto", None)
    if readinto is not None:
        size = readinto(buffer)
        if size is None:
            raise BlockingIOError("source has nothing to read now; make it blocking")
        return _checked("source.readinto()", size, len(buffer))
    data = source.read(len(buffer))
    if data is None:
        raise BlockingIOError("source has nothing to read now; make it blocking")
    if isinstance(data, str):
        raise TypeError("source reads text; open it in binary mode, such as 'rb'")
    size = _checked("source.read()", len(data), len(buffer))
    buffer[:size] = data
    return size


def _checked(call: str, size: int, most: int) -> int:
    """The size that a file of the caller reports."""
    if 0 <= whole(call, size) <= most:
        return size
    raise OSError(
        f"{call} says {size} bytes where it was asked for {most}; it must return 0 to {most}"
    )


def _write(target: Any, data: memoryview) -> None:
    while len(data):
        written = target.write(data)
        if written is None:
            if isinstance(target, io.RawIOBase):
                raise BlockingIOError("target takes nothing now; make it blocking")
            return  # such targets take all or raise
        if _checked("target.write()", written, len(data)) == 0:
            raise OSError(
                f"target.write() took 0 of {len(data)} bytes; it must take 1 or more, or raise an error"
            )
        data = data[written:]
