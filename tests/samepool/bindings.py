# SPDX-License-Identifier: GPL-3.0-or-later
"""The four bindings of one pool, each behind the same few calls. References are plain numbers here."""

from __future__ import annotations

import ctypes
import json
import os
import random
import struct
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slabby
from slabby import Status

STAMP = struct.Struct("=QQ")
# No wait takes so long where there are slabs enough.
LONGEST_WAIT_S = 60
SEAL = 0x5AB1AB1E5EA1ED00
OK = 0


def golib() -> ctypes.CDLL:
    """The Go library; loading it a second time gives the first one again."""
    library = ctypes.CDLL(os.environ["SAMEPOOL_GOLIB"])
    library.golib_instance_id.restype = ctypes.c_uint64
    library.golib_join.argtypes = library.golib_join_logged.argtypes = [ctypes.c_uint64] * 2
    library.golib_allocate.argtypes = [ctypes.c_int32, ctypes.POINTER(ctypes.c_uint64)]
    library.golib_allocate_timeout.argtypes = [
        ctypes.c_int32,
        ctypes.POINTER(ctypes.c_uint64),
        ctypes.c_uint64,
    ]
    text: list[Any] = [ctypes.c_int32, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_int32]
    library.golib_write.argtypes = library.golib_read.argtypes = text
    for name in ("release", "release_deferred", "pin", "unpin"):
        getattr(library, "golib_" + name).argtypes = [ctypes.c_int32, ctypes.c_uint64]
    library.golib_set_label.argtypes = [ctypes.c_int32, ctypes.c_uint64, ctypes.c_uint64]
    number, pointer = ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)
    library.golib_work.argtypes = [pointer, ctypes.c_int32, pointer, number, number, number]
    library.market_work.argtypes = [pointer, number, pointer, number, number, number]
    library.market_swap.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    library.market_swap.restype = ctypes.c_uint64
    return library


def golib_log() -> list[dict[str, Any]]:
    """What Go's slog wrote of the pools of golib_join_logged, a record each."""
    text = ctypes.create_string_buffer(1 << 16)
    length = golib().golib_log(text, len(text))
    return [json.loads(line) for line in text.raw[:length].decode().splitlines()]


def core_path() -> Path:
    """The library that both Python backends use."""
    return Path(slabby.__file__).parent / "libslabby.so.0"


class Market:
    """Slots that hold one live reference each; exchange.h describes the trade."""

    def __init__(self, slots: int) -> None:
        self.slots = (ctypes.c_uint64 * slots)()
        self._swap = golib().market_swap

    def swap(self, at: int, ref: int) -> int:
        return int(self._swap(ctypes.addressof(self.slots) + 8 * at, ref))


class PythonBinding:
    """A backend of the Python package. A pin is an exported view."""

    def __init__(self, name: str, handle: tuple[int, int]) -> None:
        self.name = name
        self.pool = slabby.Allocator.adopt(*handle, backend=name)
        self._views: dict[int, list[memoryview]] = defaultdict(list)

    def instance_id(self) -> int:
        return self.pool.handle()[1]

    def _status(self, call: Callable[[], Any]) -> int:
        try:
            call()
        except slabby.SlabbyError as error:
            return int(error.status)
        return OK

    def allocate(self) -> tuple[int, int]:
        made: list[int] = []
        status = self._status(lambda: made.append(self.pool.allocate().detach()))
        return status, made[0] if made else 0

    def wait(self, seconds: int) -> tuple[int, int]:
        made: list[int] = []
        status = self._status(lambda: made.append(self.pool.allocate(timeout=seconds).detach()))
        return status, made[0] if made else 0

    def write(self, ref: int, text: bytes) -> int:
        def write() -> None:
            with memoryview(self.pool.from_ref(ref)) as view:
                view[: len(text)] = text

        return self._status(write)

    def read(self, ref: int, length: int) -> tuple[int, bytes]:
        found: list[bytes] = []

        def read() -> None:
            with memoryview(self.pool.from_ref(ref)) as view:
                found.append(bytes(view[:length]))

        status = self._status(read)
        return status, found[0] if found else b""

    def pin(self, ref: int) -> int:
        def pin() -> None:
            self._views[ref].append(memoryview(self.pool.from_ref(ref)))

        return self._status(pin)

    def unpin(self, ref: int) -> int:
        return self._status(lambda: self._views[ref].pop().release())

    def _bare(self, ref: int) -> slabby.SlabRef:
        """A SlabRef that was made when the reference was still good, as far as a release can tell."""
        return self.pool._wrap(ref, 0, False)

    def release(self, ref: int) -> int:
        return self._status(self._bare(ref).release)

    def release_deferred(self, ref: int) -> int:
        return self._status(self._bare(ref).release_deferred)

    def work(self, market: Market, milliseconds: int, seed: int) -> tuple[int, int]:
        """Trades for a time; raises what must not be. Returns 0 and the number of trades."""
        dice = random.Random(seed)
        until = time.monotonic() + milliseconds / 1000
        trades = 0
        while time.monotonic() < until:
            ref = self.pool.allocate(timeout=LONGEST_WAIT_S if dice.randrange(8) == 0 else None)
            with memoryview(ref) as view:
                assert STAMP.unpack_from(view)[0] == 0, "a slab is in two hands"
                STAMP.pack_into(view, 0, ref.ref, ref.ref ^ SEAL)
            got = market.swap(dice.randrange(len(market.slots)), ref.detach())
            self._buy(got, dice)
            trades += 1
        return OK, trades

    def _buy(self, number: int, dice: random.Random) -> None:
        ref = self.pool.from_ref(number, owning=True)
        with memoryview(ref) as view:
            assert STAMP.unpack_from(view) == (number, number ^ SEAL), "a slab was written by two"
            if dice.randrange(4) == 0:
                assert self._status(ref.release) == Status.PINNED
            STAMP.pack_into(view, 0, 0, 0)
            if dice.randrange(8) == 0:
                ref.release_deferred()  # to the end of the view
                return
        ref.release()
        if dice.randrange(16) == 0:
            assert self.release(number) == Status.DOUBLE_DEALLOCATION


class GoBinding:
    """The Go package, in a library of its own that uses the same core."""

    name = "go"

    def __init__(self, handle: tuple[int, int]) -> None:
        self.library = golib()
        self.index = int(self.library.golib_join(*handle))
        assert self.index >= 0, f"golib_join answers {self.index}"

    def instance_id(self) -> int:
        return int(self.library.golib_instance_id())

    def allocate(self) -> tuple[int, int]:
        ref = ctypes.c_uint64()
        status = self.library.golib_allocate(self.index, ctypes.byref(ref))
        return int(status), ref.value

    def wait(self, seconds: int) -> tuple[int, int]:
        ref = ctypes.c_uint64()
        status = self.library.golib_allocate_timeout(
            self.index, ctypes.byref(ref), seconds * 1_000_000_000
        )
        return int(status), ref.value

    def write(self, ref: int, text: bytes) -> int:
        return int(self.library.golib_write(self.index, ref, text, len(text)))

    def read(self, ref: int, length: int) -> tuple[int, bytes]:
        buffer = ctypes.create_string_buffer(length)
        status = self.library.golib_read(self.index, ref, buffer, length)
        return int(status), buffer.raw if status == OK else b""

    def pin(self, ref: int) -> int:
        return int(self.library.golib_pin(self.index, ref))

    def unpin(self, ref: int) -> int:
        return int(self.library.golib_unpin(self.index, ref))

    def release(self, ref: int) -> int:
        return int(self.library.golib_release(self.index, ref))

    def release_deferred(self, ref: int) -> int:
        return int(self.library.golib_release_deferred(self.index, ref))

    def work(self, market: Market, milliseconds: int, seed: int) -> tuple[int, int]:
        trades = ctypes.c_uint64()
        fault = self.library.golib_work(
            trades, self.index, market.slots, len(market.slots), milliseconds, seed
        )
        return int(fault), trades.value


class CBinding:
    """The C functions themselves."""

    name = "c"

    def __init__(self, handle: tuple[int, int]) -> None:
        self.core = ctypes.CDLL(str(core_path()))
        self.core.slabby_instance_id.restype = ctypes.c_uint64
        self.handle = ctypes.c_void_p(handle[0])

    def _call(self, name: str, ref: int) -> int:
        return int(getattr(self.core, name)(self.handle, ctypes.c_uint64(ref)))

    def instance_id(self) -> int:
        return int(self.core.slabby_instance_id())

    def allocate(self) -> tuple[int, int]:
        ref = ctypes.c_uint64()
        status = self.core.slabby_allocate(ctypes.byref(ref), None, self.handle)
        return int(status), ref.value

    def wait(self, seconds: int) -> tuple[int, int]:
        ref = ctypes.c_uint64()
        status = self.core.slabby_allocate_timeout(
            ctypes.byref(ref), None, self.handle, ctypes.c_uint64(seconds * 1_000_000_000)
        )
        return int(status), ref.value

    def _data(self, ref: int) -> tuple[int, int]:
        data = ctypes.c_void_p()
        status = self.core.slabby_data(ctypes.byref(data), self.handle, ctypes.c_uint64(ref))
        return int(status), data.value or 0

    def write(self, ref: int, text: bytes) -> int:
        status, address = self._data(ref)
        if status == OK:
            ctypes.memmove(address, text, len(text))
        return status

    def read(self, ref: int, length: int) -> tuple[int, bytes]:
        status, address = self._data(ref)
        return status, ctypes.string_at(address, length) if status == OK else b""

    def pin(self, ref: int) -> int:
        return self._call("slabby_pin", ref)

    def unpin(self, ref: int) -> int:
        return self._call("slabby_unpin", ref)

    def release(self, ref: int) -> int:
        return self._call("slabby_release", ref)

    def release_deferred(self, ref: int) -> int:
        return self._call("slabby_release_deferred", ref)

    def work(self, market: Market, milliseconds: int, seed: int) -> tuple[int, int]:
        trades = ctypes.c_uint64()
        fault = golib().market_work(
            trades, self.handle.value, market.slots, len(market.slots), milliseconds, seed
        )
        return int(fault), trades.value


Binding = PythonBinding | GoBinding | CBinding


def all_bindings(pool: slabby.Allocator) -> list[Binding]:
    handle = pool.handle()
    return [
        CBinding(handle),
        PythonBinding("cffi", handle),
        PythonBinding("swig", handle),
        GoBinding(handle),
    ]
