# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the results of ./dev demo: `demo_table.py CONTRACT BINDING...`, in the results' directory."""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

Row = list[str]


def readable(value: float | str, unit: str) -> str:
    """A number with the thousands apart, bytes in the largest unit that keeps them readable."""
    if isinstance(value, str):
        return value
    if unit == "bytes" and value >= 10 * 1024:
        for name, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size:
                return f"{value / size:.1f} {name}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}"


def print_table(rows: list[Row], left: set[int]) -> None:
    """Prints rows in columns; the columns of `left` start at the left, numbers end at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def totals(bindings: list[str], results: list[dict[str, Any]]) -> list[Row]:
    rows = [["binding", "files", "unreadable", "MB", "MB/s", "waits", "digest of the list"]]
    for binding, result in zip(bindings, results, strict=True):
        megabytes = result["bytes"] / 1e6
        listed = hashlib.sha256(Path(f"{binding}.sha256").read_bytes()).hexdigest()
        rows.append(
            [
                binding,
                f"{result['files']:,}",
                f"{result['unreadable']:,}",
                f"{megabytes:,.1f}",
                f"{megabytes / max(result['seconds'], 1e-9):,.0f}",
                f"{result['waits']:,}",
                listed[:16],
            ]
        )
    return rows


def error_rows(statistics: list[dict[str, Any]]) -> list[Row]:
    """One row for every status that any pool has answered."""
    names = {name for stats in statistics for name, count in stats["errors"].items() if count}
    return [
        [f"errors: {name}", *(f"{stats['errors'].get(name, 0):,}" for stats in statistics), "count"]
        for name in sorted(names)
    ]


def stats_rows(
    fields: list[dict[str, Any]], bindings: list[str], statistics: list[dict[str, Any]]
) -> list[Row]:
    rows = [["statistic", *bindings, "unit"]]
    for field in fields:
        if not field.get("since_ready", True):
            continue
        if field["type"].startswith("counts"):
            rows.extend(error_rows(statistics))
            continue
        unit = field.get("unit", "")
        number = float if field["type"] == "f64" else lambda value: value
        cells = [readable(number(stats[field["name"]]), unit) for stats in statistics]
        rows.append([field["name"], *cells, unit])
    return rows


def main(arguments: list[str]) -> int:
    contract = tomllib.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    bindings = arguments[1:]
    if not bindings:
        return 0
    results = [
        json.loads(Path(f"{binding}.json").read_text(encoding="utf-8")) for binding in bindings
    ]
    print_table(totals(bindings, results), left={0, 6})
    print()
    fields = contract["snapshots"]["stats"]["field"]
    rows = stats_rows(fields, bindings, [result["stats"] for result in results])
    print_table(rows, left={0, len(bindings) + 1})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
