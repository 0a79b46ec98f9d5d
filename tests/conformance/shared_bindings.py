# SPDX-License-Identifier: GPL-3.0-or-later
"""The bindings of shared.py: registers that the driver sets and fetches, and instructions carried out in between.

CONFORM_C and CONFORM_GO name the runners of C and Go as libraries, both on the core of the Python package.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import slabby

HERE = Path(__file__).resolve().parent
UNSET = '{"status":"-"}'
LIVE_FAST = int(slabby.SlabState.LIVE_FAST)


class Binding(Protocol):
    """Registers by their names; a pool's address is what its handles have in common."""

    def new(self) -> None: ...
    def has(self, register: str) -> bool: ...
    def join(self, register: str, address: int) -> None: ...
    def address(self, register: str) -> int: ...
    def leave(self, register: str) -> None: ...
    def end(self, address: int) -> None: ...
    def forget(self, address: int) -> None: ...
    def set_ref(self, register: str, ref: int) -> None: ...
    def ref(self, register: str) -> int: ...
    def set_fast(self, register: str, number: int) -> None: ...
    def fast(self, register: str) -> int: ...
    def viewed(self, register: str) -> bool: ...
    def waiting(self, address: int) -> int: ...
    def run(self, line: str) -> str: ...
    def finish(self) -> None: ...
    def collect(self) -> None: ...
    def instance(self) -> int: ...


class Core:
    """The core that all bindings share, called without any of them."""

    def __init__(self) -> None:
        self.path = Path(slabby.__file__).parent / "libslabby.so.0"
        self.library = ctypes.CDLL(str(self.path))
        self.library.slabby_instance_id.restype = ctypes.c_uint64
        self.watcher = slabby.Allocator(64, 1)
        self.instance = self.watcher.handle()[1]

    def adopt(self, address: int) -> int:
        """Another owner of the pool; its handle."""
        handle = ctypes.c_void_p()
        status = self.library.slabby_adopt(
            ctypes.byref(handle), ctypes.c_uint64(address), ctypes.c_uint64(self.instance), None
        )
        if status:
            raise RuntimeError(f"slabby_adopt answers {status}")
        return handle.value or 0

    def drop(self, address: int) -> None:
        status = self.library.slabby_destroy(ctypes.c_void_p(address))
        if status:
            raise RuntimeError(f"slabby_destroy answers {status}")

    def exists(self, address: int) -> bool:
        size = ctypes.c_uint64()
        status = self.library.slabby_size(ctypes.byref(size), ctypes.c_void_p(address))
        return int(status) == 0

    def _pool(self, address: int) -> slabby.Allocator:
        return slabby.Allocator.adopt(address, self.instance)

    def slabs_out(self, address: int) -> bool:
        stats = self._pool(address).stats()
        return stats.used_slabs + stats.heap_slabs > 0

    def slab_id(self, address: int, ref: int) -> int:
        number = ctypes.c_uint32()
        self.library.slabby_id(ctypes.byref(number), ctypes.c_void_p(address), ctypes.c_uint64(ref))
        return number.value

    def release_everything(self, address: int) -> None:
        handle = ctypes.c_void_p(address)
        for slab in list(self._pool(address).live()):
            if slab.state == LIVE_FAST:
                self.library.slabby_deallocate_fast(handle, ctypes.c_uint32(slab.id))
                continue
            self.library.slabby_release_deferred(handle, ctypes.c_uint64(slab.ref))
            for _ in range(slab.pins):
                self.library.slabby_unpin(handle, ctypes.c_uint64(slab.ref))

    def check_alone(self, bindings: Iterable[Binding]) -> None:
        """One core serves all: every binding gives its number, and the process maps one."""
        instances = {binding.instance() for binding in bindings}
        mapped = {
            line.split(maxsplit=5)[5].strip()
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "libslabby" in line
        }
        if instances != {self.instance} or mapped != {str(self.path.resolve())}:
            raise RuntimeError(f"not one core: instances {instances}, libraries {mapped}")


def _index(register: str) -> int:
    return int(register[1:])


class CBinding:
    """The C runner as a library. Each register is an owner of its pool."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.library = ctypes.CDLL(os.environ["CONFORM_C"])
        self.library.conform_pool.restype = ctypes.c_void_p
        self.library.conform_ref.restype = ctypes.c_uint64
        self.library.conform_waiting.restype = ctypes.c_uint64
        self.library.conform_run.restype = ctypes.c_char_p
        self.library.conform_set_ref.argtypes = [ctypes.c_uint32, ctypes.c_uint64]
        self.pools: dict[str, int] = {}

    def new(self) -> None:
        self.library.conform_new()
        self.pools.clear()

    def has(self, register: str) -> bool:
        return register in self.pools

    def join(self, register: str, address: int) -> None:
        handle = self.core.adopt(address)
        self.library.conform_set_pool(_index(register), ctypes.c_void_p(handle))
        self.pools[register] = handle

    def address(self, register: str) -> int:
        handle = self.library.conform_pool(_index(register))
        self.pools[register] = handle
        return int(handle)

    def leave(self, register: str) -> None:
        line = self.run(f"destroy {register}")
        if line != '{"status":"OK"}':
            raise RuntimeError(f"destroy of one owner of several answers {line}")
        del self.pools[register]

    def end(self, address: int) -> None:
        for register in [r for r, handle in self.pools.items() if handle == address]:
            self.leave(register)

    def forget(self, address: int) -> None:
        pass

    def set_ref(self, register: str, ref: int) -> None:
        self.library.conform_set_ref(_index(register), ref)

    def ref(self, register: str) -> int:
        return int(self.library.conform_ref(_index(register)))

    def set_fast(self, register: str, number: int) -> None:
        self.library.conform_set_fast(_index(register), number)

    def fast(self, register: str) -> int:
        return int(self.library.conform_fast(_index(register)))

    def viewed(self, register: str) -> bool:
        return bool(self.library.conform_viewed(_index(register)))

    def waiting(self, address: int) -> int:
        """Takes what was granted; how many wait still."""
        for register, handle in self.pools.items():
            if handle == address:
                return int(self.library.conform_waiting(_index(register)))
        return 0

    def run(self, line: str) -> str:
        text = ctypes.create_string_buffer(line.encode())
        return str(self.library.conform_run(text).decode())

    def finish(self) -> None:
        pass

    def collect(self) -> None:
        pass

    def instance(self) -> int:
        return int(self.core.library.slabby_instance_id())


def _runner(backend: str) -> Any:
    """runner.py once more, for one backend: it chooses its backend when it is loaded."""
    spec = importlib.util.spec_from_file_location(f"runner_{backend}", HERE / "runner.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    before = os.environ.get("SLABBY_BACKEND")
    os.environ["SLABBY_BACKEND"] = backend
    try:
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del os.environ["SLABBY_BACKEND"]
        else:
            os.environ["SLABBY_BACKEND"] = before
    return module


class PythonBinding:
    """The Python runner over one backend. Each register is an owner of its pool."""

    machines: list[Any] = []

    def __init__(self, core: Core, backend: str) -> None:
        self.core = core
        self.backend = backend
        self.runner = _runner(backend)
        self.machine = self.runner.Machine()
        self.machines.append(self.machine)
        sys.unraisablehook = self._unraisable

    @classmethod
    def _unraisable(cls, hook: Any) -> None:
        """Both machines hear of it; the one that is giving a view back looks."""
        for machine in cls.machines:
            machine.unraised = None
        if isinstance(hook.exc_value, slabby.SlabbyError):
            for machine in cls.machines:
                machine.note_unraisable(hook)
        else:
            sys.__unraisablehook__(hook)

    def new(self) -> None:
        for registers in ("views", "fasts", "refs", "pools", "seen"):
            getattr(self.machine, registers).clear()

    def has(self, register: str) -> bool:
        return register in self.machine.pools

    def join(self, register: str, address: int) -> None:
        self.machine.pools[register] = slabby.Allocator.adopt(
            address, self.core.instance, backend=self.backend
        )
        self.machine.seen[register] = {}

    def address(self, register: str) -> int:
        return int(self.machine.pools[register].handle()[0])

    def leave(self, register: str) -> None:
        line = self.machine.do_destroy(register)
        if line != '{"status":"OK"}':
            raise RuntimeError(f"destroy of one owner of several answers {line}")

    def end(self, address: int) -> None:
        for register, pool in list(self.machine.pools.items()):
            if pool.handle()[0] == address:
                self.leave(register)

    def forget(self, address: int) -> None:
        self.machine._forget(address)

    def set_ref(self, register: str, ref: int) -> None:
        known = self.machine.refs.get(register, 0)
        if self.runner.value_of(known) != ref:
            self.machine.refs[register] = ref

    def ref(self, register: str) -> int:
        return int(self.runner.value_of(self.machine.refs.get(register, 0)))

    def set_fast(self, register: str, number: int) -> None:
        self.machine.fasts[register] = (None, number, None)

    def fast(self, register: str) -> int:
        return int(self.machine.fasts[register][1])

    def viewed(self, register: str) -> bool:
        return register in self.machine.views

    def waiting(self, address: int) -> int:
        return int(self.machine.count_waiting(address))

    def run(self, line: str) -> str:
        return str(self.machine.step(line))

    def finish(self) -> None:
        self.machine._bury()

    def collect(self) -> None:
        pass

    def instance(self) -> int:
        return int(self.runner.CORE.slabby_instance_id())


class GoBinding:
    """The Go runner as a library. One owner serves all registers of a pool."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.library = ctypes.CDLL(os.environ["CONFORM_GO"])
        number, text = ctypes.c_uint64, ctypes.c_char_p
        self.library.conform_address.restype = number
        self.library.conform_ref.restype = number
        self.library.conform_instance.restype = number
        self.library.conform_viewed.restype = ctypes.c_bool
        self.library.conform_join.argtypes = [text, number, number]
        self.library.conform_set_ref.argtypes = [text, number]
        self.library.conform_end.argtypes = [number]
        self.library.conform_await_grants.argtypes = [number, number]
        self.buffer = ctypes.create_string_buffer(1 << 16)
        self.pools: dict[str, int] = {}

    def new(self) -> None:
        self.library.conform_new()
        self.pools.clear()

    def has(self, register: str) -> bool:
        return register in self.pools

    def join(self, register: str, address: int) -> None:
        status = self.library.conform_join(register.encode(), address, self.core.instance)
        if status:
            raise RuntimeError(f"Go's Adopt answers {status}")
        self.pools[register] = address

    def address(self, register: str) -> int:
        self.pools[register] = int(self.library.conform_address(register.encode()))
        return self.pools[register]

    def leave(self, register: str) -> None:
        self.library.conform_leave(register.encode())
        del self.pools[register]

    def end(self, address: int) -> None:
        for register in [r for r, where in self.pools.items() if where == address]:
            self.leave(register)
        owners = self.library.conform_end(address)
        if owners < 0:
            raise RuntimeError("Go's Close fails")
        for _ in range(owners):
            self.core.drop(address)

    def forget(self, address: int) -> None:
        pass

    def set_ref(self, register: str, ref: int) -> None:
        self.library.conform_set_ref(register.encode(), ref)

    def ref(self, register: str) -> int:
        return int(self.library.conform_ref(register.encode()))

    def set_fast(self, register: str, number: int) -> None:
        self.library.conform_set_fast(register.encode(), number)

    def fast(self, register: str) -> int:
        return int(self.library.conform_fast(register.encode()))

    def viewed(self, register: str) -> bool:
        return bool(self.library.conform_viewed(register.encode()))

    def waiting(self, address: int) -> int:
        """Go takes what is granted by itself: await_grants() waits for that."""
        return 0

    def await_grants(self, address: int, elsewhere: int) -> None:
        """Until what was granted to goroutines has arrived; who waits through others is no goroutine."""
        self.library.conform_await_grants(address, elsewhere)

    def run(self, line: str) -> str:
        length = self.library.conform_run(line.encode(), self.buffer, len(self.buffer))
        if length < 0:
            raise RuntimeError(f"the Go binding cannot carry out: {line}")
        return self.buffer.raw[:length].decode()

    def finish(self) -> None:
        pass

    def collect(self) -> None:
        self.library.conform_collect()

    def instance(self) -> int:
        return int(self.library.conform_instance())
