# SPDX-License-Identifier: GPL-3.0-or-later
"""Timed waits under gevent and eventlet: these have patched select, so it lets the other greenlets run."""

from __future__ import annotations

import select
import time

from slabby._errors import ClosedError
from slabby._option_values import NANOSECONDS
from slabby._types import SlabRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from slabby._allocator import Allocator


# select() accepts only a timeout that its clock can add to the present time; a wait without a limit begins again.
LONGEST_S = 86400.0


def wait_cooperatively(pool: Allocator, timeout_ns: int) -> SlabRef:
    """A slab in its turn, within the timeout."""
    if (slab := pool._try_now()) is not None:
        return slab
    end = time.monotonic() + timeout_ns / NANOSECONDS
    with pool.listener() as listener:
        ticket = listener.begin()
        try:
            while (left := end - time.monotonic()) > 0:
                select.select([listener.fd], [], [], min(left, LONGEST_S))
                if granted := listener.take(1):
                    return granted[ticket]
        except ClosedError:
            pass
        # A wait that gets no slab is counted at its end, like one inside the core.
        return listener._expire(ticket)
