# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from figures import CASES, OPTIONS, OURS, PEERS, SIZES, Case, target
from machine import caution

BAR_CELLS = 24
BAR_RATIO = 2.0
EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(ratio: float) -> str:
    """A ratio as a bar; its full length means 2 or more."""
    eighths = round(min(ratio / BAR_RATIO, 1.0) * BAR_CELLS * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (EIGHTHS[rest] if rest else "")).ljust(BAR_CELLS)


def mark(holds: bool) -> str:
    return "holds" if holds else "MISSED"


def short(ns: float) -> str:
    return f"{ns:.1f}" if ns < 1000 else f"{ns:,.0f}"


def heading(result: dict[str, Any]) -> Iterator[str]:
    machine = result["machine"]
    loads = ", ".join(f"{load:.2f}" for load in machine["load_at_start"])
    yield "Nanoseconds for one object taken, its first byte written, and given back."
    yield f"{machine['date']} · {machine['cpu']}, {machine['cpus']} CPUs · Linux {machine['kernel']}"
    yield f"{machine['libc']} · {machine['compiler']} · load at start {loads}"
    yield (
        f"{result['rounds']} rounds; in each, all took turns in a shuffled order. ratio = ours / peer,"
        " taken within each round: median (10th to 90th of a hundred)."
    )
    if machine["virtual"]:
        yield "This is a virtual machine, whose clock drifts: believe the ratios, not the single times."
    yield from caution(machine)
    for name, reason in result["left_out"].items():
        yield f"left out: {PEERS[name]}: {reason}"


def case_table(case: Case, by_name: dict[str, Any]) -> Iterator[str]:
    ours = by_name[OURS]["ns"]
    yield ""
    yield (
        f"{case.name:<34} {'ns':>8} {'p10':>8}   ratio (spread)       must    {'':6}"
        f" 0 {'1':>{BAR_CELLS // 2 - 1}} {'2':>{BAR_CELLS // 2 - 1}}"
    )
    yield f"  {'slabby':<32} {short(ours['median']):>8} {short(ours['p10']):>8}"
    for peer, name in PEERS.items():
        if peer not in by_name:
            continue
        ns, ratio = by_name[peer]["ns"], by_name[peer]["ours_to_this"]
        limit = target(case, peer)
        verdict = f"{limit:<5.2f}" if limit is not None else "     "
        verdict += f" {mark(ratio['median'] <= limit) if limit is not None else '':<6}"
        range_of = f"({ratio['p10']:.3f} to {ratio['p90']:.3f})"
        yield (
            f"  {name:<32} {short(ns['median']):>8} {short(ns['p10']):>8}"
            f"   {ratio['median']:.3f} {range_of:<18} {verdict}  {bar(ratio['median'])}"
        )


def option_tables(pairs: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield "Price of options: the default is 1.00; median (10th to 90th of a hundred)"
    for size in SIZES:
        cases = [case for case in CASES if case.size == size]
        label = "4 KiB" if size == 4096 else f"{size} B"
        yield f"  {label:<24}" + "".join(f"{case.pattern.name[:17]:>19}" for case in cases)
        for option, name in OPTIONS.items():
            if any(option not in pairs[case.key] for case in cases):
                continue
            cells = ""
            for case in cases:
                share = pairs[case.key][option]["ours_to_this"]
                text = f"{1 / share['median']:.2f} ({1 / share['p90']:.2f}-{1 / share['p10']:.2f})"
                cells += f"{text:>19}"
            yield f"  {name:<24}{cells}"


def tail_table(title: str, tails: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield title
    yield f"  {'':<33}" + "".join(
        f"{kind + ' ' + percentile:>13}"
        for kind in ("take", "give")
        for percentile in ("p50", "p99", "p99.9", "max")
    )
    for name in [OURS, *PEERS]:
        if name not in tails:
            continue
        cells = "".join(
            f"{short(tails[name][kind][percentile]):>13}"
            for kind in ("take", "give")
            for percentile in ("p50", "p99", "p999", "max")
        )
        refused = tails[name]["refused"]
        more = ""
        if tails[name]["storms"]:
            more = f"  {tails[name]['storms']} storms"
        if refused["count"]:
            more += f", {refused['count']:,} refused in {short(refused['p50'])} ns (p50)"
        yield f"  {PEERS.get(name, name):<33}{cells}{more}"


def own_tables(result: dict[str, Any]) -> Iterator[str]:
    edges, many = result["edges"], result["edges"]["many_pools"]
    yield ""
    yield "Ours alone"
    for row in result["further"]:
        limit = f"at {'least' if row['at_least'] else 'most'} {row['limit']:g}"
        yield f"  {row['what']:<48} {row['value']:>10.3g}   {limit:<14} {mark(row['holds'])}"
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
    yield f"  bookkeeping: {metadata['bytes'] / metadata['slabs']:.1f} bytes a slab, stride {metadata['stride']} for 4096"
    yield "  creation, 100,000 objects of 4 KiB:"
    for name, made in result["creation"].items():
        yield (
            f"    {PEERS.get(name, name):<33} {short(made['us']['median']):>10} us,"
            f" {made['resident'] / 1024:>10,.0f} KiB resident"
        )


def summary(result: dict[str, Any]) -> Iterator[str]:
    rows = result["verdicts"] + result["further"]
    missed = [row for row in rows if not row["holds"]]
    yield ""
    yield f"{len(rows) - len(missed)} of {len(rows)} targets hold."


def render(result: dict[str, Any]) -> str:
    lines = [*heading(result)]
    for case in CASES:
        lines += case_table(case, result["pairs"][case.key])
    lines += option_tables(result["pairs"])
    floor = result["tails"]["calm"][OURS]["floor"]
    lines += tail_table(
        f"Single operations, 4 KiB, ns, of which about {floor:.0f} are the clock's own",
        result["tails"]["calm"],
    )
    lines += tail_table(
        "The same while another thread exhausts the pool and gives all back, again and again",
        result["tails"]["storm"],
    )
    lines += own_tables(result)
    lines += summary(result)
    return "\n".join(lines)
