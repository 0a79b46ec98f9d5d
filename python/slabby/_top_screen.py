# SPDX-License-Identifier: GPL-3.0-or-later
"""How slabby top draws: the only part that needs rich."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from slabby._top import BARS, HISTORY, SORT_KEYS, Monitor, Row, sort_rows

COLOURS = {"pass": "green", "warn": "yellow", "fail": "bold red"}


@dataclass(frozen=True)
class Column:
    """`least`: the reserved width, so that columns do not appear and disappear when their numbers change."""

    key: str
    name: str
    least: int
    text: Callable[[Row], str]
    right: bool = True


def sparkline(values: tuple[float, ...]) -> str:
    last = len(BARS) - 1
    return "".join(BARS[min(last, round(value * last))] for value in values)


def duration(ns: float) -> str:
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= factor:
            return f"{ns / factor:.3g} {unit}"
    return f"{ns:.0f} ns"


def state(row: Row) -> str:
    return row.reason.replace("_", " ") if row.reason else "well"


COLUMNS = (
    Column("name", "pool", 8, lambda row: row.pool, right=False),
    Column("state", "state", 9, state, right=False),
    Column(
        "use", "use", 5, lambda row: f"{int(row.share * 100 + 1e-9)} %"
    ),  # so that 399 of 400 do not show as 100 %
    Column("used", "used", 9, lambda row: f"{row.used:,}/{row.total:,}"),
    Column("rate", "alloc/s", 7, lambda row: "-" if row.rate is None else f"{row.rate:,.0f}"),
    Column("p99", "p99", 7, lambda row: duration(row.p99_ns)),
    Column("score", "score", 5, lambda row: f"{row.score:.2f}"),
    Column("waiters", "waiters", 7, lambda row: str(row.waiters)),
    Column("failures", "failures", 8, lambda row: f"{row.failures:,}"),
    Column("breaker", "breaker", 9, lambda row: row.breaker.replace("_", " "), right=False),
    Column("last use", "last use", HISTORY, lambda row: sparkline(row.use), right=False),
)
ALWAYS = ("name", "state", "use")
# The other columns by importance: columns without space are left out. The column of the sort order comes first.
OPTIONAL = ("score", "used", "rate", "p99", "waiters", "failures", "breaker", "last use")
# Between two columns.
GAP = 2
# The least width of a pool's name before another column is shown, and before the column of the sort order is shown.
NAME_WIDTH = 16
NAME_LEAST = 8


def needed(column: Column, rows: list[Row]) -> int:
    texts = [column.text(row) for row in rows]
    return max(column.least, len(column.name), *map(len, texts)) if texts else column.least


def fitting(width: int, rows: list[Row], sort: str) -> list[Column]:
    """The columns for which a terminal has space."""
    widths = {column.key: needed(column, rows) for column in COLUMNS}
    widths["name"] = min(widths["name"], NAME_WIDTH)
    chosen = set(ALWAYS)
    left = width - sum(widths[key] for key in ALWAYS) - GAP * (len(ALWAYS) - 1)
    for key in sorted(OPTIONAL, key=lambda each: each != sort):
        more = widths["name"] - NAME_LEAST if key == sort else 0
        if widths[key] + GAP <= left + more:
            chosen.add(key)
            left -= widths[key] + GAP
    return [column for column in COLUMNS if column.key in chosen]


def processes(urls: list[str], narrow: bool) -> dict[str, str]:
    """The name of each process: its address; in a narrow terminal without the part that all have in common."""
    parts = {url: urlsplit(url) for url in urls}
    full = {url: part.netloc + part.path.rstrip("/") for url, part in parts.items()}
    ports = {url: f":{part.port}" for url, part in parts.items()}
    hosts = {part.hostname for part in parts.values()}
    is_clear = len(hosts) == 1 and len(set(ports.values())) == len(urls)
    return ports if narrow and is_clear else full


class Screen:
    def __init__(self, monitor: Monitor, sort: str) -> None:
        self._monitor = monitor
        self._sort = sort
        self._rows: list[Row] = []
        self._console = Console()

    def live(self) -> Live:
        return Live(console=self._console, screen=True, auto_refresh=False)

    def press(self, key: str) -> bool:
        """Whether the key changed the order."""
        for name in SORT_KEYS:
            if key and key == name[0]:
                self._sort = name
                return True
        return False

    def print(self) -> None:
        self._rows = self._monitor.read()
        self._console.print(self._drawn())

    def render(self, ask: bool = True) -> Group:
        if ask:
            self._rows = self._monitor.read()
        return self._drawn()

    def _drawn(self) -> Group:
        width = self._console.width
        rows = sort_rows(self._rows, self._sort)
        names = processes(self._monitor.urls, narrow=width < 60)
        several = len(names) > 1
        process_width = max(map(len, ("process", *names.values()))) + GAP if several else 0
        columns = fitting(width - process_width, rows, self._sort)
        others = sum(needed(column, rows) + GAP for column in columns if column.key != "name")
        table = Table(box=None, pad_edge=False, expand=False)
        for column in columns:
            justify: Literal["left", "right"] = "right" if column.right else "left"
            heading = f"[u]{column.name}[/u]" if column.key == self._sort else column.name
            least = needed(column, rows)
            if column.key == "name":
                least = max(min(least, width - process_width - others), 1)
            table.add_column(
                heading, justify=justify, no_wrap=True, overflow="ellipsis", width=least
            )
        if several:
            table.add_column("process", no_wrap=True, overflow="ellipsis")
        for row in rows:
            cells = [column.text(row) for column in columns] + [names[row.url]] * several
            style = "bold red" if row.reason == "exhausted" else COLOURS[row.status]
            table.add_row(*(Text(cell) for cell in cells), style=style)
        return Group(*self._head(width), table, *self._tail())

    def _head(self, width: int) -> list[Text]:
        keys = "  ".join(f"{name[0]} {name}" for name in SORT_KEYS)
        text = f"slabby top  by {self._sort}" + (f"  {keys}  q quit" if width >= 80 else "  q quit")
        return [Text(text, style="dim", no_wrap=True, overflow="ellipsis")]

    def _tail(self) -> list[Text]:
        silent = self._monitor.silent.items()
        lines = [Text(f"no answer from {url}: {reason}", style="red") for url, reason in silent]
        return lines if self._rows or lines else [Text("no pool is open there")]
