# SPDX-License-Identifier: GPL-3.0-or-later
"""The two backends: which one is chosen, and the proof that both speak to one core."""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from slabby import _raise as _raise
from slabby._backend_protocol import Core
from slabby._errors import AbiMismatchError
from slabby._types import Pool

NAMES = ("cffi", "swig")
VARIABLE = "SLABBY_BACKEND"


@dataclass(frozen=True)
class Backend:
    """One loaded backend."""

    name: str
    core: Core
    instance_id: int
    attach: Callable[[Pool, int], None]
    """Makes a new Pool the holder of a handle whose share it takes over."""


_loaded: dict[str, Backend] = {}


def _load_cffi() -> Backend:
    calls: Any = importlib.import_module("slabby._cffi_calls")
    extension: Any = importlib.import_module("slabby._cffi")
    ffi, lib = extension.ffi, extension.lib
    table = lib.slabby_table_address()

    def attach(pool: Pool, handle: int) -> None:
        native = ffi.cast("slabby_allocator *", handle)
        pool._attach(
            table,
            handle,
            lib.slabby_cell_allocate,
            lib.slabby_cell_allocate_fast,
            ffi.cast("slabby_cell *", pool._cell),
            native,
        )

    return Backend("cffi", cast(Core, calls), lib.slabby_instance_id(), attach)


def _load_swig() -> Backend:
    swig: Any = importlib.import_module("slabby._swig")
    table = swig.slabby_table_address()

    def attach(pool: Pool, handle: int) -> None:
        # SWIG's functions take the pool itself and return objects.
        pool._attach(table, handle, swig.slabby_allocate, swig.slabby_allocate_fast, None, None)

    return Backend("swig", cast(Core, swig), swig.slabby_instance_id(), attach)


_LOADERS = {"cffi": _load_cffi, "swig": _load_swig}


def load(name: str) -> Backend:
    """Loads a backend once; refuses one that reaches another core than those already loaded."""
    if name in _loaded:
        return _loaded[name]
    if name not in _LOADERS:
        raise ValueError(f"no backend is called {name!r}; {VARIABLE} may be {' or '.join(NAMES)}")
    backend = _LOADERS[name]()
    for other in _loaded.values():
        if other.instance_id != backend.instance_id:
            raise AbiMismatchError(
                f"backends {other.name} and {name} loaded two cores ({other.instance_id:#x} and "
                f"{backend.instance_id:#x}); reinstall the package so that one libslabby.so.0 is left"
            )
    _loaded[name] = backend
    return backend


def chosen() -> Backend:
    """The backend of SLABBY_BACKEND, cffi by default."""
    return load(os.environ.get(VARIABLE) or NAMES[0])
