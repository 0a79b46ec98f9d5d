# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of keyword values for the core: seconds become nanoseconds, words become numbers."""

from __future__ import annotations

import math
import operator
from enum import IntEnum

from slabby._errors import (
    CapacityExceededError,
    ColdOptionError,
    InvalidArgumentError,
    InvalidCapacityError,
    InvalidOptionError,
    InvalidSlabSizeError,
)
from slabby._options import OPTIONS, OptionInfo
from slabby._types import Pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from collections.abc import Mapping

    from slabby._backend_protocol import Core
    from slabby._base_error import SlabbyError

NANOSECONDS = 1_000_000_000
INT64_MAXIMUM = 2**63 - 1
UINT64_MAXIMUM = 2**64 - 1
# Arguments that the core reads as whole numbers, with the range of those that make sense.
RANGES = {
    "slab_size": (1, 2**30, " bytes"),
    "capacity": (1, 2**31 - 1, " slabs"),
    "limit": (0, 65536, " tickets"),
    "fd": (0, 2**31 - 1, ""),
    "memory": (1, UINT64_MAXIMUM, ", the address of a byte"),
}
# For the other arguments the core has narrower limits: those of this pool.
CHECKED_HERE = ("fd", "limit", "memory")


def _index(value: object) -> int | None:
    """A whole number of any type, such as numpy's; None for what is none. A bool is a flag."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type] # which says whether it is one
    except TypeError:
        return None


def integer(name: str, value: object) -> int:
    """A whole number, whose range the caller checks."""
    number = _index(value)
    if number is None:
        raise TypeError(f"{name} takes a whole number, not {value!r}")
    return number


def clamped(number: int) -> int:
    """The nearest number that an error can carry as its value."""
    return max(-(2**63), min(number, INT64_MAXIMUM))


def _refusal_of(name: str, number: int) -> type[SlabbyError]:
    """The error that the core raises for such a number where it can read it."""
    if name == "slab_size":
        return InvalidSlabSizeError
    if name == "capacity":
        return InvalidCapacityError if number < 1 else CapacityExceededError
    return InvalidArgumentError


def whole(name: str, value: object) -> int:
    """A whole number within the range of the argument."""
    number = integer(name, value)
    minimum, maximum, unit = RANGES.get(name, (0, UINT64_MAXIMUM, ""))
    if name in CHECKED_HERE:
        is_possible = minimum <= number <= maximum
    else:
        is_possible = 0 <= number <= UINT64_MAXIMUM
    if is_possible:
        return number
    raise _refusal_of(name, number)(
        f"{name} is {number}; choose {minimum} to {maximum}{unit}",
        value=clamped(number),
        minimum=minimum,
        maximum=min(maximum, INT64_MAXIMUM),
    )


def real(name: str, value: object) -> float:
    """A number that may have a fraction."""
    number = value if isinstance(value, float) else _index(value)
    if number is None:
        raise TypeError(f"{name} takes a number, not {value!r}")
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf  # refused for its size, not for its type


def check_pool(value: object) -> None:
    """TypeError if the object is no Allocator, with the text of the C half."""
    if not isinstance(value, Pool):
        raise TypeError(f"pool takes a slabby.Allocator, not {value!r}")


def _in_seconds(value: object) -> Any:
    """A timedelta as seconds, anything else as it is. Its module is not imported for that: not every version of it can
    be loaded and unloaded in one process."""
    total_seconds = getattr(value, "total_seconds", None)
    return value if total_seconds is None else total_seconds()


def duration_text(value: object) -> str:
    """A duration as the caller gave it."""
    if value is None:
        return "None, for ever"
    value = _in_seconds(value)
    return f"{value:g} s" if isinstance(value, float) else f"{_index(value)} s"


def nanoseconds(name: str, value: object, *, forever: bool = False) -> int:
    """Seconds, or a timedelta, as whole nanoseconds. With `forever` they are those of a wait: infinity is the longest
    time, and nothing but 0 is 0, which tries once."""
    given = _in_seconds(value)
    seconds = float(given) if isinstance(given, float) else _index(given)
    if seconds is None:
        also = ", or None to wait for ever" if forever else ""
        raise TypeError(f"{name} takes seconds as a number or a timedelta{also}, not {value!r}")
    if forever and seconds > INT64_MAXIMUM // NANOSECONDS:
        return INT64_MAXIMUM
    if 0 <= seconds * NANOSECONDS <= INT64_MAXIMUM:
        return max(round(seconds * NANOSECONDS), 1 if forever and seconds > 0 else 0)
    if name in OPTIONS:
        raise _refused_duration(OPTIONS[name], name, seconds)
    limit = "0 s or more" if forever else f"0 to {INT64_MAXIMUM // NANOSECONDS} s"
    raise InvalidArgumentError(
        f"{name} is {seconds!r} s; choose {limit}",
        value=_nearest(seconds),
        maximum=INT64_MAXIMUM,
    )


def _nearest(seconds: float) -> int:
    """Nanoseconds as an error carries them."""
    if seconds != seconds:
        return 0
    return clamped(round(max(-INT64_MAXIMUM, min(seconds * NANOSECONDS, INT64_MAXIMUM))))


def _refused_duration(info: OptionInfo, name: str, seconds: float) -> InvalidOptionError:
    """In seconds, the unit of the keyword; the core would write nanoseconds, minutes, or hours."""
    low, high = info.minimum / NANOSECONDS, info.maximum / NANOSECONDS
    limit = f"{low:g} to {high:g} s"
    if info.minimum <= seconds * NANOSECONDS < 1:  # not 0, but less than the core can express
        limit = f"0 s, or {1 / NANOSECONDS:g} to {high:g} s"
    return InvalidOptionError(
        f"{name} is {seconds!r} s; choose {limit}",
        value=_nearest(seconds),
        minimum=info.minimum,
        maximum=info.maximum,
        option=name,
    )


def _option_duration(info: OptionInfo, name: str, value: object) -> int:
    duration = nanoseconds(name, value)
    # What is too short for the core must not become 0, which may stand for no limit.
    is_lost = duration == 0 and _in_seconds(value) != 0
    if is_lost or not info.minimum <= duration <= info.maximum:
        raise _refused_duration(
            info, name, float(_in_seconds(value)) if is_lost else duration / NANOSECONDS
        )
    return duration


def option_info(name: str) -> OptionInfo:
    if isinstance(name, str) and name in OPTIONS:
        return OPTIONS[name]
    import difflib

    near = difflib.get_close_matches(str(name), OPTIONS, n=1)
    advice = f"did you mean {near[0]!r}? " if near else ""
    raise TypeError(f"there is no option {name!r}; {advice}help(slabby.Options) lists all")


def enumerator(name: str, enum: type[IntEnum], value: object, option: str | None = None) -> int:
    """The number of an enumerator or of its lower-case name."""
    names = {member.name.lower(): member.value for member in enum}
    if isinstance(value, str) and value in names:
        return int(names[value])
    if isinstance(value, enum):
        return int(value)
    text = f"{name} is {value!r}; choose {', '.join(map(repr, names))} or a slabby.{enum.__name__}"
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TypeError(text)
    if option is not None:
        raise InvalidOptionError(text, option=option)
    raise InvalidArgumentError(text)


def number(name: str, info: OptionInfo, value: object) -> int:
    """The number of a value that is no text to parse; the core checks the range of those without a unit."""
    if info.enum is not None:
        return enumerator(name, info.enum, value, name)
    if info.kind == "duration":
        return _option_duration(info, name, value)
    if info.kind == "flag":
        if not isinstance(value, bool):
            raise TypeError(f"{name} is a flag and takes True or False, not {value!r}")
        return int(value)
    whole_value = _index(value)
    if whole_value is None:
        raise TypeError(
            f"{name} takes a whole number from {info.minimum} to {info.maximum}, not {value!r}"
        )
    if not -INT64_MAXIMUM <= whole_value <= INT64_MAXIMUM:
        unit = "%" if info.kind == "percent" else ""
        raise InvalidOptionError(
            f"{name} is {whole_value}{unit}; choose {info.minimum}{unit} to {info.maximum}{unit}",
            option=name,
        )
    return whole_value


def typed(info: OptionInfo, value: int) -> Any:
    """A number of the core as a keyword would take it."""
    if info.enum is not None:
        return info.enum(value)
    if info.kind == "duration":
        return value / NANOSECONDS
    return bool(value) if info.kind == "flag" else value


def _option_name(name: str) -> str | None:
    """The name of an option; a preset is none."""
    return name if name in OPTIONS else None


def crossing(name: str, text: str) -> str:
    """A text that C can take: it ends at a NUL there, and has bytes."""
    at = text.find("\0")
    if at >= 0:
        raise InvalidOptionError(
            f"{name} has a NUL character at offset {at}; remove it", option=_option_name(name)
        )
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidOptionError(
            f"{name} is {text!r}, whose character at offset {error.start} is half of a pair; write text",
            option=_option_name(name),
        ) from None
    return text


def fill(core: Core, options: Any, values: Mapping[str, Any]) -> None:
    """Sets the core's options from keywords, a preset's first; None keeps a default."""
    preset = values.get("preset")
    if isinstance(preset, str):
        core.slabby_options_preset(options, crossing("preset", preset))
    elif preset is not None:
        raise TypeError(
            f"preset takes the name of a preset, not {preset!r}; help(slabby.Options) lists them"
        )
    for name, value in values.items():
        if name == "preset":
            continue
        info = option_info(name)
        if value is None:
            continue
        if isinstance(value, str) and info.enum is None:
            core.slabby_options_set_text(options, name, crossing(name, value))
        elif info.kind == "text":
            raise TypeError(f"{name} takes text, not {value!r}")
        else:
            core.slabby_options_set(options, info.id, number(name, info, value))


def read_option(core: Core, pool: Pool, name: str) -> Any:
    """The value in effect, after rounding and defaults."""
    info = option_info(name)
    if info.kind == "text":
        return core.slabby_get_option_text(pool, name)
    return typed(info, core.slabby_get_option(pool, info.id))


def write_option(core: Core, pool: Pool, name: str, value: object) -> None:
    """Changes a hot option; the core refuses cold ones."""
    info = option_info(name)
    if info.kind == "text":
        raise ColdOptionError(f"{name} is fixed when the pool is made", option=name)
    if isinstance(value, str) and info.enum is None:
        core.slabby_set_option_text(pool, name, crossing(name, value))
    else:
        core.slabby_set_option(pool, info.id, number(name, info, value))
