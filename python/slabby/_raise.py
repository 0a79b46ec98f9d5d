# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the core says to an exception."""

from slabby import _types
from slabby._base_error import SlabbyError
from slabby._errors import ERRORS, AbiMismatchError
from slabby._options import OPTION_NAMES


def make_error(
    status: int,
    text: str = "",
    value: int = 0,
    minimum: int = 0,
    maximum: int = 0,
    option: int = 0,
) -> SlabbyError:
    """The exception of a status. A status of a later core is an AbiMismatchError."""
    kind = ERRORS.get(status)
    if kind is None:
        return AbiMismatchError(
            f"the core answered status {status}, which this package does not know"
        )
    return kind(
        text,
        value=value,
        minimum=minimum,
        maximum=maximum,
        option=OPTION_NAMES.get(option),
    )


_types._set_error_factory(make_error)
