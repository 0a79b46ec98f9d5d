# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: patterns of use, and the sizes that objects have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """A way to use a pool: its word in the worker, its name, milliseconds it is run for."""

    word: str
    name: str
    milliseconds: int

    @property
    def is_threaded(self) -> bool:
        return self.word in ("two", "ring", "eight")


PATTERNS = (
    Pattern("tight", "tight", 8),
    Pattern("fifo", "FIFO 1000", 8),
    Pattern("burst", "burst 64", 8),
    Pattern("random", "random 10k", 8),
    Pattern("two", "2 threads", 16),
    Pattern("ring", "producer/consumer", 16),
    Pattern("eight", "8 threads on 2 CPUs", 50),
)
BY_WORD = {pattern.word: pattern for pattern in PATTERNS}
SIZES = (4096, 64)


def size_name(size: int) -> str:
    return f"{size // 1024} KiB" if size % 1024 == 0 else f"{size:,} B"


@dataclass(frozen=True)
class Case:
    pattern: Pattern
    size: int

    @property
    def key(self) -> str:
        return f"{self.pattern.word} {self.size}"

    @property
    def name(self) -> str:
        return f"{self.pattern.name}, {size_name(self.size)}"


def case(word: str, size: int) -> Case:
    return Case(BY_WORD[word], size)


CASES = tuple(Case(pattern, size) for size in SIZES for pattern in PATTERNS)
