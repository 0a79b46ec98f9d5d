# SPDX-License-Identifier: GPL-3.0-or-later
"""What shall be reached: rows of ratios, each with its bars by pattern."""

from __future__ import annotations

from dataclasses import dataclass

import contestants as who
from cases import PATTERNS, SIZES, Case, case, size_name
from contestants import Contestant


@dataclass(frozen=True)
class Row:
    """What `subject` costs as a share of `against`; of several, of the one that is the fastest in a case.

    bars: by pattern the most that it shall be, or None where it is only shown.
    """

    section: str
    name: str
    subject: Contestant
    size: int
    against: tuple[Contestant, ...]
    bars: dict[str, float | None]

    def uses(self) -> list[tuple[Case, Contestant]]:
        pair = (self.subject, *self.against)
        return [(case(word, self.size), one) for word in self.bars for one in pair]


@dataclass(frozen=True)
class Gain:
    """What more threads do, as a multiple of fewer: `many` against `few`, at least `bar`."""

    name: str
    subject: Contestant
    size: int
    few: str
    many: str
    factor: int
    bar: float
    section: str = "threads"

    def uses(self) -> list[tuple[Case, Contestant]]:
        return [(case(word, self.size), self.subject) for word in (self.few, self.many)]


def protected() -> list[Row]:
    """The price of protections. Bars: tight, FIFO, random, two threads, producer and consumer."""
    words = ("tight", "fifo", "random", "two", "ring")
    hand, bare = (who.HAND,), (who.START,)
    table: list[tuple[Contestant, int, tuple[Contestant, ...], tuple[float | None, ...]]] = [
        (who.SECURE, 4096, hand, (0.95, 0.9, 0.9, 0.95, 0.5)),
        (who.SECURE, 64, hand, (0.95, 0.95, 0.8, 0.95, 0.5)),
        (who.BIT_GUARD, 4096, bare, (2.5, 2.5, 2.0, 2.5, 1.6)),
        (who.QUICK_START, 4096, hand, (1.05, 1.0, 1.0, 1.05, 0.7)),
        (who.TRADING, 4096, hand, (1.15, 1.15, 1.15, 1.15, 0.8)),
        (who.GATEWAY, 8192, hand, (1.15, 1.15, 1.15, 1.15, 0.8)),
        (who.ANALYTICS, 16384, hand, (1.15, 1.15, 1.15, 1.15, 0.8)),
        (who.SAMPLED_1000, 4096, bare, (1.8, 1.8, 1.5, 1.8, 1.5)),
        (who.SAMPLED_5000, 4096, bare, (1.15, 1.15, 1.1, 1.15, 1.1)),
        (who.AUDIT, 4096, bare, (4, 4, 3, 4, 3)),
        (who.SHUFFLE, 4096, bare, (2, 2, 1.5, 2.5, 2)),
        (who.REUSE_DELAY, 64, bare, (4, 4, 4, 6, 4)),
        (who.TIMED, 4096, bare, (4, 4, 3, 4, 3)),
        (who.PORTABLE, 4096, bare, (2.5, 2.5, 2, 2.5, 3)),
        (who.UNCACHED, 4096, bare, (6, 6, 5, 12, 6)),
        (who.DEBUG, 4096, bare, (150, 150, 100, 150, 40)),
        (who.BATCHES, 4096, bare, (0.4, 0.4, None, 0.4, None)),
        (who.FAST, 4096, bare, (1.0, 1.0, 1.0, 1.0, 1.0)),
    ]
    rows = []
    for subject, size, against, limits in table:
        over = "hand" if against == hand else "bare"
        bars = {word: bar for word, bar in zip(words, limits, strict=True) if bar is not None}
        name = f"{subject.name}, {size_name(size)} / {over}"
        rows.append(Row("protected", name, subject, size, against, dict(bars)))
    for subject in who.BY_HAND:
        name = f"{subject.name}, {size_name(4096)} / bare"
        rows.append(Row("protected", name, subject, 4096, bare, dict.fromkeys(words)))
    return rows


def instead() -> list[Row]:
    """Beside what people would use for safety: shown at every size, with bars at 1,500 bytes."""
    rows = []
    for size in (4096, 64):
        for subject in (who.SECURE, who.QUICK_START):
            for other in who.ZEROED + who.HARDENED:
                words = ("tight", "fifo", "random", "two", "ring")
                name = f"{subject.name}, {size_name(size)} / {other.name}"
                rows.append(Row("safety", name, subject, size, (other,), dict.fromkeys(words)))
    medium = [
        (who.SECURE, who.ZEROED, "the fastest + bzero", 1.05),
        (who.TRADING, (who.MIMALLOC_SECURE,), "mimalloc secure", 0.9),
        (who.GATEWAY, (who.MIMALLOC_SECURE,), "mimalloc secure", 0.9),
        (who.TRADING, (who.SCUDO,), "Scudo", 0.6),
        (who.GATEWAY, (who.SCUDO,), "Scudo", 0.6),
        (who.OURS, who.ZEROED, "the fastest + bzero", None),
        (who.BIT_GUARD, who.ZEROED, "the fastest + bzero", None),
        (who.ANALYTICS, who.ZEROED, "the fastest + bzero", None),
    ]
    for subject, against, other_name, bar in medium:
        name = f"{subject.name}, {size_name(1500)} / {other_name}"
        rows.append(Row("medium", name, subject, 1500, tuple(against), {"tight": bar}))
    return rows


def bare() -> list[Row]:
    """The pair without options."""
    rows = []
    for size in SIZES:
        at_size = size_name(size)
        bars: dict[str, float | None]
        for one in who.MALLOCS:
            bars = {pattern.word: 1.0 if size == 4096 else None for pattern in PATTERNS}
            bars["ring"] = 0.15
            rows.append(Row("bare", f"bare, {at_size} / {one.name}", who.OURS, size, (one,), bars))
        if size == 64:
            bars = {pattern.word: 1.25 for pattern in PATTERNS if pattern.word != "ring"}
            name = f"bare, {at_size} / the fastest malloc"
            rows.append(Row("bare", name, who.OURS, size, who.MALLOCS, bars))
        for one in who.FLOORS:
            bars = {pattern.word: None for pattern in PATTERNS}
            rows.append(Row("bare", f"bare, {at_size} / {one.name}", who.OURS, size, (one,), bars))
        bars = {pattern.word: 1.02 for pattern in PATTERNS}
        name = f"bare, {at_size} / the tree at the start"
        rows.append(Row("bare", name, who.OURS, size, (who.START,), bars))
        bars = {pattern.word: None for pattern in PATTERNS}
        name = f"static with LTO, {at_size} / bare"
        rows.append(Row("bare", name, who.STATIC, size, (who.OURS,), bars))
    return rows


def gains() -> list[Gain]:
    protections = (
        who.SECURE,
        who.BIT_GUARD,
        who.GUARD_PAGES,
        who.SAMPLED_1000,
        who.SAMPLED_5000,
        who.AUDIT,
        who.SHUFFLE,
        who.REUSE_DELAY,
        who.DEBUG,
        who.QUICK_START,
    )
    rows = []
    for subject in (who.OURS, *protections):
        rows.append(Gain(f"{subject.name}, 2 threads to 1", subject, 4096, "tight", "two", 2, 1.7))
    for subject in (who.OURS, *protections):
        name = f"{subject.name}, 8 threads to 2"
        rows.append(Gain(name, subject, 4096, "two", "eight", 1, 0.8))
    return rows


ROWS = protected() + bare() + instead()
GAINS = gains()

SECTIONS = {
    "protected": "Protected pools; hand: glibc malloc, first line touched, explicit_bzero, free;"
    " bare: the pool without options of the tree at the start",
    "bare": "The bare pair",
    "medium": "Objects of 1,500 bytes, one thread",
    "safety": "Beside what people would use for safety, without bars",
    "threads": "What more threads do, as a multiple of fewer",
    "prices": "What an option costs, as a multiple of the default",
    "single": "Single operations, one by one",
    "edges": "Ours alone",
    "instructions": "Instructions of a pair",
}
