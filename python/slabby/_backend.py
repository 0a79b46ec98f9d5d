# SPDX-License-Identifier: GPL-3.0-or-later
"""The two backends: which one is chosen, and the check that both use the same core."""

from __future__ import annotations

import importlib
import os
import re

from slabby import _raise as _raise
from slabby._errors import AbiMismatchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
    from slabby._backend_protocol import Core

NAMES = ("cffi", "swig")
VARIABLE = "SLABBY_BACKEND"


class Backend:
    """One loaded backend."""

    def __init__(
        self,
        name: str,
        core: Core,
        instance_id: int,
        table: int,
        native: Callable[[int], Any] | None,
        pointer: Callable[[Any], Any],
    ) -> None:
        self.name = name
        self.core = core
        self.instance_id = instance_id
        self.table = table
        """Where the core's functions are listed for the methods of Pool."""
        self.native = native
        """Makes of a pool's address the handle as the backend knows it. None: it needs none."""
        self.pointer = pointer
        """An object of the backend as the methods of Pool take it."""


# The messages of the loaders of glibc and musl for a function that the library lacks.
_LACKS = re.compile(r"undefined symbol: (slabby_\w+)|(slabby_\w+): symbol not found")
_LIBRARY = "libslabby.so.0"


def _extension(name: str) -> Any:
    """Imports a module that is linked to the core. If the loader found an older core first, that lacks functions."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        found = _LACKS.search(str(error))
        if found is None:
            raise
        folders = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
        paths = [os.path.join(folder, _LIBRARY) for folder in folders]
        culprit = next((path for path in paths if os.path.exists(path)), None)
        remedy = f"remove {culprit} from LD_LIBRARY_PATH" if culprit else "load no other core first"
        raise AbiMismatchError(
            f"the {_LIBRARY} that this process loaded is older than the package: it has no {found[1] or found[2]}; "
            f"{remedy}"
        ) from error


_loaded: dict[str, Backend] = {}
_default: Backend | None = None


def _load_cffi() -> Backend:
    try:
        # Not in interpreters that share no lock with the main one: cffi's own module keeps state for the process.
        importlib.import_module("_cffi_backend")
    except ImportError as error:
        raise ImportError(
            f"the backend cffi cannot be used here: {error}; set {VARIABLE}=swig, or install cffi",
            name="cffi",
        ) from error
    extension = _extension("slabby._cffi")
    calls: Any = importlib.import_module("slabby._cffi_calls")
    ffi, lib = extension.ffi, extension.lib

    def native(address: int) -> Any:
        return ffi.cast("slabby_allocator *", address)

    def pointer(native: Any) -> int:
        return int(ffi.cast("uintptr_t", native))

    instance_id, table = lib.slabby_instance_id(), lib.slabby_table_address()
    return Backend("cffi", calls, instance_id, table, native, pointer)


def _load_swig() -> Backend:
    swig = _extension("slabby._swig")

    def pointer(capsule: Any) -> Any:
        return capsule

    # SWIG's functions take the pool itself.
    instance_id, table = swig.slabby_instance_id(), swig.slabby_table_address()
    return Backend("swig", swig, instance_id, table, None, pointer)


_LOADERS = {"cffi": _load_cffi, "swig": _load_swig}


def load(name: str) -> Backend:
    """Loads a backend once; refuses a backend that uses another core than the backends loaded before."""
    if not isinstance(name, str):
        raise TypeError(f"backend takes {' or '.join(map(repr, NAMES))}, not {name!r}")
    if name in _loaded:
        return _loaded[name]
    if name not in _LOADERS:
        raise ValueError(
            f"no backend is called {name!r}; choose {' or '.join(map(repr, NAMES))}, also in {VARIABLE}"
        )
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
    """The backend of SLABBY_BACKEND; without it cffi, or swig where cffi refuses this interpreter."""
    global _default
    name = os.environ.get(VARIABLE)
    if name:
        return load(name)
    if _default is None:
        _default = _load_first()
    return _default


def _load_first() -> Backend:
    refusal: ImportError | None = None
    for name in NAMES:
        try:
            return load(name)
        except ImportError as error:
            if isinstance(error, AbiMismatchError):
                raise
            refusal = refusal or error
    assert refusal is not None
    raise refusal
