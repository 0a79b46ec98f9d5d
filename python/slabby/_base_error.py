# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of every exception of this package."""

from __future__ import annotations


from slabby._status import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


# The words with which the core's sentences begin their advice.
_VERBS = (
    "call close correct deallocate destroy end free leave let lower make pass raise start try write"
)
ADVICE = tuple(f"; {verb} " for verb in _VERBS.split())


class SlabbyError(Exception):
    """What was refused. str() is a sentence: the value, the limit and what to do."""

    status: ClassVar[Status]
    hint: ClassVar[str] = "report this"

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
        super().__init__(self._with_advice(text or " ".join((type(self).__doc__ or "").split())))
        self.value = value
        self.minimum = minimum
        self.maximum = maximum
        self.option = option

    def __str__(self) -> str:
        # Not OSError's, which would show errno and strerror alone.
        return str(self.args[0])

    @classmethod
    def _with_advice(cls, text: str) -> str:
        """The text, with advice if its sentence has none; stacks are lines behind that."""
        sentence, newline, stacks = text.partition("\n")
        if (
            "choose " in sentence
            or cls.hint in sentence
            or any(word in sentence for word in ADVICE)
        ):
            return text
        return f"{sentence.rstrip('.')}; {cls.hint}{newline}{stacks}"
