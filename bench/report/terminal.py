# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import contestants as who
from cases import BY_WORD, PATTERNS, SIZES, Case, size_name
from figures import count_held
from machine import caution
from plan import Plan
from targets import SECTIONS

NAME, CELL = 46, 19


def short(ns: float) -> str:
    return f"{ns:.1f}" if ns < 1000 else f"{ns:,.0f}"


def ratio_text(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def heading(result: dict[str, Any]) -> Iterator[str]:
    machine = result["machine"]
    loads = ", ".join(f"{load:.2f}" for load in machine["load_at_start"])
    yield "Nanoseconds for one object taken, its first byte written, and given back."
    yield f"{machine['date']} · {machine['cpu']}, {machine['cpus']} CPUs · Linux {machine['kernel']}"
    yield f"{machine['libc']} · {machine['compiler']} · load at start {loads}"
    yield (
        f"{result['rounds']} rounds; in each, all took turns in a shuffled order. Ratios are taken within"
        " each round; medians."
    )
    if machine["virtual"]:
        yield "This is a virtual machine, whose clock drifts: believe the ratios, not the single times."
    yield from caution(machine)
    if who.START.key in result["libraries"]:
        yield f"the tree at the start: {result['libraries'][who.START.key]}"
    for name, reason in result["left_out"].items():
        yield f"left out: {name}: {reason}"
    for key, count in result["late"].items():
        yield f"tried again because the budget of time was spent, {key}: {count:,} times"


def verdict_cell(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return " " * CELL
    if cell["bar"] is None:
        return f"{ratio_text(cell['median'])}".rjust(CELL - 13).ljust(CELL)
    mark = "held" if cell["holds"] else "MISSED"
    return f"{ratio_text(cell['median']):>6} /{cell['bar']:<4g} {mark:<6}".ljust(CELL)


def row_tables(result: dict[str, Any], plan: Plan) -> Iterator[str]:
    for section in ("protected", "bare", "medium", "safety"):
        rows = [row for row in result["rows"] if row["section"] == section]
        if not rows:
            continue
        words = [one.word for one in PATTERNS if any(one.word in row["cells"] for row in rows)]
        yield ""
        yield f"{SECTIONS[section]}: measured / at most"
        yield " " * NAME + "".join(
            f"  {BY_WORD[word].name:<{CELL - 2}.{CELL - 2}}" for word in words
        )
        for row in rows:
            cells = "".join(verdict_cell(row["cells"].get(word)) for word in words)
            yield f"  {row['name']:<{NAME - 2}}{cells}".rstrip()
    if result["gains"]:
        yield ""
        yield f"{SECTIONS['threads']}: measured / at least"
        for gain in result["gains"]:
            yield f"  {gain['name']:<{NAME - 2}}{verdict_cell(gain)}".rstrip()


def time_tables(result: dict[str, Any], plan: Plan) -> Iterator[str]:
    """What everybody took, size by size."""
    for size in sorted({case.size for case in plan.cases}, reverse=True):
        words = [one.word for one in PATTERNS if f"{one.word} {size}" in result["pairs"]]
        columns = [result["pairs"][f"{word} {size}"] for word in words]
        yield ""
        yield f"ns a pair, {size_name(size)}: median (10th to 90th of a hundred)"
        yield " " * 30 + "".join(f"{BY_WORD[word].name[:20]:>26}" for word in words)
        for one in contestants_of(plan, size):
            if not any(one.key in column for column in columns):
                continue
            cells = ""
            for column in columns:
                ns = column[one.key]["ns"] if one.key in column else None
                text = (
                    f"{short(ns['median'])} ({short(ns['p10'])}-{short(ns['p90'])})" if ns else ""
                )
                cells += f"{text:>26}"
            yield f"  {one.name[:28]:<28}{cells}"


def contestants_of(plan: Plan, size: int) -> list[who.Contestant]:
    seen: list[who.Contestant] = []
    for case, with_whom in plan.cases.items():
        if case.size == size:
            seen.extend(one for one in with_whom if one not in seen)
    return seen


def option_tables(pairs: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield f"{SECTIONS['prices']}; median (10th to 90th of a hundred)"
    for size in SIZES:
        cases = [Case(pattern, size) for pattern in PATTERNS]
        yield f"  {size_name(size):<24}" + "".join(f"{one.pattern.name[:17]:>19}" for one in cases)
        for option in who.OPTIONS:
            if any(option.key not in pairs[one.key] for one in cases):
                continue
            cells = ""
            for one in cases:
                share = pairs[one.key][option.key]["ours_to_this"]
                text = f"{1 / share['median']:.2f} ({1 / share['p90']:.2f}-{1 / share['p10']:.2f})"
                cells += f"{text:>19}"
            yield f"  {option.name:<24}{cells}"


def tail_table(title: str, tails: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield title
    yield f"  {'':<33}" + "".join(
        f"{kind + ' ' + percentile:>13}"
        for kind in ("take", "give")
        for percentile in ("p50", "p99", "p99.9", "max")
    )
    for one in (who.OURS, *who.PEERS):
        if one.key not in tails:
            continue
        mine = tails[one.key]
        cells = "".join(
            f"{short(mine[kind][percentile]):>13}"
            for kind in ("take", "give")
            for percentile in ("p50", "p99", "p999", "max")
        )
        refused = mine["refused"]
        more = f"  {mine['storms']} storms" if mine["storms"] else ""
        if refused["count"]:
            more += f", {refused['count']:,} refused in {short(refused['p50'])} ns (p50)"
        yield f"  {one.name:<33}{cells}{more}"


def tail_tables(tails: dict[str, Any]) -> Iterator[str]:
    floor = tails["calm"][who.OURS.key]["floor"]
    yield from tail_table(
        f"Single operations, 4 KiB, ns, of which about {floor:.0f} are the clock's own",
        tails["calm"],
    )
    yield from tail_table(
        "The same while another thread exhausts the pool and gives all back, again and again",
        tails["storm"],
    )


def own_tables(result: dict[str, Any]) -> Iterator[str]:
    edges, many = result["edges"], result["edges"]["many_pools"]
    yield ""
    yield SECTIONS["edges"]
    for row in result["further"]:
        limit = f"at {'least' if row['at_least'] else 'most'} {row['limit']:g}"
        mark = "held" if row["holds"] else "MISSED"
        yield f"  {row['what']:<48} {row['value']:>10.3g}   {limit:<14} {mark}"
    drain, metadata = edges["drain_us"], edges["bookkeeping"]
    yield f"  the first refusal, which closes the gate: {edges['full']['first_ns'] / 1e3:.1f} us"
    yield (
        "  drain, the slowest allocation of an exhaustion, us (10th, median, 90th of a hundred): "
        + "; ".join(
            f"{kind} {drain[kind]['p10']:.2f}, {drain[kind]['median']:.2f}, {drain[kind]['p90']:.2f}"
            for kind in ("idle", "busy")
        )
    )
    yield (
        f"  {many['pools']:,} pools of {many['capacity']} slabs of 4 KiB: {many['create_us']:.1f} us to"
        f" create one, {many['destroy_us']:.1f} us to destroy; resident {many['resident'] / 1024:.1f} KiB"
        f" each, {many['resident_once_used'] / 1024:.1f} KiB once used"
    )
    yield (
        f"  bookkeeping: {metadata['bytes'] / metadata['slabs']:.1f} bytes a slab,"
        f" stride {metadata['stride']} for 4096"
    )
    yield "  a pool of 500 with so many CPUs configured, ns: a pair, a pair of a burst, a refusal"
    for cpus, cost in edges["configured_cpus"].items():
        yield (
            f"    {cpus:>5} {cost['pair_ns']['median']:>10.1f} {cost['burst_ns']['median']:>10.1f}"
            f" {cost['refusal_ns']['median']:>10.0f}"
        )
    names = {one.key: one.name for one in (who.OURS, *who.PEERS)}
    yield "  creation, 100,000 objects of 4 KiB:"
    for key, made in result["creation"].items():
        yield (
            f"    {names[key]:<33} {short(made['us']['median']):>10} us,"
            f" {made['resident'] / 1024:>10,.0f} KiB resident"
        )


def instruction_table(instructions: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield (
        f"{SECTIONS['instructions']}, stepped through: allocate + release of most pairs;"
        " mean with samples and refills"
    )
    for linked, pools in instructions.items():
        for pool, steps in pools.items():
            if pool == "fault":
                yield f"  {linked}: not counted: {steps}"
                continue
            both = steps["allocate"] + steps["release"]
            together = f"{steps['allocate']:.0f} + {steps['release']:.0f} = {both:.0f}"
            yield f"  {pool + ', ' + linked:<58}{together:>18}   mean {steps['mean']:.1f}"


def summary(result: dict[str, Any]) -> Iterator[str]:
    held, bars = count_held(result)
    yield ""
    yield f"{held} of {bars} targets hold."


def render(result: dict[str, Any], plan: Plan) -> str:
    lines = [*heading(result)]
    lines += time_tables(result, plan)
    if plan.has("prices"):
        lines += option_tables(result["pairs"])
    if result["tails"]:
        lines += tail_tables(result["tails"])
    if "edges" in result:
        lines += own_tables(result)
    if "instructions" in result:
        lines += instruction_table(result["instructions"])
    lines += row_tables(result, plan)
    lines += summary(result)
    return "\n".join(lines)
