# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs conformance programs (LANGUAGE.md) through the Python package: standard input to standard output.

SLABBY_BACKEND chooses the binding, cffi or swig. References are held as SlabRef objects that own nothing.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import slabby
from runner_inspect import NAMES, UNSET, Checks, Pool, show
from runner_waits import Waits
from slabby import _backend
from slabby._enums import Binding, SlabState, Status
from enums import OPTIONS, STATUSES

PERIOD = 251
ROUND = bytes(range(PERIOD)) * 300
OK = '{"status":"OK"}'
BACKEND = _backend.load(os.environ.get("SLABBY_BACKEND", "cffi"))
CORE = BACKEND.core
BINDING = Binding[BACKEND.name.upper()]
LINES = {name: f'{{"status":"{name}"}}' for name in STATUSES}

Ref = Any


def pattern(seed: int, size: int) -> bytes:
    start = seed % PERIOD
    return ROUND[start : start + size]


def value_of(ref: Ref) -> int:
    return ref if isinstance(ref, int) else ref.ref


def name_of(error: slabby.SlabbyError) -> str:
    return NAMES[error.status]


class Machine(Checks, Waits):
    """The registers, and one method an instruction."""

    def __init__(self) -> None:
        super().__init__()
        self.binding = BINDING
        self.pools: dict[str, Pool] = {}
        self.seen: dict[str, dict[int, int]] = {}
        self.refs: dict[str, Ref] = {}
        self.fasts: dict[str, tuple[Any, int, Pool]] = {}
        self.views: dict[str, memoryview | None] = {}
        self.buried: list[Pool] = []
        self.unraised: str | None = None
        self.steps: dict[str, Callable[..., str]] = {
            name[3:]: getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    def note_unraisable(self, hook: Any) -> None:
        """What the end of a view has to say comes here: Python has no other way."""
        if isinstance(hook.exc_value, slabby.SlabbyError):
            self.unraised = name_of(hook.exc_value)
        else:
            sys.__unraisablehook__(hook)

    def step(self, line: str) -> str:
        words = line.split()
        if words[0][0] == "@":
            del words[0]
        try:
            if len(words) > 1 and words[1] == "=":
                return self.steps[words[2]](words[0], *words[3:])
            return self.steps[words[0]](*words[1:])
        except slabby.SlabbyError as error:
            return LINES[name_of(error)]

    def clean_up(self) -> None:
        self.end_waits()
        view = None
        for name in sorted(self.views, key=lambda name: int(name[1:])):
            view = self.views.pop(name)
            if view is not None:
                view.release()
        del view
        self.fasts.clear()
        self.refs.clear()
        for pool in self.pools.values():
            for slab in list(pool.live()):
                if slab.state == SlabState.LIVE_FAST:
                    pool.deallocate_fast(slab.id)
                    continue
                self._ignore(CORE.slabby_release_deferred, pool, slab.ref)
                for _ in range(slab.pins):
                    self._ignore(CORE.slabby_unpin, pool, slab.ref)
        self._bury()
        self.pools.clear()
        self.seen.clear()

    @staticmethod
    def _ignore(call: Callable[..., Any], *arguments: Any) -> None:
        try:
            call(*arguments)
        except slabby.SlabbyError:
            pass

    # --------------------------------------------------------------------------------- a pool's life

    def do_library(self) -> str:
        return show("OK", version=CORE.slabby_version(), abi=CORE.slabby_abi_version())

    def do_sleep(self, duration: str) -> str:
        time.sleep(int(duration) / 1e9)
        return OK

    def do_create(self, target: str, size: str, capacity: str, *options: str) -> str:
        if target in self.pools:
            return UNSET
        settings = CORE.slabby_options_create()
        pool = slabby.Allocator.__new__(slabby.Allocator)
        try:
            for option in options:
                name, text = option.split("=", 1)
                if name == "preset":
                    CORE.slabby_options_preset(settings, text)
                else:
                    CORE.slabby_options_set_text(settings, name, text)
            CORE.slabby_set_binding(BINDING)
            pool._create(
                BACKEND.table, BACKEND.native, int(size), int(capacity), BACKEND.pointer(settings)
            )
        finally:
            CORE.slabby_set_binding(-1)
            CORE.slabby_options_destroy(settings)
        pool._hold(BACKEND)
        self.pools[target] = pool
        self.seen[target] = {}
        return OK

    def do_adopt(self, target: str, source: str) -> str:
        if source not in self.pools or target in self.pools:
            return UNSET
        self.pools[target] = slabby.Allocator.adopt(
            *self.pools[source].handle(), backend=BACKEND.name
        )
        self.seen[target] = self.seen[source]
        return OK

    def do_close(self, name: str) -> str:
        if name not in self.pools:
            return UNSET
        self.pools[name].close()
        return OK

    def do_destroy(self, name: str) -> str:
        """The objects of this handle live on while views do, and drop a share when they end: see _bury."""
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        CORE.slabby_destroy(pool)
        del self.pools[name]
        for key, ref in self.refs.items():
            if not isinstance(ref, int) and ref.allocator is pool:
                self.refs[key] = ref.ref
        self.buried.append(pool)
        try:
            CORE.slabby_size(pool)
        except slabby.ClosedError:
            self._forget(pool._address)
        return OK

    def _forget(self, address: int) -> None:
        """The pool is gone: whatever still looks at it ends before its place gets another pool."""
        for key, view in self.views.items():
            if view is not None and view.obj.allocator._address == address:
                self.views[key] = None
                view.release()
        for key, (slab, number, pool) in self.fasts.items():
            if slab is not None and pool._address == address:
                self.fasts[key] = (None, number, None)
        self.buried = [pool for pool in self.buried if pool._address != address]

    def _bury(self) -> None:
        """Objects of handles that were destroyed get a share of the pool, which their end gives back."""
        for pool in self.buried:
            CORE.slabby_retain(pool)
        self.buried.clear()

    def do_reset(self, pool: str) -> str:
        if pool not in self.pools:
            return UNSET
        self.pools[pool].reset()
        return OK

    # -------------------------------------------------------------------------- allocate and release

    def do_allocate(self, target: str, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        ref = pool.allocate()
        ref.detach()
        self.refs[target] = ref
        return OK

    def do_allocate_timeout(self, target: str, name: str, timeout: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        ref = pool.allocate(timeout=int(timeout) / 1e9)
        ref.detach()
        self.refs[target] = ref
        return OK

    def do_allocate_batch(self, target: str, name: str, count: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        for key, ref in enumerate(pool.allocate_batch(int(count)), int(target[1:])):
            ref.detach()
            self.refs[f"r{key}"] = ref
        return OK

    def do_allocate_fast(self, target: str, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        self.fasts[target] = (*pool.allocate_fast(), pool)
        return OK

    def do_deallocate_fast(self, name: str, fast: str) -> str:
        pool = self.pools.get(name)
        if pool is None or fast not in self.fasts:
            return UNSET
        number = self.fasts[fast][1]
        try:
            pool.deallocate_fast(number)
        except slabby.MemoryCorruptionError:
            self.fasts[fast] = (None, number, None)
            raise
        self.fasts[fast] = (None, number, None)
        return OK

    def do_release(self, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        ref = self.refs.get(key, 0)
        if isinstance(ref, int):
            CORE.slabby_release(pool, ref)
        else:
            pool.deallocate(ref)
        return OK

    def do_release_deferred(self, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        ref = self.refs.get(key, 0)
        if isinstance(ref, int) or ref.allocator is not pool:
            CORE.slabby_release_deferred(pool, value_of(ref))
        else:
            ref.release_deferred()
        return OK

    def do_release_batch(self, name: str, *keys: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        values = [value_of(self.refs.get(key, 0)) for key in keys]
        released, status = CORE.slabby_release_batch(pool, values)
        return show(NAMES[status], released=released)

    # ----------------------------------------------------------------------------------------- bytes

    def _address(self, name: str, key: str) -> tuple[int, int] | None:
        """Where the bytes are, and how many; None: no pool."""
        pool = self.pools.get(name)
        if pool is None:
            return None
        ref = self.refs.get(key, 0)
        if isinstance(ref, int) or ref.allocator is not pool:
            return CORE.slabby_data(pool, value_of(ref)), pool.slab_size
        return ref.address, pool.slab_size

    def do_write(self, name: str, key: str, seed: str) -> str:
        found = self._address(name, key)
        if found is None:
            return UNSET
        ctypes.memmove(found[0], pattern(int(seed), found[1]), found[1])
        return OK

    def do_digest(self, name: str, key: str) -> str:
        found = self._address(name, key)
        return (
            UNSET
            if found is None
            else f'{{"status":"OK","crc":{zlib.crc32(ctypes.string_at(*found))}}}'
        )

    def do_flip(self, name: str, key: str, offset: str) -> str:
        found = self._address(name, key)
        if found is None:
            return UNSET
        ctypes.c_ubyte.from_address(found[0] + int(offset)).value ^= 90
        return OK

    def _fast(self, name: str, fast: str) -> Any:
        return self.fasts.get(fast, (None, 0, None))[0] if name in self.pools else None

    def do_write_fast(self, name: str, fast: str, seed: str) -> str:
        slab = self._fast(name, fast)
        if slab is None:
            return UNSET
        with memoryview(slab) as view:
            view[:] = pattern(int(seed), len(view))
        return OK

    def do_digest_fast(self, name: str, fast: str) -> str:
        slab = self._fast(name, fast)
        return UNSET if slab is None else f'{{"status":"OK","crc":{zlib.crc32(slab)}}}'

    # ----------------------------------------------------------------------------------------- views

    def do_view(self, target: str, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None or target in self.views:
            return UNSET
        ref = self.refs.get(key, 0)
        if isinstance(ref, int) or ref.allocator is not pool:
            value = value_of(ref)
            ref = pool._wrap(
                value,
                CORE.slabby_data(pool, value) if CORE.slabby_is_valid(pool, value) else 0,
                False,
            )
        view = self.views[target] = memoryview(ref)
        return f'{{"status":"OK","size":{len(view)}}}'

    def do_slice(self, key: str, offset: str, count: str) -> str:
        view = self.views.get(key)
        if view is None:
            return UNSET
        part = view[int(offset) : int(offset) + int(count)]
        return f'{{"status":"OK","size":{len(part)},"crc":{zlib.crc32(part)}}}'

    def do_unview(self, key: str) -> str:
        view = self.views.pop(key, None)
        if view is None:
            return UNSET
        self.unraised = None
        view.release()
        return LINES[self.unraised or "OK"]

    def do_pin(self, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        CORE.slabby_pin(pool, value_of(self.refs.get(key, 0)))
        return OK

    def do_unpin(self, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        CORE.slabby_unpin(pool, value_of(self.refs.get(key, 0)))
        return OK

    # ------------------------------------------------------------------------- what a reference says

    def do_is_valid(self, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        ref = self.refs.get(key, 0)
        if isinstance(ref, int) or ref.allocator is not pool:
            return show("OK", valid=bool(CORE.slabby_is_valid(pool, value_of(ref))))
        return show("OK", valid=ref.is_valid)

    def do_id(self, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        ref = self.refs.get(key, 0)
        if isinstance(ref, int) or ref.allocator is not pool:
            number = CORE.slabby_id(pool, value_of(ref))
        else:
            number = ref.id
        seen = self.seen[name]
        return show("OK", slab=seen.setdefault(number, len(seen)))

    def do_size(self, name: str) -> str:
        pool = self.pools.get(name)
        return UNSET if pool is None else show("OK", size=CORE.slabby_size(pool))

    def do_ref_text(self, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        text = CORE.slabby_ref_text(pool, value_of(self.refs.get(key, 0)))
        return show("OK", name=text.rpartition(":")[0])

    def do_stack(self, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        return show("OK", empty=not CORE.slabby_stack(pool, value_of(self.refs.get(key, 0))))

    def do_explain(self, name: str, key: str, status: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        text = pool.explain(value_of(self.refs.get(key, 0)), Status(STATUSES[status]))
        return show("OK", empty=not text)

    def do_set_label(self, name: str, key: str, label: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        ref = self.refs.get(key, 0)
        if isinstance(ref, int) or ref.allocator is not pool:
            CORE.slabby_set_label(pool, value_of(ref), int(label))
        else:
            ref.label = int(label)
        return OK

    def do_get_label(self, name: str, key: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        ref = self.refs.get(key, 0)
        if isinstance(ref, int) or ref.allocator is not pool:
            return show("OK", label=CORE.slabby_get_label(pool, value_of(ref)))
        return show("OK", label=ref.label)

    def do_copy(self, target: str, key: str) -> str:
        self.refs[target] = self.refs.get(key, 0)
        return OK

    def do_forge(self, target: str, key: str, kind: str) -> str:
        value = value_of(self.refs.get(key, 0))
        self.refs[target] = {
            "zero": 0,
            "ones": 2**64 - 1,
            "tag": value ^ 2**63,
            "generation": (value + 2**40) % 2**64,
        }[kind]
        return OK

    # --------------------------------------------------------------------------- the pool as a whole

    @staticmethod
    def _option(name: str) -> int:
        return int(name[1:]) if name[0] == "#" else OPTIONS[name]["id"]

    def do_set_option(self, name: str, option: str, value: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        CORE.slabby_set_option(pool, self._option(option), int(value))
        return OK

    def do_get_option(self, name: str, option: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        return show("OK", value=CORE.slabby_get_option(pool, self._option(option)))

    def do_breaker(self, name: str, mode: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        pool.breaker_force(int(mode))
        return OK

    def do_resize(self, name: str, capacity: str) -> str:
        pool = self.pools.get(name)
        return UNSET if pool is None else show("OK", awaited=pool.resize(int(capacity)))

    def do_trim(self, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        pool.trim()
        return OK

    def do_reclaim(self, name: str) -> str:
        pool = self.pools.get(name)
        return UNSET if pool is None else show("OK", count=pool.reclaim())

    def do_health_tick(self, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        pool.health_tick()
        return OK


def main() -> int:
    machine = Machine()
    sys.unraisablehook = machine.note_unraisable
    out: list[str] = []
    for line in sys.stdin:
        if line.startswith("program "):
            machine.clean_up()
            out.append(f'{{"program":{int(line.split()[1])}}}')
            print("\n".join(out))
            out.clear()
        elif line[0] not in "#\n":
            out.append(machine.step(line))
    machine.clean_up()
    print("\n".join(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
