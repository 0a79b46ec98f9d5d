# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocator: a pool of equally sized slabs. The hot methods are inherited from Pool, in C."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from _thread import LockType, allocate_lock

from slabby import _backend
from slabby._backend import Backend
from slabby._status import Status
from slabby._closing import Closing
from slabby._errors import (
    DoubleDeallocationError,
    InvalidArgumentError,
    InvalidCapacityError,
    InvalidReferenceError,
    NoSystemMemoryError,
    NotSupportedError,
    TimeoutError,
    TooManyPoolsError,
    UseAfterFreeError,
)
from slabby._gc_clock import clock
from slabby._leaks import register
from slabby._option_values import (
    clamped,
    duration_text,
    enumerator,
    fill,
    integer,
    nanoseconds,
    whole,
)
from slabby._option_access import OptionAccess
from slabby._options import OPTIONS
from slabby._raise import make_error, refuse_batch, with_own_stack
from slabby._records import (
    AuditRecord,
    Event,
    Fault,
    Finding,
    Health,
    Live,
    Memory,
    Stats,
    ViewInfo,
)
from slabby._types import Pool, SlabRef, _address_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    import asyncio
    import logging
    from collections.abc import Coroutine, Iterator
    from datetime import timedelta
    from types import TracebackType
    from typing import Self, Unpack

    from typing_extensions import Buffer

    from slabby._backend_protocol import Core
    from slabby._base_error import SlabbyError
    from slabby._batch import Batch
    from slabby._enums import BreakerMode
    from slabby._listener import Listener
    from slabby._options import Options
    from slabby._waiting import _Joined, WaitQueue

# Enumerators of slabby.Binding, which is not loaded for that.
BINDINGS = {"cffi": 1, "swig": 2}
# Records asked for in one crossing.
CHUNK = 256
# The timeout that the core gets for a wait without a limit.
FOREVER_NS = 2**63 - 1


# The Allocators of this process by the address of their pool. Code that has only the address finds the Allocator
# here, which has more data, such as where slabs were allocated.
_known: weakref.WeakValueDictionary[int, Allocator] = weakref.WeakValueDictionary()


def allocator_of(address: int, instance_id: int) -> Allocator:
    """The Allocator of a pool, or one that adopts it."""
    known = _known.get(address)
    return Allocator.adopt(address, instance_id) if known is None else known


def _about_address(core: Core, address: int, error: SlabbyError) -> SlabbyError:
    """The same error, with a text that says what lies at the address."""
    fault = Fault._of(core.slabby_classify_fault(address))
    text = f"memory is {address:#x}: {fault.text if fault.inside else 'it belongs to no pool'}"
    if error.status != Status.INVALID_REFERENCE:
        text += f"; {core.slabby_status_message(error.status)}"
    return make_error(error.status, text)


def _address(memory: int | Buffer) -> int:
    """The address at which a buffer begins, or the number itself."""
    kind = type(memory)
    if hasattr(kind, "__index__") and not hasattr(kind, "__len__"):
        # A number of numpy is a buffer, too, of its own bytes. An array of numpy has a length.
        return whole("memory", memory)
    found = _address_of(memory)
    if isinstance(memory, float) or not isinstance(found, int):
        raise TypeError(f"memory takes an address or a buffer, not {memory!r}")
    return whole("memory", found)


def _reference(ref: object) -> int:
    """The number of a SlabRef, or the number itself."""
    if isinstance(ref, SlabRef):
        return ref.ref
    if isinstance(ref, bool) or not isinstance(ref, int):
        raise TypeError(f"ref takes a SlabRef or its number, not {ref!r}")
    return whole("ref", ref)


def _load_waits() -> None:
    """Imports the modules for waits in advance: a wait must work without a free descriptor, so it cannot read
    files."""
    import slabby._batch_waits
    import slabby._thread_waits

    if "asyncio" in sys.modules:
        import slabby._waiting  # noqa: F401


def _create(pool: Pool, backend: Backend, sizes: tuple[int, int], settings: Any) -> None:
    try:
        _create_once(pool, backend, sizes, settings)
        return
    except (NoSystemMemoryError, TooManyPoolsError):
        # Pools in reference cycles keep their table entries and their memory until they are collected.
        gc.collect()
    _create_once(pool, backend, sizes, settings)


def _create_once(pool: Pool, backend: Backend, sizes: tuple[int, int], settings: Any) -> None:
    try:
        backend.core.slabby_set_binding(BINDINGS[backend.name])
        pool._create(backend.table, backend.native, *sizes, backend.pointer(settings))
    finally:
        backend.core.slabby_set_binding(-1)


class Allocator(OptionAccess, Closing):
    """A pool of `capacity` slabs of `slab_size` bytes.

    >>> pool = Allocator(4096, 1000, secure=True)
    >>> with pool.allocate() as ref:
    ...     view = memoryview(ref)

    Options are the keywords of slabby.Options. The pool goes back to the system when it is closed and its
    last slab is released; dropping the Allocator closes it.
    """

    _backend: Backend
    _audit_written: int
    _audit_turn: tuple[LockType, int]
    _events_logged: int
    # The queues in which tasks wait, by event loop; Pool has the queue that was used last.
    _spaces: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[WaitQueue]]

    def __init__(self, slab_size: int, capacity: int, **options: Unpack[Options]) -> None:
        backend = _backend.chosen()
        core = backend.core
        sizes = whole("slab_size", slab_size), whole("capacity", capacity)
        settings = core.slabby_options_create()
        try:
            fill(core, settings, dict(options))
            _create(self, backend, sizes, settings)
        finally:
            core.slabby_options_destroy(settings)
        self._hold(backend)

    def _hold(self, backend: Backend) -> None:
        self._backend = backend
        self._audit_written = 0
        self._audit_turn = allocate_lock(), os.getpid()
        self._events_logged = 0
        self._spaces = weakref.WeakKeyDictionary()
        register(self)
        _known.setdefault(self._address, self)
        _load_waits()

    # ------------------------------------------------------------------ one pool in several languages

    @classmethod
    def adopt(cls, address: int, instance_id: int, *, backend: str | None = None) -> Self:
        """The pool behind the two numbers of handle(), of this or another language in the process."""
        chosen = _backend.chosen() if backend is None else _backend.load(backend)
        numbers = whole("address", address), whole("instance_id", instance_id)
        self = cls.__new__(cls)
        self._adopt(chosen.table, chosen.native, *numbers)
        self._hold(chosen)
        return self

    def handle(self) -> tuple[int, int]:
        """(address, instance id) for adopt(); the adopting side keeps the pool alive on its own."""
        return self._core.slabby_handle(self)

    def from_ref(self, value: int, *, owning: bool = False) -> SlabRef:
        """A SlabRef for a 64-bit reference of this pool from elsewhere. `release()` and the end of a `with` block
        release the slab, also a borrowed one. When the object is dropped, an owned slab is released with a
        ResourceWarning, and a borrowed one stays live."""
        ref = whole("ref", value)
        return self._wrap(ref, self._core.slabby_data(self, ref), owning)

    @classmethod
    def of(cls, memory: int | Buffer, *, backend: str | None = None) -> Self:
        """The pool that an address lies in, or the memory behind a buffer, as adopt() gives it. Searches all pools of
        the process. InvalidReferenceError: it is of no pool."""
        chosen = _backend.chosen() if backend is None else _backend.load(backend)
        address = _address(memory)
        try:
            handle = chosen.core.slabby_pool_of(address)
        except InvalidReferenceError as error:
            raise _about_address(chosen.core, address, error) from None
        return cls.adopt(handle, chosen.core.slabby_instance_id(), backend=chosen.name)

    def ref_of(self, memory: int | Buffer, *, owning: bool = False) -> SlabRef:
        """The SlabRef of the slab that begins at an address, or where a buffer begins, as from_ref() makes it. If
        there is no such slab: InvalidReferenceError, or UseAfterFreeError after the slab was released."""
        address = _address(memory)
        try:
            ref = self._core.slabby_ref_of(self, address)
        except (InvalidReferenceError, UseAfterFreeError) as error:
            raise _about_address(self._core, address, error) from None
        return self._wrap(ref, address, owning)

    def release_data(self, memory: int | Buffer) -> None:
        """Releases the slab that begins at an address, for callbacks that carry nothing else. An address has no
        generation: a stale address may already be that of another owner's slab."""
        address = _address(memory)
        try:
            self._core.slabby_release_data(self, address)
        except (InvalidReferenceError, DoubleDeallocationError) as error:
            raise _about_address(self._core, address, error) from None

    @property
    def name(self) -> str:
        """The pool's name, empty where it has none."""
        return self._core.slabby_get_option_text(self, "name")

    @property
    def backend(self) -> str:
        """Which backend this Allocator speaks through."""
        return self._attached().name

    @property
    def _core(self) -> Core:
        return self._attached().core

    def _attached(self) -> Backend:
        """The backend; RuntimeError if a subclass has not called Allocator.__init__."""
        try:
            return self._backend
        except AttributeError:
            self._fail(Status.OK, 0)  # which says what is missing
            raise

    # ------------------------------------------------------------------------- allocate and release

    def _acquire(self, timeout: float | timedelta | None) -> SlabRef:
        """A wait in a thread: None for ever. The methods in C try for a free slab first."""
        from slabby._thread_waits import wait_in_thread

        wait_ns = FOREVER_NS if timeout is None else nanoseconds("timeout", timeout, forever=True)
        try:
            return wait_in_thread(self, wait_ns)
        except TimeoutError as error:
            raise self._in_vain(error, timeout) from None

    def _begin_wait(self, timeout_ns: int | None) -> Coroutine[Any, Any, SlabRef]:
        """A wait in the running event loop: None for ever. Acquisition, in C, has tried for a free slab.

        The first call replaces this method by the function itself, because an import costs as much as the rest of a
        wait."""
        from slabby._waiting import wait_in_loop

        Allocator._begin_wait = wait_in_loop  # type: ignore[assignment,method-assign]
        return wait_in_loop(self, timeout_ns)

    def _join_queue(self) -> _Joined | None:
        """A ticket in the queue of the running loop, replaced in the same way."""
        from slabby._waiting import join_queue

        Allocator._join_queue = join_queue  # type: ignore[assignment,method-assign]
        return join_queue(self)

    async def _acquire_within(self, timeout: float | timedelta) -> SlabRef:
        """The same with a limit, in the unit in which it was given."""
        wait_ns = nanoseconds("timeout", timeout, forever=True)
        try:
            if wait_ns == 0:
                return self._wait_inside(0)
            if (slab := self._try_now()) is not None:
                return slab
            return await self._begin_wait(wait_ns)
        except TimeoutError as error:
            raise self._in_vain(error, timeout) from None

    def _in_vain(self, error: TimeoutError, timeout: object) -> TimeoutError:
        return TimeoutError(
            f"no slab became free within the timeout of {duration_text(timeout)}: {error}",
            value=error.value,
        )

    def listener(self, timeout: float | timedelta | None = None) -> Listener:
        """A queue entry for an event loop, which waits for slabs without a thread. With a timeout, in seconds, a
        granted slab that is not taken in time goes to the next waiter; its ticket is then in `Listener.revoked`."""
        from slabby._listener import Listener

        return Listener(self, timeout)

    def acquire_batch(self, count: int, timeout: float | timedelta | None = None) -> Batch:
        """`count` slabs, all or none, for which the thread waits as acquire() does. The batch has as many
        neighbouring places in the queue as it has slabs, and keeps each slab that it gets until all are there."""
        from slabby._batch_waits import wait_for_batch

        return wait_for_batch(self, count, timeout)

    async def acquire_batch_async(
        self, count: int, timeout: float | timedelta | None = None
    ) -> Batch:
        """The same in the running event loop."""
        from slabby._batch_waits import wait_for_batch_async

        return await wait_for_batch_async(self, count, timeout)

    def _refuse_batch(self, count: object, status: int) -> None:
        """Raises the error of a refused allocate_batch(); 0: the count is beyond every limit."""
        refuse_batch(self, count, status)

    def _refuse_release(
        self, released: int, count: int, index: int, status: int, text: bytes
    ) -> None:
        """Raises the first error of deallocate_batch()."""
        about = f"item {index} of {count} was refused, {released} were released: "
        raise make_error(status, about + text.decode("utf-8", "replace"), released)

    def close(self) -> None:
        """No allocation succeeds any more. Live slabs stay readable and are released as before."""
        self._core.slabby_close(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -------------------------------------------------------------------------------- looking inside

    def stats(self) -> Stats:
        """Counters and gauges."""
        return Stats._of(self._core.slabby_get_stats(self))

    def stats_json(self) -> str:
        """The same as one JSON object."""
        return self._core.slabby_stats_json(self)

    def health_check(self) -> Health:
        """The state of the pool as an operator asks for it."""
        raw = list(self._core.slabby_get_health(self))
        raw[Health._index("last_gc_duration")] = clock.last_duration_ns
        return Health._of(raw)

    def health_json(self) -> str:
        """The core's health as one JSON object."""
        return self._core.slabby_health_json(self)

    def health_tick(self) -> None:
        """Notes the score of this moment for the trend of the last 32; for programs that want no thread."""
        self._core.slabby_health_tick(self)

    def memory(self) -> Memory:
        """The memory of the pool, by use."""
        return Memory._of(self._core.slabby_get_memory(self))

    def memory_json(self) -> str:
        """The same as one JSON object."""
        return self._core.slabby_memory_json(self)

    def view(self) -> ViewInfo:
        """The addresses of words and slabs."""
        return ViewInfo._of(self._core.slabby_view(self))

    def live(self) -> Iterator[Live]:
        """Every outstanding slab. Those that come and go meanwhile may or may not be seen."""
        cursor = 0
        while True:
            record, count, cursor = self._core.slabby_live_next(cursor, self)
            if not count:
                return
            yield Live._of(record)

    def verify(self) -> list[Finding]:
        """Checks the pool against itself. A sound pool has no findings."""
        findings, count = self._core.slabby_verify(self, CHUNK)
        if count > CHUNK:
            findings, count = self._core.slabby_verify(self, count)
        return [Finding._of(finding) for finding in findings]

    def audit(self) -> Iterator[AuditRecord]:
        """The records of the audit trail that are still kept (option `audit`)."""
        if not self.get_option("audit"):
            raise NotSupportedError(
                f"pool {self.name!r} keeps no audit records; make it with the option audit, the number of records"
            )
        return self._audit_records()

    def _audit_records(self) -> Iterator[AuditRecord]:
        cursor, count = 0, 1
        while count:
            records, count, _, cursor = self._core.slabby_audit_read(cursor, self, CHUNK)
            yield from (AuditRecord._of(record) for record in records)

    def audit_write(self, fd: int) -> int:
        """Appends what the audit trail recorded since the last call to a descriptor, as JSON lines with chained
        digests (docs/audit.md); returns how many records. After an error the next call continues where this one
        stopped. Waits while the descriptor takes no data. Ctrl-C ends the wait; what this call was to write is then
        written as soon as possible, and until then the next call raises BusyError."""
        from slabby._audit_writes import write_audit

        return write_audit(self, whole("fd", fd))

    def events(self) -> Iterator[Event]:
        """The events that are still kept."""
        cursor, count = 0, 1
        while count:
            records, count, _, cursor = self._core.slabby_events_read(cursor, self, CHUNK)
            yield from (Event._of(record) for record in records)

    def log_events(self, logger: logging.Logger | None = None) -> int:
        """Passes the events since the last call to a logger, by default the one named "slabby"; returns how many.

        Call it at any time: each record has the event's time, its level, and the Event itself as the attribute
        `slabby_event`. What the logger raises ends the call; the next one continues with the event after that."""
        from slabby._logging import log_new_events

        return log_new_events(self._core, self, logger)

    def stack(self, ref: SlabRef | int) -> str:
        """Where a slab was allocated, with the option `debug` on: Python's frames where this interpreter allocated it,
        else those of the code in C or Go."""
        value = _reference(ref)
        summary = self._stack_of(value)
        if summary is not None:
            return "allocated at (most recent call last):\n" + "".join(summary.format())
        return self._core.slabby_stack(self, value)

    def explain(self, ref: SlabRef | int, status: Status = Status.OK) -> str:
        """Explains a reference: which slab it names, and the present state of the slab."""
        return self._core.slabby_explain(
            self, _reference(ref), enumerator("status", Status, status)
        )

    def _with_stack(self, text: str, ref: int) -> str:
        summary = self._stack_of(ref)
        return text if summary is None else with_own_stack(text, summary)

    def _name_of(self, ref: int) -> str:
        return self._core.slabby_ref_text(self, ref)

    # --------------------------------------------------------------------------- changing it while it runs

    def trim(self) -> int:
        """Gives the pages of free slabs back to the system; returns how many bytes."""
        return self._core.slabby_trim(self)

    def reclaim(self) -> int:
        """Puts quarantined slabs back into service; returns how many."""
        return self._core.slabby_reclaim(self)

    def resize(self, capacity: int) -> int:
        """Changes the capacity, up to `max_capacity`, while other threads continue.

        Returns how many slabs are still in use and will be given up when they are released; until then no allocation
        succeeds. `stats().awaited_slabs` has this number later. If the system refuses memory for a higher capacity,
        that is a NoSystemMemoryError, and nothing has changed.
        """
        number = integer("capacity", capacity)
        if not 0 <= number < 2**64:
            limit = self.get_option("max_capacity")
            raise InvalidCapacityError(
                f"capacity is {number}; choose 1 to {limit} slabs",
                value=clamped(number),
                minimum=1,
                maximum=limit,
            )
        return self._core.slabby_resize(self, number)

    def breaker_force(self, mode: BreakerMode | str) -> None:
        """Sets the mode of the circuit breaker: "normal", "forced_open", "disabled", "metrics_only"."""
        from slabby._enums import BreakerMode

        if isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode < 2**31:
            mode = BreakerMode(enumerator("mode", BreakerMode, mode))
        try:
            self._core.slabby_breaker_force(self, mode)
        except InvalidArgumentError:  # refused and counted by the core, as in every language
            enumerator("mode", BreakerMode, mode)
            raise

    def options(self) -> dict[str, Any]:
        """Every option with its value in effect."""
        return {name: self.get_option(name) for name in OPTIONS}

    def __repr__(self) -> str:
        if not hasattr(self, "_backend"):
            return "<Allocator without a pool>"
        stats = self.stats()
        return (
            f"<Allocator {stats.name + ': ' if stats.name else ''}{stats.total_slabs} x {stats.slab_size} bytes, "
            f"{stats.used_slabs} used, {stats.pool_state.name.lower()}, over {self.backend}>"
        )

    def _repr_html_(self) -> str:
        from slabby._html import pool_table

        return pool_table(self)
