# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cases a run measures, and with whom: all of them, or what the named rows need."""

from __future__ import annotations

from dataclasses import dataclass, field

import contestants as who
from cases import CASES, Case
from contestants import Contestant
from targets import GAINS, ROWS, SECTIONS, Gain, Row


@dataclass
class Plan:
    sections: set[str]
    rows: list[Row]
    gains: list[Gain]
    cases: dict[Case, list[Contestant]] = field(default_factory=dict)

    def add(self, case: Case, contestant: Contestant) -> None:
        with_whom = self.cases.setdefault(case, [])
        if contestant not in with_whom:
            with_whom.append(contestant)

    def has(self, section: str) -> bool:
        return section in self.sections


def is_wanted(section: str, name: str, only: list[str]) -> bool:
    """A section is named exactly, a row by any part of its name."""
    return not only or section in only or any(word.lower() in name.lower() for word in only)


def make(only: list[str]) -> Plan:
    """only: sections or parts of rows' names; all where it is empty. Raises ValueError for one that fits none."""
    names = [row.name for row in ROWS] + [gain.name for gain in GAINS]
    for word in only:
        if word not in SECTIONS and not any(word.lower() in name.lower() for name in names):
            raise ValueError(word)
    rows = [row for row in ROWS if is_wanted(row.section, row.name, only)]
    gains = [gain for gain in GAINS if is_wanted(gain.section, gain.name, only)]
    whole = {name for name in SECTIONS if not only or name in only}
    judged: list[Row | Gain] = [*rows, *gains]
    plan = Plan(whole | {one.section for one in judged}, rows, gains)
    for one in judged:
        for case, contestant in one.uses():
            plan.add(case, contestant)
    if "prices" in whole:
        for case in CASES:
            for contestant in (who.OURS, *who.OPTIONS):
                plan.add(case, contestant)
    return plan
