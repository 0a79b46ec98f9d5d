# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mistakes of this folder share: pools, and how they print what they were told (as ../c/misuse.h)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import slabby

SLAB_SIZE = 64
CAPACITY = 4

MISTAKES: dict[str, Callable[[], None]] = {}


def mistake(function: Callable[[], None]) -> Callable[[], None]:
    """Makes the function a mistake that the command line knows by its name."""
    MISTAKES[function.__name__] = function
    return function


def make_pool(
    slab_size: int = SLAB_SIZE, capacity: int = CAPACITY, **options: Any
) -> slabby.Allocator:
    return slabby.Allocator(slab_size, capacity, name="misuse", **options)


def report(answer: str, text: str, slab: int = -1, ref: int = 0) -> None:
    print("answer", answer, slab, f"{ref:016x}", text, sep="\t", flush=True)


def status_name(error: slabby.SlabbyError) -> str:
    """The name that the contract has for the status: that of the exception, less its ending."""
    return type(error).__name__.removesuffix("Error")


def counted(name: str, number: int) -> None:
    print("count", name, number, sep="\t", flush=True)


def rounds(by_default: int) -> int:
    """How often, by MISUSE_ROUNDS or else by default."""
    return int(os.environ.get("MISUSE_ROUNDS") or 0) or by_default


@contextmanager
def refused(ref: slabby.SlabRef | None = None) -> Iterator[None]:
    """Expects the body to raise an exception of the package, and prints it."""
    slab = -1 if ref is None else ref.id
    try:
        yield
    except slabby.SlabbyError as error:
        report(status_name(error), str(error), slab, 0 if ref is None else ref.ref)
    else:
        raise AssertionError("the mistake was not refused")
