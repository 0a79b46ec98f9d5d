# SPDX-License-Identifier: GPL-3.0-or-later
"""Several slabs that were allocated together."""

from __future__ import annotations


from slabby._types import SlabRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Batch(list[SlabRef]):
    """A list of SlabRefs. `with pool.allocate_batch(8) as refs:` releases each at the end, as `with` does for one."""

    __slots__ = ()

    def release(self) -> None:
        """Releases each slab as SlabRef.release() does, tries all, and raises the first error."""
        first: BaseException | None = None
        for ref in self:
            try:
                ref.release()
            except Exception as error:
                first = first or error
        if first is not None:
            raise first

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        first: BaseException | None = None
        for ref in self:
            try:
                ref.__exit__(kind, error, traceback)
            except Exception as failure:
                first = first or failure
        if first is not None:
            raise first
