# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of a pool as records of the standard library's logging."""

import logging

from slabby._records import Event
from slabby._enums import EventLevel

LEVELS = {
    EventLevel.DEBUG: logging.DEBUG,
    EventLevel.INFO: logging.INFO,
    EventLevel.WARNING: logging.WARNING,
    EventLevel.ERROR: logging.ERROR,
}


def hand_over(logger: logging.Logger, event: Event) -> None:
    """One record, dated when the event happened rather than when it was read."""
    level = LEVELS[EventLevel(event.level)]
    if not logger.isEnabledFor(level):
        return
    text = event.text
    if event.suppressed:
        text += f" ({event.suppressed} more of its kind were not told)"
    record = logger.makeRecord(
        logger.name, level, "slabby", 0, text, (), None, extra={"slabby_event": event}
    )
    record.created = event.time_ns / 1e9
    record.msecs = event.time_ns // 1_000_000 % 1000
    logger.handle(record)
