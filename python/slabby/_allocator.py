# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocator: a pool of equally sized slabs. The hot methods are inherited from Pool, in C."""

import dataclasses
import gc
import logging
import threading
from collections.abc import Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack
from weakref import WeakKeyDictionary, WeakValueDictionary

from slabby import _backend
from slabby._backend import Backend
from slabby._gc_clock import clock
from slabby._backend_protocol import Core
from slabby._base_error import SlabbyError
from slabby._errors import (
    DoubleDeallocationError,
    InvalidBatchSizeError,
    InvalidReferenceError,
    NoSystemMemoryError,
    TooManyPoolsError,
    UseAfterFreeError,
)
from slabby._listener import Listener
from slabby._logging import hand_over
from slabby._options import OPTIONS, Options
from slabby._raise import make_error
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
from slabby._option_values import fill, nanoseconds, number, option_info, typed, whole
from slabby._monkey import is_patched
from slabby._types import Pool, SlabRef, _address_of
from slabby._enums import BreakerMode, Binding, PoolState, Status

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Records asked for in one crossing.
CHUNK = 256
# Slabs in one batch above which its arrays are worth a look at the pool's limits first.
LARGE_BATCH = 65_536
# Timeouts below are in range whatever their unit becomes; others are looked at closely.
LONG_SECONDS = 1e9


# The Allocators of this process by the address of their pool, so that whoever has only the address finds the one that
# knows more, such as where slabs were allocated.
_known: "WeakValueDictionary[int, Allocator]" = WeakValueDictionary()


def allocator_of(address: int, instance_id: int) -> "Allocator":
    """The Allocator of a pool, or one that adopts it."""
    known = _known.get(address)
    return Allocator.adopt(address, instance_id) if known is None else known


def _create(backend: Backend, slab_size: int, capacity: int, settings: Any) -> int:
    try:
        return _create_once(backend, slab_size, capacity, settings)
    except (NoSystemMemoryError, TooManyPoolsError):
        # Pools in reference cycles keep their places and their memory until they are collected.
        gc.collect()
    return _create_once(backend, slab_size, capacity, settings)


def _create_once(backend: Backend, slab_size: int, capacity: int, settings: Any) -> int:
    backend.core.slabby_set_binding(Binding[backend.name.upper()])
    try:
        return backend.core.slabby_create(slab_size, capacity, settings)
    finally:
        backend.core.slabby_set_binding(-1)


def _about_address(core: Core, address: int, error: SlabbyError) -> SlabbyError:
    """The same error, saying what lies at the address."""
    fault = Fault._of(core.slabby_classify_fault(address))
    text = fault.text if fault.inside else f"address {address:#x} belongs to no pool"
    return make_error(error.status, f"{core.slabby_status_message(error.status)}: {text}")


class Allocator(Pool):
    """A pool of `capacity` slabs of `slab_size` bytes.

    >>> pool = Allocator(4096, 1000, secure=True)
    >>> with pool.allocate() as ref:
    ...     view = memoryview(ref)

    Options are the keywords of slabby.Options. The pool goes back to the system when it is closed and its
    last slab is released; dropping the Allocator closes it.
    """

    _backend: Backend
    _audit_written: int
    _events_logged: int
    _spaces: WeakKeyDictionary[Any, Any]

    def __init__(self, slab_size: int, capacity: int, **options: Unpack[Options]) -> None:
        backend = _backend.chosen()
        core = backend.core
        sizes = whole("slab_size", slab_size), whole("capacity", capacity)
        settings = core.slabby_options_create()
        try:
            fill(core, settings, dict(options))
            handle = _create(backend, *sizes, settings)
        finally:
            core.slabby_options_destroy(settings)
        self._hold(backend, handle)

    def _hold(self, backend: Backend, handle: int) -> None:
        backend.attach(self, handle)
        self._backend = backend
        self._audit_written = 0
        self._events_logged = 0
        self._spaces = WeakKeyDictionary()
        _known.setdefault(self._address, self)

    # ------------------------------------------------------------------ one pool in several languages

    @classmethod
    def adopt(cls, address: int, instance_id: int, *, backend: str | None = None) -> Self:
        """The pool behind the two numbers of handle(), of this or another language in the process."""
        chosen = _backend.chosen() if backend is None else _backend.load(backend)
        numbers = whole("address", address), whole("instance_id", instance_id)
        handle = chosen.core.slabby_adopt(*numbers)
        self = cls.__new__(cls)
        self._hold(chosen, handle)
        return self

    def handle(self) -> tuple[int, int]:
        """(address, instance id) for adopt(); the adopting side keeps the pool alive on its own."""
        return self._core.slabby_handle(self)

    def from_ref(self, value: int, *, owning: bool = False) -> SlabRef:
        """A SlabRef for a 64-bit reference of this pool from elsewhere. Borrowed, it only looks; owned, it
        also releases the slab when it is dropped."""
        ref = whole("ref", value)
        return self._wrap(ref, self._core.slabby_data(self, ref), owning)

    @classmethod
    def of(cls, memory: "int | Buffer", *, backend: str | None = None) -> Self:
        """The pool that an address lies in, or the memory behind a buffer, as adopt() gives it. Searches all pools of
        the process. InvalidReferenceError: it is of no pool."""
        chosen = _backend.chosen() if backend is None else _backend.load(backend)
        address = whole("memory", _address_of(memory))
        try:
            handle = chosen.core.slabby_pool_of(address)
        except InvalidReferenceError as error:
            raise _about_address(chosen.core, address, error) from None
        return cls.adopt(handle, chosen.core.slabby_instance_id(), backend=chosen.name)

    def ref_of(self, memory: "int | Buffer", *, owning: bool = False) -> SlabRef:
        """The SlabRef of the slab that begins at an address or where a buffer begins, as from_ref() makes it. Where
        there is none: InvalidReferenceError, or UseAfterFreeError once the slab was released."""
        address = whole("memory", _address_of(memory))
        try:
            ref = self._core.slabby_ref_of(self, address)
        except (InvalidReferenceError, UseAfterFreeError) as error:
            raise _about_address(self._core, address, error) from None
        return self._wrap(ref, address, owning)

    def release_data(self, memory: "int | Buffer") -> None:
        """Releases the slab that begins at an address, for callbacks that carry nothing else. An address has no
        generation: a stale one may be another owner's slab by now."""
        address = whole("memory", _address_of(memory))
        try:
            self._core.slabby_release_data(self, address)
        except (InvalidReferenceError, DoubleDeallocationError) as error:
            raise _about_address(self._core, address, error) from None

    @property
    def name(self) -> str:
        """The pool's name, empty where it has none."""
        return self._core.slabby_get_option_text(self, "name")

    @property
    def capacity(self) -> int:
        """How many slabs the pool has at this moment."""
        return self.stats().total_slabs

    @property
    def closed(self) -> bool:
        """Whether allocations are over: the pool was closed, by whatever language."""
        return self.stats().pool_state is not PoolState.OPEN

    @property
    def backend(self) -> str:
        """Which backend this Allocator speaks through."""
        return self._backend.name

    @property
    def _core(self) -> Core:
        return self._backend.core

    # ------------------------------------------------------------------------- allocate and release

    def _allocate_timeout(self, timeout: float | timedelta) -> SlabRef:
        wait_ns = nanoseconds("timeout", timeout)
        if wait_ns and is_patched("select"):
            from slabby._cooperative import wait_cooperatively

            return wait_cooperatively(self, wait_ns)
        # Python handles signals in the main thread alone; others wait inside the core, which is cheaper.
        if wait_ns and threading.current_thread() is threading.main_thread():
            return self._wait(wait_ns)
        return self._core.slabby_allocate_timeout(self, wait_ns)

    async def allocate_async(self, timeout: float | timedelta | None = None) -> SlabRef:
        """One slab, for which the running asyncio loop waits without a thread: first come first served with every
        other task, thread and language, up to `timeout` seconds, without one as long as it takes. A task that is
        cancelled leaves the queue, as does a coroutine that is closed; a loop that is closed gives back what it
        was granted."""
        if timeout is None or (
            isinstance(timeout, (int, float)) and timeout is not True and 0 < timeout < LONG_SECONDS
        ):
            slab = self._try_now()
            if slab is not None:
                return slab
        # asyncio is large: who has a loop has imported it.
        from slabby._waiting import wait_in_loop

        wait_ns = None if timeout is None else nanoseconds("timeout", timeout)
        return await wait_in_loop(self, self._spaces, wait_ns)

    def listener(self, timeout: float | timedelta | None = None) -> Listener:
        """A place for an event loop to wait for slabs without a thread. With a timeout, in seconds, what was granted
        and not taken within it goes to whoever waits next; its ticket is then in `Listener.revoked`."""
        return Listener(self, self._core, timeout)

    def allocate_batch(self, count: int) -> list[SlabRef]:
        """`count` slabs, all or none."""
        wanted = whole("count", count)
        # The arrays are made before the core sees the number: keep them within what could succeed.
        if wanted > LARGE_BATCH and wanted > (limit := self.view().id_limit):
            raise InvalidBatchSizeError(
                f"a batch of {count} slabs was asked for; this pool gives 1 to {limit}",
                value=min(wanted, 2**63 - 1),
                minimum=1,
                maximum=limit,
            )
        return self._core.slabby_allocate_batch(self, wanted)

    def deallocate_batch(self, refs: Iterable[SlabRef]) -> int:
        """Releases each as release() would, tries all, and returns how many. The first error is raised at
        the end, with the count as its `value`."""
        batch = list(refs)
        values = [ref.ref for ref in batch]
        released, status = self._core.slabby_release_batch(self, values)
        for ref in batch:
            ref._finish()
        if status:
            text = f"{released} of {len(values)} slabs were released; the first refusal: "
            text += self._core.slabby_status_message(status)
            raise make_error(status, text, released)
        return released

    def reset(self) -> None:
        """Releases every live slab; all references become stale. Refused while a view lives."""
        if self._fast_views():
            self._fail(Status.PINNED, 0)
        self._core.slabby_reset(self)
        self._fast_forget()

    def close(self) -> None:
        """No allocation succeeds any more. Live slabs stay readable and are released as ever."""
        self._core.slabby_close(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
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
        health = Health._of(self._core.slabby_get_health(self))
        return dataclasses.replace(health, last_gc_duration=clock.last_duration_ns)

    def health_json(self) -> str:
        """The core's health as one JSON object."""
        return self._core.slabby_health_json(self)

    def health_tick(self) -> None:
        """Closes one step of the health window, for those who want no thread."""
        self._core.slabby_health_tick(self)

    def memory(self) -> Memory:
        """Where the bytes of the pool went."""
        return Memory._of(self._core.slabby_get_memory(self))

    def memory_json(self) -> str:
        """The same as one JSON object."""
        return self._core.slabby_memory_json(self)

    def view(self) -> ViewInfo:
        """Where words and slabs lie."""
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
        cursor, count = 0, 1
        while count:
            records, count, _, cursor = self._core.slabby_audit_read(cursor, self, CHUNK)
            yield from (AuditRecord._of(record) for record in records)

    def audit_write(self, fd: int) -> int:
        """Appends what the audit trail recorded since the last call to a descriptor, as JSON lines with chained
        digests (docs/audit.md); returns how many records. After an error the next call goes on where this one
        stopped."""
        count, self._audit_written = self._core.slabby_audit_write(self._audit_written, self, fd)
        return count

    def events(self) -> Iterator[Event]:
        """The events that are still kept."""
        cursor, count = 0, 1
        while count:
            records, count, _, cursor = self._core.slabby_events_read(cursor, self, CHUNK)
            yield from (Event._of(record) for record in records)

    def log_events(self, logger: logging.Logger | None = None) -> int:
        """Hands the events since the last call to a logger, by default the one named "slabby"; returns how many.

        Call it where it suits the program: each record has the event's time, its level, and the Event itself as
        the attribute `slabby_event`."""
        target = logging.getLogger("slabby") if logger is None else logger
        logged, count = 0, 1
        while count:
            records, count, lost, self._events_logged = self._core.slabby_events_read(
                self._events_logged, self, CHUNK
            )
            if lost:
                target.warning("%d events were overwritten before they were logged", lost)
            for record in records:
                hand_over(target, Event._of(record))
            logged += count
        return logged

    def stack(self, ref: SlabRef) -> str:
        """Where a slab was allocated, with the option `debug` on."""
        return self._core.slabby_stack(self, ref.ref)

    def explain(self, ref: SlabRef | int, status: Status = Status.OK) -> str:
        """The story of a reference: which slab it names, and what the slab is now."""
        value = ref if isinstance(ref, int) else ref.ref
        return self._core.slabby_explain(self, value, status)

    # --------------------------------------------------------------------------- changing it while it runs

    def trim(self) -> int:
        """Gives the pages of free slabs back to the system; returns how many bytes."""
        return self._core.slabby_trim(self)

    def reclaim(self) -> int:
        """Puts quarantined slabs back into service; returns how many."""
        return self._core.slabby_reclaim(self)

    def resize(self, capacity: int) -> int:
        """A new capacity, up to `max_capacity`, while others go on.

        Returns how many slabs are in use still and will be given up when they are released; until
        then no allocation succeeds. `stats().awaited_slabs` has that number later on.
        """
        return self._core.slabby_resize(self, whole("capacity", capacity))

    def breaker_force(self, mode: BreakerMode) -> None:
        """What an operator wants of the circuit breaker."""
        self._core.slabby_breaker_force(self, mode)

    def set_option(self, name: str, value: object) -> None:
        """Changes a hot option: True or False, a number, seconds for a duration, a word, or text
        with its unit, such as "250us" or "off"."""
        info = option_info(name)
        if info.kind == "text":
            raise TypeError(f"{name} is fixed when the pool is made")
        if isinstance(value, str) and info.enum is None:
            self._core.slabby_set_option_text(self, name, value)
        else:
            self._core.slabby_set_option(self, info.id, number(name, info, value))

    def get_option(self, name: str) -> Any:
        """The value in effect, after rounding and defaults."""
        info = option_info(name)
        if info.kind == "text":
            return self._core.slabby_get_option_text(self, name)
        return typed(info, self._core.slabby_get_option(self, info.id))

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
