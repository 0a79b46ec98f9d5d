# SPDX-License-Identifier: GPL-3.0-or-later
"""From an error of the core to an exception."""

from __future__ import annotations

import os

from slabby import _types
from slabby._base_error import SlabbyError
from slabby._batch import Batch
from slabby._status import Status
from slabby._errors import (
    ERRORS,
    AbiMismatchError,
    InvalidBatchSizeError,
    OutOfMemoryError,
    WriteFailedError,
)
from slabby._option_values import clamped, integer
from slabby._options import OPTION_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from traceback import StackSummary
    from typing import NoReturn
    from slabby._allocator import Allocator
    from slabby._records import Stats


def make_error(
    status: int,
    text: str = "",
    value: int = 0,
    minimum: int = 0,
    maximum: int = 0,
    option: int = 0,
) -> SlabbyError:
    """The exception of a status. A status of a later core is an AbiMismatchError."""
    kind = ERRORS.get(status)
    if kind is None:
        return AbiMismatchError(
            f"the core answered status {status}, which this package does not know; reinstall it"
        )
    name = OPTION_NAMES.get(option)
    if text.startswith("slab size "):
        text = f"slab_size {text.removeprefix('slab size ')}"
    error = kind(
        text,
        value=value,
        minimum=minimum,
        maximum=maximum,
        option=name,
    )
    if isinstance(error, WriteFailedError) and value:
        error.errno, error.strerror = value, os.strerror(value)
    return error


def with_own_stack(text: str, stack: StackSummary) -> str:
    """A text of the core about a slab, with Python's frames of its allocation in place of the interpreter's."""
    sentence, _, stacks = text.partition("\n")
    lines = [sentence, "allocated at (most recent call last):"]
    lines += "".join(stack.format()).splitlines()
    lines += [
        line.strip().removesuffix(", at:")
        for line in stacks.splitlines()
        if line.startswith("  released ")
    ]
    return "\n".join(lines)


def batch_limit(pool: Allocator, stats: Stats) -> int:
    """The most slabs that a batch of the pool may have: those of the pool, and what the heap may add."""
    if pool.get_option("heap_fallback"):
        return int(stats.total_slabs + pool.get_option("heap_fallback_limit"))
    return stats.total_slabs


def refuse_batch(pool: Allocator, count: object, status: int) -> NoReturn:
    """Raises the error of a refused batch; status 0: the count is beyond every limit."""
    wanted = integer("count", count)
    stats = pool.stats()
    limit = batch_limit(pool, stats)
    label = f"pool {stats.name!r}" if stats.name else "this pool"
    if status == Status.OUT_OF_MEMORY:
        advice = "; raise heap_fallback_limit or the capacity, or release slabs sooner"
        raise OutOfMemoryError(
            f"count is {wanted}, and {label} has {stats.available_slabs} of its {stats.total_slabs} slabs free"
            f"{advice if limit > stats.total_slabs else ''}"
        )
    raise InvalidBatchSizeError(
        f"count is {wanted}, and a batch of {label} has 1 to {limit} slabs",
        value=clamped(wanted),
        minimum=1,
        maximum=limit,
    )


_types._configure(make_error, Batch, os.path.dirname(__file__) + os.sep)
