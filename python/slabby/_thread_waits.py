# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits of a thread for a slab."""

from __future__ import annotations

import threading

from slabby._monkey import is_patched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from slabby._allocator import Allocator
    from slabby._types import SlabRef


def wait_in_thread(pool: Allocator, wait_ns: int) -> SlabRef:
    """A slab within that time; 0 tries once."""
    if wait_ns and is_patched("select"):
        from slabby._cooperative import wait_cooperatively

        return wait_cooperatively(pool, wait_ns)
    # Python handles signals in the main thread alone; others wait inside the core, which is cheaper.
    if wait_ns and threading.current_thread() is threading.main_thread():
        return pool._wait(wait_ns)
    return pool._wait_inside(wait_ns)
