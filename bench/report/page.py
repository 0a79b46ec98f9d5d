# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as a page: what was reached, row by row, and what options cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import contestants as who
from cases import BY_WORD, PATTERNS, SIZES, Case, size_name
from figures import count_held
from machine import caution
from plan import Plan
from targets import SECTIONS
from terminal import ratio_text


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def rule(columns: int) -> str:
    return "|---" * columns + "|"


def figure(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    text = ratio_text(cell["median"])
    if cell["bar"] is None:
        return text
    return f"{'**' + text + '**' if cell['holds'] else text} ({cell['bar']:g})"


def sections(result: dict[str, Any]) -> Iterator[str]:
    for section in ("protected", "bare", "medium", "safety"):
        rows = [one for one in result["rows"] if one["section"] == section]
        words = [one.word for one in PATTERNS if any(one.word in row["cells"] for row in rows)]
        if not rows:
            continue
        yield from (f"## {SECTIONS[section]}", "")
        yield row("", *(BY_WORD[word].name for word in words))
        yield rule(len(words) + 1)
        for one in rows:
            yield row(one["name"], *(figure(one["cells"].get(word)) for word in words))
        yield ""


def times(result: dict[str, Any]) -> Iterator[str]:
    """What everybody took, in nanoseconds."""
    everybody = (who.OURS, who.STATIC, who.START, *who.PEERS, *who.ZEROED, *who.HARDENED)
    for size in SIZES:
        cases = [Case(pattern, size) for pattern in PATTERNS]
        yield row(f"ns a pair, {size_name(size)}", *(one.pattern.name for one in cases))
        yield rule(len(cases) + 1)
        for contestant in everybody:
            found = [result["pairs"].get(one.key, {}).get(contestant.key) for one in cases]
            if any(found):
                cells = (f"{one['ns']['median']:.1f}" if one else "" for one in found)
                yield row(contestant.name, *cells)
        yield ""


def gains(result: dict[str, Any]) -> Iterator[str]:
    yield row(SECTIONS["threads"], "measured (at least)")
    yield rule(2)
    for gain in result["gains"]:
        yield row(gain["name"], figure(gain))


def alone(further: list[dict[str, Any]]) -> Iterator[str]:
    yield row("ours alone", "measured", "to reach")
    yield rule(3)
    for item in further:
        value = f"{item['value']:.3g}"
        limit = f"at {'least' if item['at_least'] else 'most'} {item['limit']:g}"
        yield row(item["what"], f"**{value}**" if item["holds"] else value, limit)


def configured(costs: dict[str, Any]) -> Iterator[str]:
    yield "A pool of 500 slabs of 64 bytes on one CPU of so many that the system is configured for:"
    yield ""
    yield row("configured CPUs, ns (10th to 90th of a hundred rounds)", *costs)
    yield rule(len(costs) + 1)
    names = {"pair_ns": "a pair", "burst_ns": "a pair of a burst of 400", "refusal_ns": "a refusal"}
    for key, name in names.items():
        spreads = (cost[key] for cost in costs.values())
        yield row(
            name,
            *(f"{one['median']:.3g} ({one['p10']:.3g} to {one['p90']:.3g})" for one in spreads),
        )


def options(pairs: dict[str, Any]) -> Iterator[str]:
    cases = [Case(pattern, 4096) for pattern in PATTERNS]
    yield row("", *(case.pattern.name for case in cases))
    yield rule(len(cases) + 1)
    for option in who.OPTIONS:
        if any(option.key not in pairs[case.key] for case in cases):
            continue
        parts = (1 / pairs[case.key][option.key]["ours_to_this"]["median"] for case in cases)
        yield row(option.name, *(f"{share:.2f}" for share in parts))


def instructions(counted: dict[str, Any]) -> Iterator[str]:
    yield row("instructions", "allocate", "release", "both", "mean of all pairs")
    yield rule(5)
    for linked, pools in counted.items():
        for pool, steps in pools.items():
            if pool == "fault":
                yield row(linked, f"not counted: {steps}", "", "", "")
                continue
            both = steps["allocate"] + steps["release"]
            cells = (steps["allocate"], steps["release"], both, steps["mean"])
            yield row(f"{pool}, {linked}", *(f"{cell:g}" for cell in cells))


def write(result: dict[str, Any], plan: Plan) -> str:
    where = result["machine"]
    held, bars = count_held(result)
    lines = [
        "# What the benchmark of the core showed",
        "",
        "Written by `./dev bench c --markdown FILE`; [benchmarks.md](benchmarks.md) says what was measured.",
        "",
        f"{where['date']}: {where['cpu']}, {where['cpus']} CPUs"
        f"{' of a virtual machine' if where['virtual'] else ''}, Linux {where['kernel']},"
        f" {where['libc']}, {result['rounds']} rounds; {held} of {bars} targets hold.",
        *caution(where),
        *(f"Left out: {name}: {reason}." for name, reason in result["left_out"].items()),
        "",
        "Ratios are the median of the ratios within a round; behind them in brackets the most that they shall be."
        " **Bold**: it holds.",
        "",
        *sections(result),
    ]
    if result["gains"]:
        lines += [*gains(result), ""]
    if "instructions" in result:
        lines += [*instructions(result["instructions"]), ""]
    if result["further"]:
        lines += [*alone(result["further"]), ""]
        lines += [*configured(result["edges"]["configured_cpus"]), ""]
    lines += times(result)
    if plan.has("prices"):
        lines += [f"{SECTIONS['prices']} (4 KiB):", "", *options(result["pairs"]), ""]
    return "\n".join(lines[:-1]) + "\n"
