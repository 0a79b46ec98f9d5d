# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions that the generated calls of the CFFI backend share."""

from __future__ import annotations

from slabby._cffi import ffi
from slabby._option_values import check_pool
from slabby._raise import make_error
from slabby._types import Pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

# The size of the first buffer for a text; it grows until the text fits.
TEXT_SIZE = 512


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def _pointer(pointer: Any) -> Any:
    return ffi.NULL if pointer is None else pointer


def _pool(allocator: Pool) -> Any:
    """The handle of any Allocator, whichever backend opened it."""
    check_pool(allocator)
    native = allocator._native
    return ffi.cast("slabby_allocator *", allocator._address) if native is None else native


def _pool_or_null(allocator: Pool | None) -> Any:
    return ffi.NULL if allocator is None else _pool(allocator)


def _bytes(text: str) -> bytes:
    """A text as C takes it. Bytes that os.fsdecode could not decode, in an argument or a file's name, are passed
    unchanged."""
    encoded = text.encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise ValueError("embedded null byte")
    return encoded


def _text(buffer: Any) -> str:
    # A pool's name may have been cut within a character.
    return bytes(ffi.string(buffer)).decode("utf-8", "replace")


def fail(status: int, allocator: Pool | None, ref: int, record: Any = None) -> NoReturn:
    """Raises the core's error for a status: from its record if it filled one, else from its explanation."""
    if record is not None and record.status == status:
        raise make_error(
            status,
            _text(record.text),
            record.value,
            record.minimum,
            record.maximum,
            record.option,
        )
    if allocator is not None:
        allocator._fail(status, ref)
    raise make_error(status)
