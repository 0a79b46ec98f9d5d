# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of a pool as records of the standard library's logging."""

from __future__ import annotations

import logging

from slabby._records import Event
from slabby._enums import EventLevel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from slabby._allocator import Allocator
    from slabby._backend_protocol import Core

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


def log_new_events(core: Core, pool: Allocator, logger: logging.Logger | None) -> int:
    """Logs the events since the last call; returns their number. A logger that raises gets none of them again."""
    target = chosen_logger(logger)
    logged, count = 0, 1
    while count:
        records, count, lost, after = core.slabby_events_read(pool._events_logged, pool, CHUNK)
        events = [Event._of(record) for record in records]
        if lost:
            pool._events_logged = events[0].sequence if events else after
            target.warning("%d events were overwritten before they were logged", lost)
        for event in events:
            pool._events_logged = event.sequence + 1
            hand_over(target, event)
        pool._events_logged = after
        logged += count
    return logged
