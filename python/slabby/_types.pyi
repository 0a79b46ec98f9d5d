# SPDX-License-Identifier: GPL-3.0-or-later
"""The object types that both backends share, in C."""

from collections.abc import Callable
from datetime import timedelta
from traceback import StackSummary
from types import TracebackType
from typing import Any, Final, NoReturn, final

from typing_extensions import Buffer

class Pool:
    """The holder of one pool, and the hot half of Allocator."""

    @property
    def slab_size(self) -> int:
        """Usable bytes of each slab."""
    def allocate(self, timeout: float | timedelta | None = None) -> SlabRef:
        """One slab: at once or not at all; with a timeout in seconds, waits up to that long."""
    def allocate_fast(self) -> tuple[FastSlab, int]:
        """One slab known by its bare id."""
    def deallocate(self, ref: SlabRef, /) -> None:
        """Give a slab back; the same as ref.release() for a ref of this pool."""
    def deallocate_fast(self, id: int, /) -> None:
        """Give a slab of allocate_fast() back by its id."""
    @property
    def _native(self) -> Any: ...
    @property
    def _address(self) -> int: ...
    @property
    def _cell(self) -> int: ...
    def _attach(
        self,
        table: int,
        handle: int,
        allocate: Callable[..., Any],
        allocate_fast: Callable[..., Any],
        argument: Any,
        native: Any,
        /,
    ) -> None: ...
    def _wrap(self, value: int, address: int, owning: bool, /) -> SlabRef: ...
    def _wrap_all(self, refs: int, datas: int, count: int, /) -> list[SlabRef]: ...
    def _try_now(self) -> SlabRef | None: ...
    def _wait(self, timeout_ns: int, /) -> SlabRef: ...
    def _fail(self, status: int, ref: int, /) -> NoReturn: ...
    def _fast_views(self) -> int: ...
    def _fast_forget(self) -> None: ...

@final
class SlabRef:
    """One slab: a buffer, a context manager, a 64-bit reference."""

    label: int
    """A 64-bit value of your own, 0 until set, forgotten on release."""
    @property
    def allocator(self) -> Pool:
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
        """Where the slab begins. Nothing pins it: prefer memoryview(ref)."""
    @property
    def is_valid(self) -> bool:
        """Whether the reference names a live slab."""
    @property
    def allocation_stack(self) -> StackSummary | None:
        """Where the slab was allocated, oldest call first; None unless `debug` or `finalizers` was on."""
    def release(self) -> None:
        """Give the slab back. Refused with PinnedError (a BufferError) while a view lives."""
    def release_deferred(self) -> None:
        """Give the slab back as soon as the last view is gone; no new view from now on."""
    def detach(self) -> int:
        """Give up ownership and return the 64-bit reference: somebody else releases it."""
    def _finish(self) -> None: ...
    def __enter__(self) -> SlabRef: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool: ...
    def __len__(self) -> int: ...
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

TRACEMALLOC_DOMAIN: Final[int]
"""The domain of slabs in tracemalloc."""

def _address_of(memory: int | Buffer, /) -> int: ...
def _set_error_factory(factory: Callable[..., BaseException], /) -> None: ...
