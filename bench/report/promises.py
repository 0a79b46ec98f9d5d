# SPDX-License-Identifier: GPL-3.0-or-later
"""The price of each option beside what it promises: a column of the table in docs/security.md."""

from __future__ import annotations

from typing import Any

import contestants as who
from cases import case

HEADER = "| option | promise | price | test |"
WORDS = ("tight", "two")  # patterns whose ratios stand in a cell, in this order
PRICED = {
    "`secure`": who.SECURE,
    "`bit_guard`": who.BIT_GUARD,
    "`guard_pages`": who.GUARD_PAGES,
    "`guard_sample_rate`": who.SAMPLED_1000,
    "`reuse_delay`": who.REUSE_DELAY,
    "`shuffle`": who.SHUFFLE,
    "`debug`": who.DEBUG,
    "`audit`": who.AUDIT,
    "`lock_memory`": who.configuration("lock_memory", "lock_memory=best_effort"),
    "`no_dump`": who.configuration("no_dump", "no_dump=on"),
}
# The N of options that take a number, as their configuration sets it.
NUMBERS = {"`guard_sample_rate`": 1000, "`reuse_delay`": 1000, "`audit`": 65536}


def ratio(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def price(option: str, pairs: dict[str, Any]) -> str | None:
    """None where the run did not measure the option."""
    found = [pairs.get(case(word, 4096).key, {}).get(PRICED[option].key) for word in WORDS]
    if not all(found):
        return None
    measured = " / ".join(ratio(1 / one["ours_to_this"]["median"]) for one in found if one)
    return measured + (f" (N = {NUMBERS[option]:,})" if option in NUMBERS else "")


def update(page: str, pairs: dict[str, Any]) -> str:
    """The page with the prices of this run. Raises ValueError where it has no table for them."""
    lines = page.split("\n")
    if lines.count(HEADER) != 1:
        raise ValueError(f'the line "{HEADER}" must stand there once')
    missing = set(PRICED)
    for number in range(lines.index(HEADER) + 2, len(lines)):
        if not lines[number].startswith("|"):
            break
        cells = lines[number].split("|")
        option = cells[1].strip()
        if option in PRICED:
            missing.discard(option)
            measured = price(option, pairs)
            if measured is not None:
                cells[3] = f" {measured} "
                lines[number] = "|".join(cells)
    if missing:
        raise ValueError(f"the table has no row for {', '.join(sorted(missing))}")
    return "\n".join(lines)
