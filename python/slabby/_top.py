# SPDX-License-Identifier: GPL-3.0-or-later
"""slabby top: the pools of one or several processes in a terminal, from their endpoints."""

import argparse
import json
import sys
import time
import urllib.request
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ANSWER_LIMIT_S = 4
# Values of a sparkline.
HISTORY = 24
# After this time in seconds, an escape character is the key Escape, and not the beginning of another key's characters.
ESCAPE_S = 0.05
BARS = "▁▂▃▄▅▆▇█"
NEEDS_RICH = 'slabby top draws with rich: pip install "slabby[cli]"; --once --json needs nothing'


@dataclass(frozen=True)
class Row:
    """A pool at one moment, or a process that does not answer."""

    url: str
    pool: str
    status: str
    reason: str
    used: int
    total: int
    rate: float | None
    p99_ns: int
    score: float
    breaker: str
    waiters: int
    failures: int
    use: tuple[float, ...]

    @property
    def share(self) -> float:
        return self.used / self.total if self.total else 0.0


# The column by which rows are sorted; larger values first, except for the score.
ORDERS: dict[str, Callable[[Row], float]] = {
    "use": lambda row: -row.share,
    "rate": lambda row: -(row.rate or 0.0),
    "p99": lambda row: -row.p99_ns,
    "score": lambda row: row.score,
    "waiters": lambda row: -row.waiters,
    "name": lambda row: 0.0,
}
# Each is also a key, by its first letter.
SORT_KEYS = tuple(ORDERS)


def sort_rows(rows: list[Row], key: str) -> list[Row]:
    return sorted(rows, key=lambda row: (ORDERS[key](row), row.pool, row.url))


class Monitor:
    """Asks the processes, and stores the data for rates and sparklines."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = [url if url.endswith("/") else url + "/" for url in urls]
        self.silent: dict[str, str] = {}
        self._before: dict[tuple[str, str], tuple[str, int, int]] = {}
        self._use: dict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=HISTORY))

    def read(self) -> list[Row]:
        with ThreadPoolExecutor(max_workers=8) as threads:
            answers = list(threads.map(_ask, self.urls))
        rows = []
        self.silent = {}
        for url, answer in zip(self.urls, answers):
            if isinstance(answer, str):
                self.silent[url] = answer
                continue
            rows += [self._row(url, answer, pool) for pool in answer["pools"]]
        return rows

    def _row(self, url: str, answer: dict[str, Any], pool: dict[str, Any]) -> Row:
        stats, health, key = pool["stats"], pool["health"], (url, pool["pool"])
        used, total = stats["used_slabs"], stats["total_slabs"]
        self._use[key].append(used / total if total else 0.0)
        return Row(
            url=url,
            pool=pool["pool"],
            status=pool["status"],
            reason=pool["reasons"][0]["reason"] if pool["reasons"] else "",
            used=used,
            total=total,
            rate=self._rate(key, answer, stats["total_allocations"]),
            p99_ns=health["alloc_latency_p99"],
            score=health["health_score"],
            breaker=health["breaker_state"],
            waiters=stats["waiters"],
            failures=stats["allocation_errors"],
            use=tuple(self._use[key]),
        )

    def _rate(self, key: tuple[str, str], answer: dict[str, Any], count: int) -> float | None:
        """Allocations a second since the last answer of the same run of the program."""
        instance, at = answer["instance"], answer["time_ns"]
        before = self._before.get(key)
        self._before[key] = instance, at, count
        if before is None or before[0] != instance or at <= before[1] or count < before[2]:
            return None
        return float((count - before[2]) / (at - before[1]) * 1e9)


def _ask(url: str) -> dict[str, Any] | str:
    """The answer of /stats, or the reason why there is none."""
    try:
        with urllib.request.urlopen(url + "stats", timeout=ANSWER_LIMIT_S) as reply:
            answer = json.load(reply)
            if isinstance(answer, dict) and "pools" in answer:
                return answer
            return "this is no endpoint of slabby"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def top(arguments: argparse.Namespace) -> int:
    if arguments.json and not arguments.once:
        print("slabby: --json goes with --once", file=sys.stderr)
        return 2
    if not 0.05 <= arguments.interval <= 3600:
        print("slabby: --interval must be from 0.05 to 3600 seconds", file=sys.stderr)
        return 2
    monitor = Monitor(arguments.url)
    if arguments.json:
        return _print_json(monitor, arguments)
    try:
        from slabby._top_screen import Screen
    except ModuleNotFoundError:
        print(f"slabby: {NEEDS_RICH}", file=sys.stderr)
        return 2
    screen = Screen(monitor, arguments.sort)
    if arguments.once:
        _read_twice(monitor, arguments.interval)
        screen.print()
    else:
        _run(screen, arguments.interval)
    return 1 if monitor.silent and arguments.once else 0


def _read_twice(monitor: Monitor, interval: float) -> list[Row]:
    """A rate needs two answers."""
    monitor.read()
    time.sleep(interval)
    return monitor.read()


def _print_json(monitor: Monitor, arguments: argparse.Namespace) -> int:
    rows = sort_rows(_read_twice(monitor, arguments.interval), arguments.sort)
    pools = [{key: value for key, value in vars(row).items() if key != "use"} for row in rows]
    silent = [{"url": url, "error": reason} for url, reason in monitor.silent.items()]
    print(json.dumps({"pools": pools, "silent": silent}, indent=2))
    return 1 if monitor.silent else 0


def _run(screen: Any, interval: float) -> None:
    with _keys() as next_key, screen.live() as live:
        while True:
            live.update(screen.render(), refresh=True)
            end = time.monotonic() + interval
            while (left := end - time.monotonic()) > 0:
                key = next_key(left)
                if key in ("q", "\x03", "\x1b"):
                    return
                if screen.press(key):
                    live.update(screen.render(ask=False), refresh=True)


def _no_key(left: float) -> str:
    time.sleep(left)
    return ""


@contextmanager
def _keys() -> Iterator[Any]:
    """A function that waits some seconds for a key; it returns "" if no key came, or if there is no keyboard."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    import os
    import select
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def next_key(left: float) -> str:
        if not select.select([descriptor], [], [], left)[0]:
            return ""
        key = os.read(descriptor, 1).decode(errors="replace") or "q"
        if key == "\x1b" and select.select([descriptor], [], [], ESCAPE_S)[0]:
            os.read(descriptor, 32)  # of an arrow key, for example
            return ""
        return key

    try:
        tty.setcbreak(descriptor)
        yield next_key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
