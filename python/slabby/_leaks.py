# SPDX-License-Identifier: GPL-3.0-or-later
"""All pools of this interpreter, and their slabs that are still live when it ends."""

from __future__ import annotations

import atexit
import sys
import weakref

from slabby import _types
from slabby._base_error import SlabbyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import traceback

    from slabby._allocator import Allocator

_pools: dict[int, weakref.ref[Allocator]] = {}


def register(pool: Allocator) -> None:
    """Lists a pool for as long as it lives."""
    key = id(pool)

    def forget(_: object, pools: dict[int, weakref.ref[Allocator]] = _pools) -> None:
        pools.pop(key, None)

    _pools[key] = weakref.ref(pool, forget)


def allocators() -> list[Allocator]:
    """Every Allocator of this interpreter that is still in use, in the order they were made."""
    return [pool for each in list(_pools.values()) if (pool := each()) is not None]


def _report_at_exit() -> None:
    """Warns once for each slab that is live at the end and has a stack (options `debug` and `finalizers`). It runs
    here because afterwards the interpreter removes the modules that make a warning."""
    import warnings

    with warnings.catch_warnings():
        if not sys.warnoptions:
            # The options request these reports, as a test runner does; the user's own warning filters have
            # priority.
            warnings.simplefilter("default", ResourceWarning)
        for pool in allocators():
            _report(pool)
    _types._leaks_reported()


def _report(pool: Allocator) -> None:
    for ref, stack in pool._live_stacks():
        try:
            _report_one(pool, ref, stack)
        except SlabbyError:
            continue  # released meanwhile, by the collector or by a thread that goes on
        except Exception as error:
            # A filter turns warnings into errors, or the program's own showwarning() failed. The other leaks are
            # still reported.
            sys.excepthook(type(error), error, error.__traceback__)


def _report_one(pool: Allocator, ref: int, stack: traceback.StackSummary) -> None:
    import warnings

    where = stack[-1] if stack else None
    frame = f"{where.filename.rpartition('/')[2]}:{where.lineno} in {where.name}" if where else ""
    name = pool._name_of(ref)
    pool._core.slabby_report_leak(pool, ref, frame, 0)
    text = f"SlabRef {name} was not released when the interpreter ended"
    lines = f"; allocated at (most recent call last):\n{''.join(stack.format())}"
    warnings.warn_explicit(
        text + lines,
        ResourceWarning,
        where.filename if where else "<unknown>",
        (where.lineno or 1) if where else 1,
        registry={},
    )


atexit.register(_report_at_exit)
