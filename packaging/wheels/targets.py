# SPDX-License-Identifier: GPL-3.0-or-later
"""The platforms that have a wheel: what compiles it, what it is called, what may be asked of the system."""

from __future__ import annotations

from dataclasses import dataclass

# The version of CPython whose limited API the wheels keep to.
OLDEST_PYTHON = "3.11"


@dataclass(frozen=True)
class Target:
    """One wheel. Every one is for OLDEST_PYTHON and later with the lock (abi3)."""

    triple: str
    """What zig calls the platform, with the oldest libc or system that is served."""
    system: str
    """What setup.py calls the system."""
    tag: str
    """The platform in the wheel's file name; several are sorted, as tools write them."""


TARGETS = {
    "manylinux-x86_64": Target(
        "x86_64-linux-gnu.2.17", "linux", "manylinux2014_x86_64.manylinux_2_17_x86_64"
    ),
    "manylinux-aarch64": Target(
        "aarch64-linux-gnu.2.17", "linux", "manylinux2014_aarch64.manylinux_2_17_aarch64"
    ),
    "musllinux-x86_64": Target("x86_64-linux-musl", "linux", "musllinux_1_2_x86_64"),
    "musllinux-aarch64": Target("aarch64-linux-musl", "linux", "musllinux_1_2_aarch64"),
    "macos-x86_64": Target("x86_64-macos.10.14", "macos", "macosx_10_14_x86_64"),
    "macos-arm64": Target("aarch64-macos.11.0", "macos", "macosx_11_0_arm64"),
    "windows-x86_64": Target("x86_64-windows-gnu", "windows", "win_amd64"),
}

# Asked for by name, these get the reason.
REFUSED = {
    "free-threaded": "Slabby's objects rely on the interpreter's lock: python3.13t and later get no wheel, and "
    "setup.py refuses them with a sentence",
    "windows-arm64": "the core was never run on Windows for arm64, nor can the machines that build wheels run it",
    "32-bit": "slabby needs a 64-bit system: a reference and a pointer are 64 bits wide",
    "pypy": "PyPy lacks CPython's stable ABI, and the package was never run on it",
}
