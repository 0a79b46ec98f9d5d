# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as a picture: for each case the time of every peer as a multiple of ours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from cases import CASES, Case
from contestants import OURS, PEERS
from machine import caution

WIDTH, LEFT, RIGHT = 860, 250, 90
ROW, GAP, TOP, BOTTOM = 17, 34, 76, 34
LEAST, MOST = 0.25, 512.0  # multiples of ours at the edges of the logarithmic scale
DRAWN = ("tight 4096", "fifo 4096", "random 4096", "ring 4096", "eight 4096", "tight 64")
COLOURS = {
    "glibc": "#8c564b",
    "mimalloc": "#9467bd",
    "jemalloc": "#d62728",
    "tcmalloc_minimal": "#ff7f0e",
    "dpdk": "#7f7f7f",
    "locked_list": "#2ca02c",
    "tagged_stack": "#17becf",
}
STYLE = (
    "text{font:12px sans-serif;fill:#24292f}.case{font-weight:bold}.small{font-size:11px;fill:#57606a}"
    ".title{font-size:16px;font-weight:bold}.grid{stroke:#d0d7de}.ours{stroke:#0969da;stroke-width:2}"
)


def across(multiple: float) -> float:
    share = math.log(min(max(multiple, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{name}>{escape(content)}</text>'


def grid(height: float) -> Iterator[str]:
    for multiple in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        x = across(multiple)
        kind = "ours" if multiple == 1 else "grid"
        yield f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
        yield text(x, height - BOTTOM + 16, f"{multiple:g}x", "small", "middle")


def case_bars(case: Case, by_name: dict[str, Any], top: float) -> Iterator[str]:
    ours = by_name[OURS.key]["ns"]["median"]
    yield text(12, top - 6, f"{case.name}: Slabby {ours:.1f} ns", "case")
    start = across(1.0)
    y = top
    for peer in PEERS:
        if peer.key not in by_name:
            continue
        multiple = 1 / by_name[peer.key]["ours_to_this"]["median"]
        end = across(multiple)
        left, wide = min(start, end), max(abs(end - start), 1.0)
        yield text(LEFT - 8, y + 12, peer.name, "small", "end")
        yield (
            f'<rect x="{left:.1f}" y="{y + 2}" width="{wide:.1f}" height="{ROW - 4}"'
            f' fill="{COLOURS[peer.key]}"/>'
        )
        yield text(max(start, end) + 5, y + 12, f"{multiple:.2f}x", "small")
        y += ROW


def draw(result: dict[str, Any]) -> str:
    cases = [case for case in CASES if case.key in DRAWN]
    peers = sum(peer.key in result["pairs"][cases[0].key] for peer in PEERS)
    block = peers * ROW + GAP
    height = TOP + len(cases) * block + BOTTOM
    where = result["machine"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(12, 26, "What a peer costs, as a multiple of Slabby", "title"),
        text(
            12,
            46,
            f"right of the line: dearer than Slabby. {result['rounds']} interleaved rounds, medians of the"
            f" ratio within a round; {where['cpu']}, Linux {where['kernel']}",
            "small",
        ),
        *(text(12, 62, line, "small") for line in caution(where)),
        *grid(height),
    ]
    for number, case in enumerate(cases):
        parts += case_bars(case, result["pairs"][case.key], TOP + GAP - 10 + number * block)
    return "\n".join([*parts, "</svg>"]) + "\n"
