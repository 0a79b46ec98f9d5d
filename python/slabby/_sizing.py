# SPDX-License-Identifier: GPL-3.0-or-later
"""slabby size: the calculators of slab size and capacity, from the numbers of a load."""

import argparse
import json
import re

from slabby._library import suggest_capacity, suggest_slab_size

TIMES = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
BYTES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def quantity(text: str, units: dict[str, float], example: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)", text)
    if found is None or found[2] not in units:
        raise argparse.ArgumentTypeError(f"{text!r} is no quantity such as {example}")
    return float(found[1]) * units[found[2]]


def seconds(text: str) -> float:
    return quantity(text, TIMES, "250us or 2s")


def whole_bytes(text: str) -> int:
    return int(quantity(text, dict(BYTES), "900 or 4KiB"))


def probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1e-15 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be from 1e-15 to below 1")
    return value


def add_size_arguments(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Computes the slab size that holds every object, and the least capacity with which an "
        "allocation finds no slab no more often than a probability (docs/sizing.md)."
    )
    command.add_argument("--rate", type=float, required=True, help="allocations a second")
    command.add_argument("--hold", type=seconds, required=True, help="mean time, such as 2ms")
    command.add_argument("--p99-hold", type=seconds, help="its 99th percentile (default: 3 x hold)")
    command.add_argument("--object", type=whole_bytes, required=True, help="mean size, as 900")
    command.add_argument("--max-object", type=whole_bytes, help="largest size (default: mean)")
    command.add_argument("--exhaustion", type=probability, default=1e-6, help="default 1e-6")
    command.add_argument("--alignment", type=int, default=64, help="default 64")
    command.add_argument("--json", action="store_true", help="print as JSON")


def size(arguments: argparse.Namespace) -> int:
    largest = arguments.object if arguments.max_object is None else arguments.max_object
    p99 = 3 * arguments.hold if arguments.p99_hold is None else arguments.p99_hold
    slab_size = suggest_slab_size(
        arguments.object, largest, rate_per_second=arguments.rate, alignment=arguments.alignment
    )
    capacity = suggest_capacity(
        arguments.rate,
        mean_hold=arguments.hold,
        p99_hold=p99,
        exhaustion_probability=arguments.exhaustion,
    )
    result = {"slab_size": slab_size, "capacity": capacity, "bytes": slab_size * capacity}
    if arguments.json:
        print(json.dumps(result))
        return 0
    in_use = arguments.rate * arguments.hold
    print(f"slab size  {slab_size:>14,} bytes")
    print(f"capacity   {capacity:>14,} slabs ({in_use:,.1f} in use on average)")
    print(
        f"memory     {slab_size * capacity:>14,} bytes of address space, used as slabs are touched"
    )
    print(f"           slabby.Allocator({slab_size}, {capacity})")
    return 0
