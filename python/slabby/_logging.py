# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of a pool as records of the standard library's logging."""

from __future__ import annotations

import logging

from slabby._records import Event
from slabby._enums import EventLevel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from slabby._backend_protocol import Core
    from slabby._types import Pool

# Records asked for in one crossing.
CHUNK = 256

LEVELS = {
    EventLevel.DEBUG: logging.DEBUG,
    EventLevel.INFO: logging.INFO,
    EventLevel.WARNING: logging.WARNING,
    EventLevel.ERROR: logging.ERROR,
}


def chosen_logger(logger: logging.Logger | None) -> logging.Logger:
    """The caller's logger, by default the one named "slabby"."""
    target = logging.getLogger("slabby") if logger is None else logger
    if not isinstance(target, logging.Logger):
        raise TypeError(
            f"logger is {logger!r}; pass a logging.Logger, or None for the one named 'slabby'"
        )
    return target


def hand_over(logger: logging.Logger, event: Event) -> None:
    """Logs one record, with the time at which the event happened, not at which it was read."""
    level = LEVELS[EventLevel(event.level)]
    if not logger.isEnabledFor(level):
        return
    text = event.text
    if event.suppressed:
        text += f" ({event.suppressed} more of its kind were suppressed)"
    record = logger.makeRecord(
        logger.name, level, "slabby", 0, text, (), None, extra={"slabby_event": event}
    )
    record.created = event.time_ns / 1e9
    record.msecs = event.time_ns // 1_000_000 % 1000
    logger.handle(record)


def log_new_events(
    core: Core, pool: Pool, cursor: int, logger: logging.Logger | None
) -> tuple[int, int]:
    """Logs the events after the cursor; returns their number, and the cursor after them."""
    target = chosen_logger(logger)
    logged, count = 0, 1
    while count:
        records, count, lost, cursor = core.slabby_events_read(cursor, pool, CHUNK)
        if lost:
            target.warning("%d events were overwritten before they were logged", lost)
        for record in records:
            hand_over(target, Event._of(record))
        logged += count
    return logged, cursor
