# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests/abi keeps of earlier versions still holds: today's header only grew, and so did the library."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "tests" / "abi"
sys.path.insert(0, str(ROOT / "bindings" / "gen"))

from header import CODES_PATH, HEADER_PATH, Struct, structs_of  # noqa: E402

# One snapshot before the first release, of the version that is to be released (`./dev abi-snapshot`); afterwards one
# for each release.
VERSIONS = sorted(path.parent.name for path in STORED.glob("*/slabby.h"))
NOW = structs_of((ROOT / HEADER_PATH).read_text(encoding="utf-8"))


def members(struct: Struct) -> list[tuple[str, str, int]]:
    """What fixes the places: type, name and length; room that was reserved may get a name."""
    return [(m.type, m.name, m.length) for m in struct.members]


def grew(old: list[tuple[str, str, int]], new: list[tuple[str, str, int]]) -> bool:
    if len(new) < len(old):
        return False
    pairs = zip(old, new[: len(old)], strict=True)
    return all(a == b or (a[1] == "reserved" and a[0::2] == b[0::2]) for a, b in pairs)


def codes(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"\b(SLABBY_\w+) = (-?\d+)", text)}


def test_there_is_a_snapshot() -> None:
    """Without one the tests below would be about nothing."""
    assert VERSIONS, "tests/abi holds no snapshot; ./dev abi-snapshot makes one"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_structs_only_grow(version: str) -> None:
    now = {struct.name: members(struct) for struct in NOW}
    stored = structs_of((STORED / version / "slabby.h").read_text(encoding="utf-8"))
    assert stored
    changed = [s.name for s in stored if not grew(members(s), now.get(s.name, []))]
    assert changed == []


@pytest.mark.parametrize("version", VERSIONS)
def test_codes_keep_their_values(version: str) -> None:
    now = codes((ROOT / CODES_PATH).read_text(encoding="utf-8"))
    stored = codes((STORED / version / "codes.h").read_text(encoding="utf-8"))
    assert len(stored) > 50
    assert {name: now.get(name) for name in stored} == stored


@pytest.mark.parametrize("version", VERSIONS)
def test_functions_are_compatible(version: str) -> None:
    """By abidiff: exit status 4 or 8 means a change that the suppressions do not know as growth."""
    library = os.environ.get("COMPAT_LIBRARY")
    if library is None:
        pytest.skip("COMPAT_LIBRARY is not set; run ./dev test compat")
    if shutil.which("abidiff") is None:
        pytest.skip("abidiff is not installed (Debian: abigail-tools)")
    command = ["abidiff", "--no-added-syms", "--suppressions", str(STORED / "grown.abignore")]
    command += ["--headers-dir2", str(ROOT / "core" / "include")]
    command += [str(STORED / version / "libslabby.abi"), library]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_moved_member_is_noticed() -> None:
    old = [("uint32_t", "struct_size", 0), ("uint64_t", "one", 0)]
    assert grew(old, [*old, ("uint64_t", "two", 0)])
    assert not grew(old, [old[0], ("uint64_t", "two", 0), old[1]])
    assert not grew(old, old[:1])
    assert not grew(old, [old[0], ("uint64_t", "one", 2)])
