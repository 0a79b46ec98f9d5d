# SPDX-License-Identifier: GPL-3.0-or-later
"""slabby doctor: what this machine offers, and what a pool will therefore do."""

import argparse
import json
import platform
import shutil
import textwrap
from pathlib import Path

from slabby._allocator import Allocator
from slabby._library import backend, platform_text

# The values that a pool chooses for its defaults on this machine.
WORKED_OUT = ("shards", "alignment", "per_cpu_cache", "cpu_cache_backend", "latency_tracking")


def facts() -> dict[str, str]:
    """The name of each fact, with the fact and its consequence."""
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
    """The options that a pool computes by itself, for a pool of a thousand slabs."""
    with Allocator(4096, 1000) as pool:
        core = pool._core
        return {name: core.slabby_get_option_text(pool, name) for name in WORKED_OUT}


def doctor(arguments: argparse.Namespace) -> int:
    found, options = facts(), defaults()
    if arguments.json:
        print(json.dumps({"facts": found, "options": options}, indent=2))
        return 0
    found["a pool"] = ", ".join(f"{name}={value}" for name, value in options.items())
    print("\n".join(written(found, shutil.get_terminal_size((1000, 24)).columns)))
    return 0


def written(found: dict[str, str], width: int) -> list[str]:
    """Two columns, or in a narrow terminal each fact below its name; lines break between words."""
    column = max(map(len, found)) + 2
    narrow = width < column + 35
    before, lines = " " * (2 if narrow else column), []
    for name, text in found.items():
        fact, _, consequence = text.partition("; ")
        first = before if narrow else f"{name:<{column}}"
        lines += [name] * narrow
        lines += _wrapped(fact, width, first, before)
        lines += _wrapped(consequence, width, before + "  ", before + "  ") if consequence else []
    return lines


def _wrapped(text: str, width: int, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=others, break_on_hyphens=False
    )
