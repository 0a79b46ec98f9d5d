# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions for the library as a whole, not for one pool."""

from __future__ import annotations


from slabby import _backend
from slabby._errors import InvalidArgumentError
from slabby._records import Fault
from slabby._option_values import nanoseconds, real, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta


def backend() -> str:
    """Which backend this process uses by default: "cffi" or "swig"."""
    return _backend.chosen().name


def core_version() -> str:
    """The version of the core."""
    return _backend.chosen().core.slabby_version()


def abi_version() -> int:
    """The number of the core's binary interface."""
    return _backend.chosen().core.slabby_abi_version()


def instance_id() -> int:
    """A value unique to the loaded core: bindings that see the same one share it."""
    return _backend.chosen().core.slabby_instance_id()


def platform_text() -> str:
    """What this machine and process offer, and what a pool will therefore do: a line for each fact,
    "name: fact; consequence"."""
    return _backend.chosen().core.slabby_platform_text()


def install_fault_handler() -> None:
    """Makes the core report a fault on a guard as text before the previous handler sees it."""
    _backend.chosen().core.slabby_install_fault_handler()


def classify_fault(address: int) -> Fault:
    """What lies at an address."""
    return Fault._of(_backend.chosen().core.slabby_classify_fault(whole("address", address)))


def suggest_slab_size(
    average: int, maximum: int, *, rate_per_second: float, alignment: int = 64
) -> int:
    """A slab size that holds every object of at most `maximum` bytes, rounded up to `alignment`, and to whole cache
    lines if neighbours should not share one: at a million allocations a second, or if the average object fills half a
    line."""
    sizes = whole("average", average), whole("maximum", maximum)
    core = _backend.chosen().core
    try:
        return core.slabby_suggest_slab_size(
            *sizes, real("rate_per_second", rate_per_second), whole("alignment", alignment)
        )
    except InvalidArgumentError:
        raise InvalidArgumentError(
            f"average {average}, maximum {maximum}, rate_per_second {rate_per_second!r}, "
            f"alignment {alignment}: choose 1 <= average <= maximum <= 1 GiB, a rate above 0 up to 1e12 and an "
            "alignment that is a power of two up to 2 MiB"
        ) from None


def suggest_capacity(
    rate_per_second: float,
    *,
    mean_hold: float | timedelta,
    p99_hold: float | timedelta,
    exhaustion_probability: float,
) -> int:
    """The least number of slabs with which an allocation finds none no more often than a probability; times
    in seconds. By Little's law and Erlang's loss formula, with one percent of the time spent in stalls during
    which slabs are held for `p99_hold`: docs/sizing.md."""
    core = _backend.chosen().core
    try:
        return core.slabby_suggest_capacity(
            real("rate_per_second", rate_per_second),
            nanoseconds("mean_hold", mean_hold),
            nanoseconds("p99_hold", p99_hold),
            real("exhaustion_probability", exhaustion_probability),
        )
    except InvalidArgumentError:
        raise InvalidArgumentError(
            f"rate_per_second {rate_per_second!r}, mean_hold {mean_hold!r}, p99_hold {p99_hold!r}, "
            f"exhaustion_probability {exhaustion_probability!r}: choose a rate above 0 up to 1e12, holds from "
            "1 ns to a day with a p99 of at most 100 times the mean, and a probability from 1e-15 to below 1"
        ) from None
