# SPDX-License-Identifier: GPL-3.0-or-later
"""The `with` statement for objects that end with close()."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Closing:
    """The end of a `with` block closes the object."""

    __slots__ = ()

    def close(self) -> None:
        """Ends the object; each class says what that means."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
