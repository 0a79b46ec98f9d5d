# SPDX-License-Identifier: GPL-3.0-or-later
"""How slabby top draws: the only part that needs rich."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from slabby._top import BARS, SORT_KEYS, Monitor, Row, sort_rows

COLOURS = {"pass": "green", "warn": "yellow", "fail": "bold red"}


@dataclass(frozen=True)
class Column:
    """`width`: from this width of the terminal on it is shown."""

    name: str
    width: int
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
    Column("pool", 0, lambda row: row.pool, right=False),
    Column("state", 0, state, right=False),
    Column("use", 0, lambda row: f"{int(row.share * 100 + 1e-9)} %"),  # 399 of 400 are not 100 %
    Column("used", 60, lambda row: f"{row.used:,}/{row.total:,}"),
    Column("alloc/s", 70, lambda row: "-" if row.rate is None else f"{row.rate:,.0f}"),
    Column("p99", 80, lambda row: duration(row.p99_ns)),
    Column("score", 50, lambda row: f"{row.score:.2f}"),
    Column("waiters", 90, lambda row: str(row.waiters)),
    Column("failures", 100, lambda row: f"{row.failures:,}"),
    Column("breaker", 110, lambda row: row.breaker.replace("_", " "), right=False),
    Column("last use", 120, lambda row: sparkline(row.use), right=False),
)


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
        several = len(self._monitor.urls) > 1
        columns = [column for column in COLUMNS if width >= column.width]
        table = Table(box=None, pad_edge=False, expand=False)
        for column in columns:
            justify: Literal["left", "right"] = "right" if column.right else "left"
            heading = f"[u]{column.name}[/u]" if column.name == self._sort else column.name
            table.add_column(heading, justify=justify, no_wrap=True, overflow="ellipsis")
        if several:
            table.add_column("process", no_wrap=True, overflow="ellipsis")
        for row in sort_rows(self._rows, self._sort):
            cells = [column.text(row) for column in columns] + [row.url] * several
            style = "bold red" if row.reason == "exhausted" else COLOURS[row.status]
            table.add_row(*(Text(cell) for cell in cells), style=style)
        return Group(*self._head(width), table, *self._tail())

    def _head(self, width: int) -> list[Text]:
        keys = "  ".join(f"{name[0]} {name}" for name in SORT_KEYS)
        text = f"slabby top  by {self._sort}" + (
            f"   {keys}  q quit" if width >= 80 else "  q quit"
        )
        return [Text(text, style="dim", no_wrap=True, overflow="ellipsis")]

    def _tail(self) -> list[Text]:
        silent = self._monitor.silent.items()
        lines = [Text(f"no answer from {url}: {reason}", style="red") for url, reason in silent]
        return lines if self._rows or lines else [Text("no pool is open there")]
