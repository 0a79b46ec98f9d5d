# SPDX-License-Identifier: GPL-3.0-or-later
"""The open pools of the process, and their metrics as text and as numbers."""

from __future__ import annotations

from slabby import _backend
from slabby._errors import ClosedError
from slabby._records import PoolInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from slabby._metric_table import MetricInfo
    from slabby._types import Pool

METRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""The media type of what metrics_text() returns."""


def pools() -> list[PoolInfo]:
    """The open pools of the process, of every language that shares this core. Pools that come and go meanwhile may or
    may not be among them; Allocator.adopt takes an address and instance_id()."""
    core = _backend.chosen().core
    # No two open pools have one label: the pool that had it before was closed since.
    found: dict[str, PoolInfo] = {}
    cursor = 0
    while True:
        record, count, cursor = core.slabby_pools_next(cursor)
        if not count:
            return list(found.values())
        info = PoolInfo._of(record)
        found[info.label] = info


def pool_label(pool: Pool) -> str:
    """The label of a pool in metrics and URLs: its name if that is suitable there and no pool that was open before
    had it, else a number (docs/metrics.md)."""
    return _backend.chosen().core.slabby_pool_label(pool)


def metrics_text(pool: Pool | None = None) -> str:
    """The metrics of one pool, or of every open pool of the process, in the OpenMetrics format, which Prometheus reads:
    docs/metrics.md lists them."""
    return _backend.chosen().core.slabby_metrics_text(pool)


# Samples asked for in one crossing; a histogram that has seen much has some more.
CHUNK = 512


class PoolMetrics:
    """The numbers of one pool at one moment, by metric."""

    def __init__(self, label: str, records: list[Sequence[Any]]) -> None:
        self.label = label
        self._parts: dict[tuple[int, int], list[tuple[int, float]]] = {}
        for metric, part, index, value in records:
            self._parts.setdefault((metric, part), []).append((index, value))

    def part(self, metric: MetricInfo, part: int) -> list[tuple[int, float]]:
        """(index, value) of each sample of a MetricPart; the index is that of the metric's texts or bounds."""
        return self._parts.get((metric.id, part), [])


def _samples(address: int) -> list[Sequence[Any]]:
    core = _backend.chosen().core
    records, count = core.slabby_metrics_read(address, CHUNK)
    while count > len(records):
        records, count = core.slabby_metrics_read(address, count + CHUNK)
    return records


def read_metrics() -> list[PoolMetrics]:
    """The numbers of every open pool of the process, for an exporter."""
    found = []
    for info in pools():
        try:
            found.append(PoolMetrics(info.label, _samples(info.allocator_address)))
        except ClosedError:
            continue  # destroyed by another thread meanwhile
    return found
