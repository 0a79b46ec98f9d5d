# SPDX-License-Identifier: GPL-3.0-or-later
"""`main.py PROGRAMS [OPTION...]`: ours against its peers, in turns.

Figures are reported, not enforced: a missed target leaves the exit status 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import chart
import machine
import page
import plan
import promises
import terminal
from figures import judge
from measure import run
from targets import SECTIONS
from workers import WorkerFault

ROUNDS, ROUNDS_QUICK = 21, 5


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev bench c",
        description="The core against its peers, in turns. A missed target leaves the exit status 0.",
    )
    parser.add_argument("programs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--quick", action="store_true", help="5 short rounds: a first look, not a result"
    )
    parser.add_argument("--rounds", type=int, help=f"instead of {ROUNDS}")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ROWS",
        help="rows with this in their name, or a section, and what they need; may be repeated. Sections: "
        + ", ".join(SECTIONS),
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the chart there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    parser.add_argument(
        "--promises", type=Path, metavar="FILE", help="write the prices of options into its table"
    )
    given = parser.parse_args()
    given.rounds = given.rounds or (ROUNDS_QUICK if given.quick else ROUNDS)
    if not 3 <= given.rounds <= 1001:
        parser.error(f"--rounds {given.rounds}: choose 3 to 1001")
    try:
        given.plan = plan.make(given.only)
    except ValueError as fault:
        parser.error(f'--only "{fault}": neither a section nor in the name of a row')
    if given.only and (given.svg or given.markdown):
        parser.error("--svg and --markdown show the whole run: leave --only out")
    for file in (given.json, given.svg, given.markdown, given.promises):
        if file is not None and not file.absolute().parent.is_dir():
            parser.error(f"{file}: there is no such directory to write to")
    if given.promises and not given.plan.has("prices"):
        parser.error("--promises needs the section prices: add --only prices")
    if given.promises:
        try:
            promises.update(given.promises.read_text(encoding="utf-8"), {})
        except (OSError, ValueError) as fault:
            parser.error(f"--promises {given.promises}: {fault}")
    return given


def note(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<40}", end="", file=sys.stderr, flush=True)


def main() -> int:
    given = arguments()
    where = machine.describe()
    try:
        result = run(given.programs, given.plan, given.rounds, 4 if given.quick else 1, note)
    except WorkerFault as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    note("")
    note("\r")
    result |= {"machine": where, "rounds": given.rounds, "quick": given.quick}
    judge(given.plan, result)
    print(terminal.render(result, given.plan))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.svg:
        given.svg.write_text(chart.draw(result), encoding="utf-8")
    if given.markdown:
        given.markdown.write_text(page.write(result, given.plan), encoding="utf-8")
    if given.promises:
        text = given.promises.read_text(encoding="utf-8")
        given.promises.write_text(promises.update(text, result["pairs"]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
