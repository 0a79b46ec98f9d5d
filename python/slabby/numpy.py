# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays of numpy in slabs (extra `slabby[numpy]`).

>>> import numpy, slabby.numpy
>>> pool = slabby.Allocator(4096, 100)
>>> with slabby.numpy.allocate_from(pool):
...     array = numpy.zeros((16, 16))

`array` lives in a slab of the pool, which it releases when it ends. `ref.array(dtype, shape)` is the reverse: it
shows a slab that you hold as an array.
"""

from __future__ import annotations

import importlib
import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager

import numpy

from slabby._option_values import check_pool
from slabby._types import SlabRef, _set_numpy_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from slabby._allocator import Allocator

__all__ = ["allocate_from"]

# What numpy relies on, as malloc gives it.
ALIGNMENT = 16


def _api() -> Any:
    """numpy's table of functions for C; numpy 2 moved the module."""
    for package in ("numpy._core", "numpy.core"):
        try:
            return importlib.import_module(package + "._multiarray_umath")._ARRAY_API
        except ImportError:
            continue
    raise NotImplementedError(f"numpy {numpy.__version__} has no C API that is known here")


@contextmanager
def allocate_from(
    pool: Allocator, *, otherwise: Literal["refuse", "system"] = "refuse"
) -> Iterator[None]:
    """Arrays that this block makes live in slabs of the pool, each in one of its own.

    An array that is larger than a slab, or for which none is free, gets a MemoryError; with `otherwise="system"` its
    memory comes from the system. The block applies only to the thread or task that enters it. Arrays may outlive it:
    each releases its slab when it ends, and keeps the pool's memory until then. `numpy` 1.22 or later (NEP 49).
    """
    check_pool(pool)
    if otherwise not in ("refuse", "system"):
        raise ValueError(f"otherwise is {otherwise!r}; choose 'refuse' or 'system'")
    alignment = pool.get_option("alignment")
    if alignment < ALIGNMENT:
        raise ValueError(
            f"the option alignment of pool {pool.name!r} is {alignment}; numpy needs {ALIGNMENT} or more: make the "
            f"pool with alignment={ALIGNMENT} or leave the option out"
        )
    api = _api()
    name = f"slabby:{pool.name}".encode()[:126].decode("utf-8", "ignore")
    before = _set_numpy_handler(api, pool._numpy_handler(name, otherwise == "system"))
    try:
        yield
    finally:
        _set_numpy_handler(api, before)


def _shape_of(shape: Any, item_size: int, slab_size: int) -> tuple[int, ...]:
    """The whole shape; one dimension may be -1, as in reshape()."""
    if shape is None:
        return (slab_size // item_size,)
    try:
        sizes = (
            tuple(map(operator.index, shape))
            if hasattr(shape, "__iter__")
            else (operator.index(shape),)
        )
    except TypeError:
        raise TypeError(f"shape takes a whole number or several, not {shape!r}") from None
    if min(sizes, default=0) < -1 or sizes.count(-1) > 1:
        raise ValueError(
            f"shape is {shape!r}; choose sizes from 0 on, and at most one -1 for what fits"
        )
    if -1 in sizes:
        others = math.prod(size for size in sizes if size != -1)
        fits = slab_size // (item_size * others) if others else 0
        sizes = tuple(fits if size == -1 else size for size in sizes)
    return sizes


def _array_of(ref: SlabRef, dtype: Any, shape: Any) -> numpy.ndarray[Any, Any]:
    """What SlabRef.array() returns."""
    kind = numpy.dtype(numpy.uint8 if dtype is None else dtype)
    if kind.hasobject or kind.itemsize == 0:
        raise TypeError(
            f"dtype is {kind!r}; choose one of a fixed size without Python objects, such as 'float64'"
        )
    sizes = _shape_of(shape, kind.itemsize, ref.size)
    count = math.prod(sizes)
    if count * kind.itemsize > ref.size:
        raise ValueError(
            f"shape {sizes} of {kind} takes {count * kind.itemsize} bytes and a slab has {ref.size}; choose a smaller "
            "shape, or make the pool with a larger slab_size"
        )
    # An item may be an array itself: numpy adds its dimensions to those of the whole.
    flat = numpy.frombuffer(memoryview(ref), kind.base, count * math.prod(kind.shape))
    return flat.reshape(sizes + kind.shape)
