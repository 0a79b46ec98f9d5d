# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of every exception of this package."""

from typing import ClassVar

from slabby._enums import Status


class SlabbyError(Exception):
    """What the core refused. str() is its sentence: the value, the limit and what to do."""

    status: ClassVar[Status]
    hint: ClassVar[str]

    value: int
    """The value that was refused, 0 where none is concerned."""
    minimum: int
    """The limits of the value; both are 0 where no range applies."""
    maximum: int
    option: str | None
    """The option that was refused, None where none is concerned."""

    def __init__(
        self,
        text: str = "",
        *,
        value: int = 0,
        minimum: int = 0,
        maximum: int = 0,
        option: str | None = None,
    ) -> None:
        super().__init__(text or type(self).__doc__ or "")
        self.value = value
        self.minimum = minimum
        self.maximum = maximum
        self.option = option
