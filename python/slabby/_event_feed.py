# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of every pool of the process as they happen, for loops and for logging."""

from __future__ import annotations

import logging
import os
import select
import threading
import warnings
from contextlib import ExitStack

from slabby import _backend
from slabby._closing import Closing
from slabby._errors import NotSupportedError
from slabby._logging import chosen_logger, hand_over
from slabby._records import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 64
# The cursor of a reader that wants only events from now on.
FROM_NOW_ON = 2**64 - 1


class EventFeed(Closing):
    """The events of every pool of the process, no matter which language causes them, from the creation of the feed
    on.

    A loop waits for `fileno()` to become readable (`loop.add_reader`, `selectors`) and then calls `read()`. Give it
    back with `close()` or `with`; a process has 16 feeds at most. A feed that is dropped is closed with a
    ResourceWarning.
    """

    _descriptor = -1

    def __init__(self) -> None:
        self._core = _backend.chosen().core
        self._cursor = self._core.slabby_watch_read(FROM_NOW_ON, 0)[3]
        self._descriptor = self._core.slabby_watch_begin()
        self.lost: int = 0
        """How many events were overwritten before they were read."""

    def fileno(self) -> int:
        """The descriptor, readable from an event on until the next `read()`; -1 once the feed is closed."""
        return self._descriptor

    def read(self) -> list[Event]:
        """The events since the last call, possibly none."""
        if self._descriptor < 0:
            raise ValueError("this EventFeed was closed; make another")
        self._core.slabby_watch_clear(self._descriptor)
        found: list[Event] = []
        count = 1
        while count:
            records, count, lost, self._cursor = self._core.slabby_watch_read(self._cursor, CHUNK)
            found += [Event._of(record) for record in records]
            self.lost += lost
        return found

    def close(self) -> None:
        """Closes the descriptor; may be called again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._core.slabby_watch_end(descriptor)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            # First, because a filter may make an error of the warning.
            self.close()
            warnings.warn("an EventFeed was dropped without close()", ResourceWarning, stacklevel=2)


class _EventLogger:
    """A thread that passes events to a logger, and a pipe whose byte stops the thread."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self._is_stopped_by_handler = False
        with ExitStack() as resources:
            self._feed = resources.enter_context(EventFeed())
            self._stopped, self._stop = os.pipe()
            resources.callback(os.close, self._stopped)
            resources.callback(os.close, self._stop)
            try:
                self._thread = threading.Thread(target=self._run, name="slabby-events", daemon=True)
                self._thread.start()
            except RuntimeError as error:
                if "interpreter" not in str(error):
                    raise
                raise NotSupportedError(
                    "start_event_logging() needs a daemon thread, which this subinterpreter does not allow; call "
                    "pool.log_events(), or read slabby.EventFeed"
                ) from error
            self._resources = resources.pop_all()
        _unclosed.add(self)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._feed.fileno(), select.POLLIN)
        poll.register(self._stopped, select.POLLIN)
        reported = 0
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            for event in self._feed.read():
                self._attempt(hand_over, self.logger, event)
            if self._feed.lost > reported:
                lost, reported = self._feed.lost - reported, self._feed.lost
                self._attempt(
                    self.logger.warning, "%d events were overwritten before they were logged", lost
                )
            if self._is_stopped_by_handler:
                self.close()
                return
            if self._stopped in ready:
                return

    def _attempt(self, log: Callable[..., None], *arguments: object) -> None:
        """What a handler raises is reported as what a thread raises is, and does not end the thread."""
        try:
            log(*arguments)
        except Exception as error:
            report = (type(error), error, error.__traceback__, self._thread)
            threading.excepthook(threading.ExceptHookArgs(report))

    def stop(self) -> None:
        """Returns after the events so far are logged, unless a handler calls it: then they are logged after it."""
        if threading.current_thread() is self._thread:
            self._is_stopped_by_handler = True
            return
        # Closing the pipe would not do: a child made by fork may have its other end.
        os.write(self._stop, b"x")
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Closes the descriptors; the thread is over, or the parent's."""
        _unclosed.discard(self)
        self._resources.close()


_lock = threading.Lock()
_running: _EventLogger | None = None
# Also those that are being stopped: a child made by fork closes what it has of them.
_unclosed: set[_EventLogger] = set()


def start_event_logging(logger: logging.Logger | None = None) -> None:
    """From now on a thread passes the events of every pool of the process to a logger as they happen, by default to
    the one named "slabby": a breaker that opens, exhaustion, corruption, leaks, in any language. Each record has the
    Event as its attribute `slabby_event`. A second call changes the logger. What a handler raises goes to
    threading.excepthook(), and the logging continues. A child made by fork starts a thread of its own."""
    global _running
    if not hasattr(select, "poll"):
        raise NotImplementedError(
            "start_event_logging() waits for a descriptor by poll(), which this system lacks; read the events of a "
            "pool by pool.events(), or hand them to a logger by pool.log_events()"
        )
    target = chosen_logger(logger)
    while True:
        stop_event_logging()
        with _lock:
            if _running is None:
                _running = _EventLogger(target)
                return


def stop_event_logging() -> None:
    """Ends the logging that start_event_logging() began, after the events so far are logged. A handler may call it;
    then they are logged after the handler."""
    global _running
    with _lock:
        running, _running = _running, None
    # Without the lock, because a handler for which this waits may call these functions.
    if running is not None:
        running.stop()


def _after_fork() -> None:
    """The thread is the parent's: the child has one of its own, and a lock that no other thread holds."""
    global _lock, _running
    _lock = threading.Lock()
    before, _running = _running, None
    for logger in list(_unclosed):
        logger.close()
    if before is not None:
        _running = _EventLogger(before.logger)


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
