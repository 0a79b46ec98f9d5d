# SPDX-License-Identifier: GPL-3.0-or-later
"""Medians and ratios of measurements that took turns, and what they are held against."""

from __future__ import annotations

from typing import Any

import contestants as who
from cases import case
from plan import Plan
from targets import Gain, Row

Times = dict[str, dict[str, list[float]]]

TARGET_REFUSAL_NS = 1000.0
TARGET_NEARLY_FULL = 0.3
TARGET_DRAIN_US = 50.0


def spread(values: list[float]) -> dict[str, float]:
    """The 10th, 50th and 90th of a hundred, by the nearest rank, and how many there are."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "p10": ordered[round(last * 0.1)],
        "median": ordered[round(last * 0.5)],
        "p90": ordered[round(last * 0.9)],
        "rounds": len(ordered),
    }


def ratio(ours: list[float], theirs: list[float], factor: float = 1.0) -> dict[str, float]:
    """Taken within each round."""
    return spread([factor * a / b for a, b in zip(ours, theirs, strict=True)])


def summarise_pairs(times: Times) -> dict[str, Any]:
    """times[case][contestant] lists ns by round; what each costs, and ours as a share of it."""
    summary: dict[str, Any] = {}
    for key, by_contestant in times.items():
        ours = by_contestant.get(who.OURS.key)
        summary[key] = {}
        for contestant, ns in by_contestant.items():
            summary[key][contestant] = {"ns": spread(ns)}
            if ours is not None:
                summary[key][contestant]["ours_to_this"] = ratio(ours, ns)
    return summary


def row_verdicts(row: Row, times: Times) -> dict[str, Any]:
    """By pattern the ratio, its bar and whether it holds; patterns without figures are missing."""
    cells: dict[str, Any] = {}
    for word, bar in row.bars.items():
        here = times[case(word, row.size).key]
        against = [one for one in row.against if one.key in here]
        if row.subject.key not in here or not against:
            continue
        ratios = [ratio(here[row.subject.key], here[one.key]) for one in against]
        dearest = max(ratios, key=lambda one: one["median"])
        cells[word] = {**dearest, "bar": bar, "holds": bar is None or dearest["median"] <= bar}
    return {"section": row.section, "name": row.name, "cells": cells}


def gain_verdict(gain: Gain, times: Times) -> dict[str, Any] | None:
    few = times[case(gain.few, gain.size).key].get(gain.subject.key)
    many = times[case(gain.many, gain.size).key].get(gain.subject.key)
    if few is None or many is None:
        return None
    gained = ratio(few, many, gain.factor)
    return {
        "name": gain.name,
        **gained,
        "bar": gain.bar,
        "holds": gained["median"] >= gain.bar,
    }


def judge(plan: Plan, result: dict[str, Any]) -> None:
    """Adds what is derived from the times."""
    times: Times = result["times"]
    result["pairs"] = summarise_pairs(times)
    rows = [row_verdicts(row, times) for row in plan.rows]
    result["rows"] = [row for row in rows if row["cells"]]
    gains = [gain_verdict(gain, times) for gain in plan.gains]
    result["gains"] = [gain for gain in gains if gain is not None]
    result["further"] = further_verdicts(result["edges"]) if "edges" in result else []


def count_held(result: dict[str, Any]) -> tuple[int, int]:
    """Bars that hold, and all of them."""
    cells = [cell for row in result["rows"] for cell in row["cells"].values()]
    barred = [one for one in cells if one["bar"] is not None] + result["gains"] + result["further"]
    return sum(one["holds"] for one in barred), len(barred)


def further_verdicts(edges: dict[str, Any]) -> list[dict[str, Any]]:
    """Targets that concern ours alone."""
    nearly_full = edges["nearly_full"]
    rows = [
        ("refusal of a full pool, ns", edges["full"]["ns"]["median"], TARGET_REFUSAL_NS, False),
        (
            "interrupts to another CPU by 100,000 refusals",
            edges["full"]["interrupts"],
            0.0,
            False,
        ),
        (
            "99 % full, throughput to empty",
            nearly_full["from_below"]["median"],
            TARGET_NEARLY_FULL,
            True,
        ),
        (
            "99 % full after 100 %, throughput to empty",
            nearly_full["back_from_full"]["median"],
            TARGET_NEARLY_FULL,
            True,
        ),
        ("drain of a busy CPU, us", edges["drain_us"]["busy"]["median"], TARGET_DRAIN_US, False),
    ]
    return [
        {
            "what": what,
            "value": value,
            "limit": limit,
            "at_least": at_least,
            "holds": value >= limit if at_least else 0 <= value <= limit,
        }
        for what, value, limit, at_least in rows
    ]
