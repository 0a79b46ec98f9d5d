# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyword values on their way to the core: seconds become nanoseconds, words numbers."""

import difflib
import math
from collections.abc import Mapping
from datetime import timedelta
from enum import IntEnum
from typing import Any

from slabby._backend_protocol import Core
from slabby._errors import InvalidArgumentError, InvalidOptionError
from slabby._options import OPTIONS, OptionInfo

NANOSECONDS = 1_000_000_000
INT64_MAXIMUM = 2**63 - 1
UINT64_MAXIMUM = 2**64 - 1


def whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if not 0 <= value <= UINT64_MAXIMUM:
        raise InvalidArgumentError(
            f"{name} is {value} and must be from 0 to 2**64 - 1",
            value=max(-(2**63), min(value, INT64_MAXIMUM)),
        )
    return value


def nanoseconds(name: str, value: object) -> int:
    """Seconds, or a timedelta, as whole nanoseconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} takes seconds as a number or a timedelta, not {value!r}")
    if not math.isfinite(seconds) or not 0 <= seconds * NANOSECONDS <= INT64_MAXIMUM:
        raise InvalidOptionError(
            f"{name} is {value!r} seconds and must be from 0 to {INT64_MAXIMUM // NANOSECONDS}"
        )
    return round(seconds * NANOSECONDS)


def option_info(name: str) -> OptionInfo:
    if name in OPTIONS:
        return OPTIONS[name]
    near = difflib.get_close_matches(name, OPTIONS, n=1)
    advice = f"did you mean {near[0]!r}?" if near else "docs/contract.md lists them"
    raise TypeError(f"there is no option {name!r}; {advice}")


def _word(name: str, enum: type[IntEnum], value: object) -> int:
    words = {member.name.lower(): member.value for member in enum}
    if isinstance(value, str) and value in words:
        return int(words[value])
    if isinstance(value, enum):
        return int(value)
    raise InvalidOptionError(f"{name} is {value!r} and must be one of {', '.join(words)}")


def number(name: str, info: OptionInfo, value: object) -> int:
    """The number of a value that is no text to parse; the core checks its range."""
    if info.enum is not None:
        return _word(name, info.enum, value)
    if info.kind == "duration":
        return nanoseconds(name, value)
    if info.kind == "flag":
        if not isinstance(value, bool):
            raise TypeError(f"{name} is a flag and takes True or False, not {value!r}")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} takes a whole number, not {value!r}")
    if not -INT64_MAXIMUM <= value <= INT64_MAXIMUM:
        raise InvalidOptionError(f"{name} is {value} and must fit 64 bits")
    return value


def typed(info: OptionInfo, value: int) -> Any:
    """A number of the core as a keyword would take it."""
    if info.enum is not None:
        return info.enum(value)
    if info.kind == "duration":
        return value / NANOSECONDS
    return bool(value) if info.kind == "flag" else value


def fill(core: Core, options: Any, values: Mapping[str, Any]) -> None:
    """Sets the core's options from keywords, a preset's first; None keeps a default."""
    preset = values.get("preset")
    if isinstance(preset, str):
        core.slabby_options_preset(options, preset)
    elif preset is not None:
        raise TypeError(f"preset takes a name, not {preset!r}")
    for name, value in values.items():
        if name == "preset":
            continue
        info = option_info(name)
        if value is None:
            continue
        if isinstance(value, str) and info.enum is None:
            core.slabby_options_set_text(options, name, value)
        elif info.kind == "text":
            raise TypeError(f"{name} takes text, not {value!r}")
        else:
            core.slabby_options_set(options, info.id, number(name, info, value))
