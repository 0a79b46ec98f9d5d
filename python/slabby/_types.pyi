# SPDX-License-Identifier: GPL-3.0-or-later
"""The object types that both backends share, in C."""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Coroutine, Generator, Iterable
from datetime import timedelta
from traceback import StackSummary
from types import TracebackType
from typing import Any, Final, Literal, NoReturn, Self, SupportsIndex, TypeVar, final, overload
from weakref import ReferenceType

from typing_extensions import Buffer, disjoint_base

import numpy
from numpy.typing import DTypeLike, NDArray

from slabby._allocator import Allocator
from slabby._batch import Batch
from slabby._waiting import WaitQueue

_Scalar = TypeVar("_Scalar", bound=numpy.generic)

@disjoint_base
class Pool:
    """The holder of one pool, and the hot half of Allocator."""

    @property
    def slab_size(self) -> int:
        """Usable bytes of each slab."""
    @property
    def capacity(self) -> int:
        """How many slabs the pool has at this moment; len() is the same."""
    @property
    def closed(self) -> bool:
        """Whether allocations are over: the pool was closed, by any language."""
    def __len__(self) -> int: ...
    def allocate(self, timeout: float | timedelta | None = 0) -> SlabRef:
        """One slab. Tries once; with a timeout in seconds it waits up to that long, and with None for ever."""
    def acquire(self, timeout: float | timedelta | None = None) -> SlabRef:
        """One slab, for which the thread waits up to `timeout` seconds, None for ever, 0 tries once."""
    def acquire_async(self, timeout: float | timedelta | None = None) -> Acquisition:
        """One slab, for which the task waits: await it, or use it with `async with`."""
    def allocate_async(self, timeout: float | timedelta | None = None) -> Acquisition:
        """The same as acquire_async()."""
    def allocate_batch(self, count: int) -> Batch:
        """`count` slabs at once, all or none."""
    def allocate_fast(self) -> tuple[FastSlab, int]:
        """One slab known by its bare id."""
    def deallocate(self, ref: SlabRef, /) -> None:
        """Releases a slab; the same as ref.release() for a ref of this pool."""
    def deallocate_batch(self, refs: Iterable[SlabRef]) -> int:
        """Releases each as release() would, tries all, and returns how many."""
    def deallocate_fast(self, id: int, /) -> None:
        """Releases a slab of allocate_fast() by its id."""
    def reset(self) -> None:
        """Releases every live slab; all references become stale. Refused while a view lives."""
    @property
    def _native(self) -> Any: ...
    @property
    def _address(self) -> int: ...
    def _create(
        self,
        table: int,
        native: Callable[[int], Any] | None,
        slab_size: int,
        capacity: int,
        options: Any,
        /,
    ) -> None: ...
    def _adopt(
        self,
        table: int,
        native: Callable[[int], Any] | None,
        address: int,
        instance_id: int,
        /,
    ) -> None: ...
    def _wrap(self, value: int, address: int, owning: bool, /) -> SlabRef: ...
    def _wrap_all(self, refs: int, datas: int, count: int, /) -> list[SlabRef]: ...
    def _try_now(self) -> SlabRef | None: ...
    def _wait(self, timeout_ns: int, /) -> SlabRef: ...
    def _wait_inside(self, timeout_ns: int, /) -> SlabRef: ...
    _crowded: bool
    _queue: ReferenceType[WaitQueue] | None
    def _listen(self) -> Tickets: ...
    def _fail(self, status: int, ref: int, /) -> NoReturn: ...
    def _live_stacks(self) -> list[tuple[int, StackSummary]]: ...
    def _stack_of(self, ref: int, /) -> StackSummary | None: ...
    def _take_peak(self, measured: bool, /) -> int: ...
    def _numpy_handler(self, name: str, system: bool, /) -> object: ...

@final
class SlabRef:
    """One slab: a buffer, a context manager, a 64-bit reference."""

    label: int
    """A 64-bit value of your own, 0 until set, forgotten on release."""
    @property
    def allocator(self) -> Allocator:
        """The Allocator this came from."""
    @property
    def size(self) -> int:
        """Usable bytes of the slab."""
    @property
    def ref(self) -> int:
        """The 64-bit reference, to hand to another language."""
    @property
    def id(self) -> int:
        """The number of the slab in its pool."""
    @property
    def address(self) -> int:
        """Where the slab begins. It does not pin the slab: prefer memoryview(ref)."""
    @property
    def is_valid(self) -> bool:
        """Whether the reference names a live slab."""
    @property
    def allocation_stack(self) -> StackSummary | None:
        """Where the slab was allocated, oldest call first; None unless `debug` or `finalizers` was on."""
    def release(self) -> None:
        """Releases the slab. Refused with PinnedError (a BufferError) while a view lives."""
    def release_deferred(self) -> None:
        """Releases the slab when the last view has ended; no new view from now on."""
    def detach(self) -> int:
        """Gives up ownership and returns the 64-bit reference: other code must release it."""
    def tobytes(self) -> bytes:
        """A copy of the whole slab as bytes."""
    @overload
    def array(
        self, dtype: None = None, shape: SupportsIndex | Iterable[SupportsIndex] | None = None
    ) -> NDArray[numpy.uint8]: ...
    @overload
    def array(
        self,
        dtype: type[_Scalar] | numpy.dtype[_Scalar],
        shape: SupportsIndex | Iterable[SupportsIndex] | None = None,
    ) -> NDArray[_Scalar]: ...
    @overload
    def array(
        self, dtype: DTypeLike, shape: SupportsIndex | Iterable[SupportsIndex] | None = None
    ) -> NDArray[Any]:
        """The slab as an array of numpy, without a copy. It pins the slab as a memoryview does."""
    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The slab as a tensor of bytes on the CPU. It pins the slab."""
    def __dlpack_device__(self) -> tuple[Literal[1], Literal[0]]:
        """Where the slab is: the CPU."""
    def _finish(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    @overload
    def __setitem__(self, key: SupportsIndex, value: SupportsIndex, /) -> None: ...
    @overload
    def __setitem__(self, key: slice, value: Buffer, /) -> None: ...
    def __delitem__(self, key: Any, /) -> NoReturn: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class FastSlab:
    """The memory of one slab of allocate_fast(): a buffer. Dropping it does not free the slab."""

    @property
    def id(self) -> int:
        """The number that deallocate_fast() takes."""
    @property
    def size(self) -> int:
        """Usable bytes of the slab."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Acquisition(Coroutine[Any, Any, SlabRef]):
    """A wait for a slab: await it, or use it with `async with`. Once."""

    @property
    def __name__(self) -> str: ...
    @property
    def __qualname__(self) -> str: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(self, /, *error: Any) -> Any: ...
    def close(self) -> None: ...
    def __await__(self) -> Generator[Any, Any, SlabRef]: ...
    def __aenter__(self) -> Acquisition: ...
    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Acquisition: ...

@final
class Tickets:
    """A listener and its tickets."""

    @property
    def brought(self) -> dict[int, int]: ...
    @property
    def closed(self) -> bool: ...
    @property
    def fd(self) -> int: ...
    def begin(self, user_data: int, /) -> int: ...
    def join_all(self, count: int, /) -> list[int]: ...
    def collect(self, waiting: dict[int, Future[None]], /) -> None: ...
    def give_up(self, waiting: dict[int, Future[None]], ticket: int, /) -> None: ...
    def expire(self, waiting: dict[int, Future[None]], ticket: int, /) -> None: ...
    def leave(self, waiting: dict[int, Future[None]], ticket: int, /) -> None: ...
    def pick_up(self, ticket: int, /) -> SlabRef: ...
    def take(self, limit: int, /) -> list[tuple[int, SlabRef | None, int]]: ...
    def cancel(self, ticket: int, /) -> SlabRef | None: ...
    def overdue(self, ticket: int, /) -> SlabRef: ...
    def set_timeout(self, timeout_ns: int, /) -> None: ...
    def wait(self, timeout_ns: int, /) -> bool: ...
    def close(self) -> None: ...

api: Final[object]
"""A capsule for the SWIG backend."""

TRACEMALLOC_DOMAIN: Final[int]
"""The domain of slabs in tracemalloc."""

def _address_of(memory: int | Buffer, /) -> int: ...
def _configure(
    error_factory: Callable[..., BaseException], batch: type[Batch], folder: str, /
) -> None: ...
def _leaks_reported() -> None: ...
def _set_running_loop(function: Callable[[], AbstractEventLoop | None], /) -> None: ...
def _set_numpy_handler(api: object, handler: object, /) -> object: ...
