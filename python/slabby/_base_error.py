# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of every exception of this package."""

from __future__ import annotations


from slabby._status import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar


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
        super().__init__(self._with_advice(text or self._meaning()))
        self.value = value
        self.minimum = minimum
        self.maximum = maximum
        self.option = option

    def __str__(self) -> str:
        # Not OSError's, which would show errno and strerror alone.
        return str(self.args[0])

    def __reduce__(self) -> Any:
        reduced = super().__reduce__()
        if isinstance(self, OSError) and self.errno is not None:
            # OSError has these two neither in its arguments nor in its dictionary.
            state = {**vars(self), "errno": self.errno, "strerror": self.strerror}
            return (*reduced[:2], state)
        return reduced

    @classmethod
    def _meaning(cls) -> str:
        """What the status means; from the core where `python -OO` has dropped the docstring."""
        if cls.__doc__ is not None or not hasattr(cls, "status"):
            return " ".join((cls.__doc__ or cls.__name__).split())
        from slabby import _backend

        text = _backend.chosen().core.slabby_status_message(cls.status)
        return text[:1].upper() + text[1:]

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
