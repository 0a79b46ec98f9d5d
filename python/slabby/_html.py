# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool, and the statistics of a block, as a notebook shows them."""

from __future__ import annotations

from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from slabby._allocator import Allocator


def pool_table(pool: Allocator) -> str:
    """Name, sizes and the numbers that matter, as a table."""
    stats = pool.stats()
    used = stats.used_slabs / stats.total_slabs if stats.total_slabs else 0.0
    rows = {
        "slabs": f"{stats.total_slabs:,} of {stats.slab_size:,} bytes",
        "used": f"{stats.used_slabs:,} ({used:.0%}); at most {stats.peak_used:,}",
        "allocations": f"{stats.total_allocations:,}",
        "releases": f"{stats.total_deallocations:,}",
        "refused": f"{stats.allocation_errors:,}",
        "leaks": f"{stats.leaks:,}",
        "waiting": f"{stats.waiters:,}",
        "state": stats.pool_state.name.lower(),
        "backend": pool.backend,
    }
    return table(f"Allocator {stats.name}", rows)


def table(title: str, rows: dict[str, str]) -> str:
    """A title and two columns."""
    body = "".join(f"<tr><th>{key}</th><td>{escape(text)}</td></tr>" for key, text in rows.items())
    return f"<table><caption>{escape(title)}</caption>{body}</table>"
