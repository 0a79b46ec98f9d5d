# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences that readers stumbled over read as they should, and their old forms are not there."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

# Where the sentence stands, and what it said before.
SENTENCES = (
    (
        "README.md",
        "that process many same-sized buffers",
        "push many buffers of one size through themselves",
    ),
    (
        "README.md",
        "On Debian-based systems, ./dev installs missing packages when run as root.",
        "on Debian and its kin, root gets missing packages by",
    ),
    (
        "core/include/slabby/slabby.h",
        "-1 clears it. A thread that sets none inherits the binding of the pool's creator.",
        "-1 takes it back: a thread that says nothing has the",
    ),
    (
        "docs/fast-path.md",
        "Revocation is lock-free: any thread may complete it.",
        "finds nobody helps itself",
    ),
    (
        "docs/fast-path.md",
        "revokes the bias: marks the word as revoking, then issues a membarrier",
        "*shares* the word first: says nobody, runs the fence",
    ),
    ("docs/fast-path.md", "biasing is disabled for good", "nobody owns any more"),
    (
        "docs/health.md",
        "the older baseline is discarded every 30 s, on the next tick, snapshot or slow path",
        "the older is dropped every half minute by",
    ),
    (
        "docs/architecture.md",
        "each released slab is withdrawn until the target is reached",
        "each release pays",
    ),
    (
        "docs/go.md",
        "When disabled, each costs one load per allocation and stores nothing.",
        "Off, both cost a load an allocation and keep nothing",
    ),
    (
        "docs/go.md",
        "Another goroutine can release the slab while you use the slice; Pin prevents that.",
        "Nothing keeps another goroutine from releasing the slab",
    ),
)


def prose(path: str) -> str:
    """The text of a file without line ends and the stars of comments."""
    text = (ROOT / path).read_text(encoding="utf-8", errors="replace")
    return re.sub(r"\s+(?:\* )?", " ", text)


def read_by_users() -> list[str]:
    """The pages and the public headers."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    headers = (ROOT / "core/include").rglob("*.h")
    return [path.relative_to(ROOT).as_posix() for path in (*pages, *headers)]


@pytest.mark.parametrize(("path", "now"), [(path, now) for path, now, _ in SENTENCES])
def test_the_sentence_reads_as_it_should(path: str, now: str) -> None:
    assert now in prose(path)


def test_no_old_sentence_is_left() -> None:
    found = []
    for path in read_by_users():
        text = prose(path)
        found += [f"{path}: {old}" for _, _, old in SENTENCES if old in text]
    assert not found
