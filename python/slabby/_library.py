# SPDX-License-Identifier: GPL-3.0-or-later
"""What concerns the library as a whole, not one pool."""

from datetime import timedelta

from slabby import _backend
from slabby._records import Fault
from slabby._settings import nanoseconds, whole


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


def install_fault_handler() -> None:
    """Has a fault on a guard reported in words before the previous handler sees it."""
    _backend.chosen().core.slabby_install_fault_handler()


def classify_fault(address: int) -> Fault:
    """What lies at an address."""
    return Fault._of(_backend.chosen().core.slabby_classify_fault(whole("address", address)))


def suggest_slab_size(
    average: int, maximum: int, *, rate_per_second: float, alignment: int = 64
) -> int:
    """A slab size for objects of an average and a maximum size at a rate."""
    sizes = whole("average", average), whole("maximum", maximum)
    core = _backend.chosen().core
    return core.slabby_suggest_slab_size(*sizes, rate_per_second, whole("alignment", alignment))


def suggest_capacity(
    rate_per_second: float,
    *,
    mean_hold: float | timedelta,
    p99_hold: float | timedelta,
    exhaustion_probability: float,
) -> int:
    """How many slabs keep the chance of exhaustion below a probability; times in seconds."""
    holds = nanoseconds("mean_hold", mean_hold), nanoseconds("p99_hold", p99_hold)
    core = _backend.chosen().core
    return core.slabby_suggest_capacity(rate_per_second, *holds, exhaustion_probability)
