# SPDX-License-Identifier: GPL-3.0-or-later
"""The open pools of the process, and their metrics as text."""

from slabby import _backend
from slabby._records import PoolInfo
from slabby._types import Pool

METRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""The media type of what metrics_text() returns."""


def pools() -> list[PoolInfo]:
    """The open pools of the process, of every language that shares this core. Pools that come and go meanwhile may or
    may not be among them; Allocator.adopt takes an address and instance_id()."""
    core = _backend.chosen().core
    found = []
    cursor = 0
    while True:
        record, count, cursor = core.slabby_pools_next(cursor)
        if not count:
            return found
        found.append(PoolInfo._of(record))


def pool_label(pool: Pool) -> str:
    """How a pool is called in metrics and URLs: its name where that can stand there and no pool that was open before
    had it, else a number (docs/metrics.md)."""
    return _backend.chosen().core.slabby_pool_label(pool)


def metrics_text(pool: Pool | None = None) -> str:
    """The metrics of one pool, or of every open pool of the process, in the OpenMetrics format, which Prometheus reads:
    docs/metrics.md lists them."""
    return _backend.chosen().core.slabby_metrics_text(pool)
