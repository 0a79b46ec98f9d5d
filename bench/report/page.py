# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as a page: what was reached, case by case, and what options cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from figures import CASES, OPTIONS, OURS, PEERS, TARGETS, target
from machine import caution


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def rule(columns: int) -> str:
    return "|---" * columns + "|"


def figure(value: float, holds: bool) -> str:
    text = f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
    return f"**{text}**" if holds else text


def ratios(pairs: dict[str, Any]) -> Iterator[str]:
    cases = [case for key in TARGETS for case in CASES if case.key == key]
    yield row("", *(case.name for case in cases))
    yield rule(len(cases) + 1)
    yield row("Slabby, ns", *(f"{pairs[case.key][OURS]['ns']['median']:.1f}" for case in cases))
    for peer, name in PEERS.items():
        cells = []
        for case in cases:
            limit = target(case, peer)
            if limit is None or peer not in pairs[case.key]:
                cells.append("left out")
                continue
            ratio = pairs[case.key][peer]["ours_to_this"]["median"]
            cells.append(f"{figure(ratio, ratio <= limit)} ({limit:g})")
        yield row(name, *cells)


def alone(further: list[dict[str, Any]]) -> Iterator[str]:
    yield row("ours alone", "measured", "to reach")
    yield rule(3)
    for item in further:
        value = f"{item['value']:.3g}"
        limit = f"at {'least' if item['at_least'] else 'most'} {item['limit']:g}"
        yield row(item["what"], f"**{value}**" if item["holds"] else value, limit)


def options(pairs: dict[str, Any]) -> Iterator[str]:
    cases = [case for case in CASES if case.size == 4096]
    yield row("", *(case.pattern.name for case in cases))
    yield rule(len(cases) + 1)
    for option, name in OPTIONS.items():
        if any(option not in pairs[case.key] for case in cases):
            continue
        parts = (1 / pairs[case.key][option]["ours_to_this"]["median"] for case in cases)
        yield row(name, *(f"{share:.2f}" for share in parts))


def write(result: dict[str, Any]) -> str:
    where = result["machine"]
    lines = [
        "# What the benchmark of the core showed",
        "",
        "Written by `./dev bench c --markdown FILE`; [benchmarks.md](benchmarks.md) says what was measured.",
        "",
        f"{where['date']}: {where['cpu']}, {where['cpus']} CPUs"
        f"{' of a virtual machine' if where['virtual'] else ''}, Linux {where['kernel']},"
        f" {where['libc']}, {result['rounds']} rounds.",
        *caution(where),
        "",
        "Ours / peer, the median of the ratios within a round; behind it the most that it shall be. **Bold**:"
        " it holds.",
        "",
        *ratios(result["pairs"]),
        "",
        *alone(result["further"]),
        "",
        "What an option costs, as a multiple of the default (4 KiB):",
        "",
        *options(result["pairs"]),
    ]
    return "\n".join(lines) + "\n"
