# SPDX-License-Identifier: GPL-3.0-or-later
"""The core's reports as frozen records: each member is decoded when it is read.

For type checkers and for the module dataclasses, a record is a frozen dataclass. At run time it is not, because
making a dataclass compiles four methods, and decoding fifty members that are not read costs more than it took to
count them.
"""

from __future__ import annotations

from slabby._enumerations import enumerations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda kind: kind


class Member(property):
    """One member of a record: its position, and how its number becomes a value: by a function or, by its name, by an
    enumeration, which are loaded when one is used."""

    def __init__(self, index: int, convert: Callable[[Any], Any] | str | None, doc: str) -> None:
        super().__init__(_reader(index, convert))
        self.__doc__ = doc
        self.index = index
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name


def _reader(index: int, convert: Callable[[Any], Any] | str | None) -> Callable[[Record], Any]:
    if convert is None:
        return lambda record: record._raw[index]
    if not isinstance(convert, str):
        return lambda record: convert(record._raw[index])

    def read_enumerator(record: Record) -> Any:
        return getattr(enumerations(), convert)(record._raw[index])

    return read_enumerator


def member(index: int, convert: Callable[[Any], Any] | str | None = None, *, doc: str = "") -> Any:
    """The declaration of a member in the class of a record."""
    return Member(index, convert, doc)


class _DataclassFields:
    """`__dataclass_fields__`, made when it is read, by dataclasses.fields, asdict and replace."""

    def __get__(self, record: object, kind: type[Record]) -> dict[str, Any]:
        import dataclasses

        made = dataclasses.make_dataclass(kind.__name__, kind._names)
        fields: dict[str, Any] = made.__dict__["__dataclass_fields__"]
        for name, field in fields.items():
            field.type = kind.__annotations__[name]
        return fields


@dataclass_transform(frozen_default=True, field_specifiers=(member,))
class Record:
    """The base of every record."""

    __slots__ = ("_raw",)
    _raw: Sequence[Any]
    _names: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        found = [value for value in vars(cls).values() if isinstance(value, Member)]
        cls._names = tuple(each.name for each in found)
        type.__setattr__(cls, "__match_args__", cls._names)

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self._names
        raw = [*values, *(named.pop(name) for name in names[len(values) :] if name in named)]
        if named or len(raw) != len(names):
            raise TypeError(f"{type(self).__name__} takes the members {', '.join(names)}")
        _set_raw(self, raw)

    @classmethod
    def _of(cls, raw: Sequence[Any]) -> Self:
        """The record for the values that a backend returned."""
        self = cls.__new__(cls)
        _set_raw(self, raw)
        return self

    @classmethod
    def _index(cls, name: str) -> int:
        """The position of a member in the values that a backend returns."""
        found: Member = vars(cls)[name]
        return found.index

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._names)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        pairs = (f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__qualname__}({', '.join(pairs)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()


_set_raw = vars(Record)["_raw"].__set__
type.__setattr__(Record, "__dataclass_fields__", _DataclassFields())
