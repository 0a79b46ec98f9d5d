# SPDX-License-Identifier: GPL-3.0-or-later
"""Events reach a loop and the standard library's logging as they happen."""

import asyncio
import logging
import os
import queue
import select

import pytest
import slabby


@pytest.fixture
def feed():
    with slabby.EventFeed() as feed:
        yield feed


def readable(feed, seconds):
    return bool(select.select([feed], [], [], seconds)[0])


def exhaust(pool):
    """Refuses one allocation."""
    refs = [pool.allocate() for _ in range(pool.stats().available_slabs)]
    with pytest.raises(slabby.OutOfMemoryError):
        pool.allocate()
    for ref in refs:
        ref.release()


def test_a_feed_becomes_readable(feed):
    assert not readable(feed, 0)
    assert feed.read() == []
    pool = slabby.Allocator(64, 4, name="fed")
    exhaust(pool)
    assert readable(feed, 60)
    found = [event for event in feed.read() if event.pool == slabby.pool_label(pool)]
    assert [event.code for event in found] == [slabby.EventCode.OPENED, slabby.EventCode.EXHAUSTED]
    assert found[1].allocator_address == pool.handle()[0]
    assert not readable(feed, 0)
    assert feed.lost == 0


def test_a_feed_reads_all_there_is(feed):
    """More than one call of the core gives, and fewer than are kept."""
    pools = [slabby.Allocator(64, 4) for _ in range(100)]
    labels = {slabby.pool_label(pool) for pool in pools}
    assert labels == {event.pool for event in feed.read()} & labels
    for pool in pools:
        pool.close()


def test_a_closed_feed_says_so(feed):
    feed.close()
    feed.close()
    assert feed.fileno() == -1
    with pytest.raises(ValueError, match="closed"):
        feed.read()


def test_a_17th_feed_is_refused():
    feeds = []
    try:
        with pytest.raises(slabby.BusyError, match="16"):
            feeds += [slabby.EventFeed() for _ in range(1)]
            while True:
                feeds.append(slabby.EventFeed())
    finally:
        for each in feeds:
            each.close()


def test_a_loop_hears_events(feed):
    async def hear():
        loop, heard = asyncio.get_running_loop(), asyncio.Queue()
        loop.add_reader(feed.fileno(), lambda: [heard.put_nowait(each) for each in feed.read()])
        pool = slabby.Allocator(64, 4, name="looped")
        try:
            while (event := await asyncio.wait_for(heard.get(), 10)).pool != slabby.pool_label(
                pool
            ):
                pass
        finally:
            loop.remove_reader(feed.fileno())
        return event.code

    assert asyncio.run(hear()) is slabby.EventCode.OPENED


class Heard(logging.Handler):
    """A queue of the events that a logger gets."""

    def __init__(self):
        super().__init__()
        self.events = queue.Queue()

    def emit(self, record):
        self.events.put((record.levelno, record.slabby_event))

    def next(self, label):
        """The next event of a pool."""
        while True:
            level, event = self.events.get(timeout=60)
            if event.pool == label:
                return level, event


@pytest.fixture
def heard():
    """The events that a logger of its own gets while the test runs."""
    handler = Heard()
    logger = logging.getLogger("test_event_feed")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    slabby.start_event_logging(logger)
    yield handler
    slabby.stop_event_logging()
    logger.removeHandler(handler)


def test_logging_hears_exhaustion_and_the_breaker_at_once(heard):
    pool = slabby.Allocator(64, 4, name="logged", circuit_breaker_threshold=1)
    label = slabby.pool_label(pool)
    assert heard.next(label)[1].code is slabby.EventCode.OPENED
    exhaust(pool)
    level, event = heard.next(label)
    assert (level, event.code) == (logging.WARNING, slabby.EventCode.EXHAUSTED)
    level, event = heard.next(label)
    assert (level, event.code) == (logging.WARNING, slabby.EventCode.BREAKER_OPENED)
    pool.close()
    assert heard.next(label)[1].code is slabby.EventCode.CLOSED


def test_what_happened_before_the_stop_is_logged(heard):
    pool = slabby.Allocator(64, 4, name="stopped")
    slabby.stop_event_logging()
    assert heard.next(slabby.pool_label(pool))[1].code is slabby.EventCode.OPENED
    slabby.Allocator(64, 4, name="unheard")
    slabby.stop_event_logging()
    assert heard.events.empty()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_logs_its_own(heard):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            pool = slabby.Allocator(64, 4, name="of_a_child")
            event = heard.next(slabby.pool_label(pool))[1]
            status = 0 if event.code is slabby.EventCode.OPENED else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
