# SPDX-License-Identifier: GPL-3.0-or-later
"""table.py MEASURED PAGE: turns the lines of `detection` into the table between the marks of a page."""

import math
import sys
from pathlib import Path

BEGIN = "<!-- detection: ./dev detection writes what stands between these marks -->"
END = "<!-- end of detection -->"
NORMAL_95 = 1.96


def wilson(noticed: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, z = noticed / trials, NORMAL_95
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    spread = math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    half = z / (1 + z * z / trials) * spread
    return middle - half, middle + half


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def cell(noticed: int, trials: int, expected: float) -> str:
    if noticed == 0:
        return "never"
    if noticed == trials and expected == 1:
        return "always"
    low, high = wilson(noticed, trials)
    return f"{percent(noticed / trials)} % ({percent(low)} to {percent(high)}; {percent(expected)})"


def table(measured: list[str]) -> list[str]:
    rows: dict[str, dict[str, str]] = {}
    trials = 0
    for line in measured:
        mistake, protection, noticed, tried, expected = line.split("\t")
        trials = int(tried)
        rows.setdefault(mistake, {})[protection] = cell(int(noticed), trials, float(expected))
    protections = list(next(iter(rows.values())))
    lines = [
        f"{trials:,} times each: the share that was noticed (its 95 % interval; what the formula says).",
        "",
        "| mistake | " + " | ".join(f"`{name}`" for name in protections) + " |",
        "|---" * (len(protections) + 1) + "|",
    ]
    for mistake, cells in rows.items():
        lines.append(f"| {mistake} | " + " | ".join(cells[name] for name in protections) + " |")
    return lines


def main() -> None:
    measured = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    page = Path(sys.argv[2])
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{page} lacks the marks of the table")
    text = "\n".join([before + BEGIN, "", *table(measured), "", END + after])
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
