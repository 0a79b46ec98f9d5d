# SPDX-License-Identifier: GPL-3.0-or-later
"""What the measurement ran on."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

# Above this load average at the start, threads do not have the CPUs to themselves.
QUIET_LOAD = 1.5


def cpu_model() -> str:
    """A virtual machine's name of its processor may hide the generation; family and model tell it."""
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    name = facts.get("model name") or platform.processor() or "unknown"
    if "cpu family" not in facts:
        return name
    return f"{name} (family {facts['cpu family']}, model {facts.get('model', '?')})"


def is_virtual() -> bool:
    try:
        return " hypervisor" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def compiler() -> str:
    done = subprocess.run(["cc", "--version"], stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.splitlines()[0] if done.stdout else "unknown"


def caution(where: dict[str, Any]) -> list[str]:
    """What to say of a machine that had other work."""
    load = where["load_at_start"][0]
    if load < QUIET_LOAD:
        return []
    return [
        f"The machine had other work (load {load:.1f} at the start): what several threads did, and the"
        " largest of single times, is no result."
    ]


def describe() -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "virtual": is_virtual(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "compiler": compiler(),
        "load_at_start": [round(load, 2) for load in os.getloadavg()],
    }
