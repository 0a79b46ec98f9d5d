# SPDX-License-Identifier: GPL-3.0-or-later
"""slabby doctor: what this machine offers, and what a pool will therefore do."""

import argparse
import json
import platform
from pathlib import Path

from slabby._allocator import Allocator
from slabby._library import backend, platform_text

# What a pool makes of its defaults on this machine.
WORKED_OUT = ("shards", "alignment", "per_cpu_cache", "cpu_cache_backend", "latency_tracking")


def facts() -> dict[str, str]:
    """Name of each fact, with the fact and what follows from it."""
    found = {}
    for line in platform_text().splitlines():
        name, _, text = line.partition(": ")
        found[name] = text
    found["Python"] = (
        f"{platform.python_version()} by {backend()}; a pool has one core in the process"
    )
    if release := _kernel():
        found["system"] += f", {release}"
    return found


def _kernel() -> str:
    file = Path("/proc/sys/kernel/osrelease")
    return f"kernel {file.read_text().strip()}" if file.is_file() else ""


def defaults() -> dict[str, str]:
    """Options that a pool works out by itself, in a pool of a thousand slabs."""
    with Allocator(4096, 1000) as pool:
        core = pool._core
        return {name: core.slabby_get_option_text(pool, name) for name in WORKED_OUT}


def doctor(arguments: argparse.Namespace) -> int:
    found, options = facts(), defaults()
    if arguments.json:
        print(json.dumps({"facts": found, "options": options}, indent=2))
        return 0
    width = max(map(len, found))
    for name, text in found.items():
        fact, _, consequence = text.partition("; ")
        print(f"{name:<{width}}  {fact}")
        if consequence:
            print(f"{'':<{width}}    {consequence}")
    print(f"{'a pool':<{width}}  " + ", ".join(f"{k}={v}" for k, v in options.items()))
    return 0
