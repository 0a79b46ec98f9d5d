# SPDX-License-Identifier: GPL-3.0-or-later
"""Events reach a loop and the standard library's logging as they happen."""

import asyncio
import gc
import logging
import os
import queue
import select
import threading

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


def test_a_dropped_feed_is_closed_with_a_warning():
    feed = slabby.EventFeed()
    descriptor = feed.fileno()
    with pytest.warns(ResourceWarning, match=r"EventFeed was dropped without close\(\)"):
        del feed
        gc.collect()
    with pytest.raises(OSError):
        os.fstat(descriptor)


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
        self.then = lambda: None

    def emit(self, record):
        self.events.put((record.levelno, record.slabby_event))
        self.then()

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


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_lives_does_not_delay_the_stop(heard):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent is done
        os._exit(0)
    stopping = threading.Thread(target=slabby.stop_event_logging)
    stopping.start()
    stopping.join(60)
    is_stopped = not stopping.is_alive()
    os.close(writer)
    os.close(reader)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stopping.join()
    assert is_stopped


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks_in_a_row_have_no_descriptor_more(heard):
    before = len(os.listdir("/proc/self/fd"))

    def fork(generations):
        """The exit status of a child that forks on."""
        child = os.fork()
        if child == 0:
            more = len(os.listdir("/proc/self/fd")) - before
            os._exit(fork(generations - 1) if generations > 1 and more == 0 else more)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert fork(3) == 0


def test_a_handler_that_raises_does_not_end_the_logging(heard, monkeypatch):
    reports = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", reports.put)
    heard.then = lambda: 1 // 0
    for name in ("first", "second"):
        pool = slabby.Allocator(64, 4, name=name)
        assert heard.next(slabby.pool_label(pool))[1].code is slabby.EventCode.OPENED
        assert reports.get(timeout=60).exc_type is ZeroDivisionError
    # While the reports are still caught: the end of the pools is logged as well.
    slabby.stop_event_logging()


@pytest.mark.parametrize("change", [slabby.stop_event_logging, slabby.start_event_logging])
def test_a_handler_may_stop_and_start_the_logging(heard, change, monkeypatch):
    """While another thread stops it as well. No thread and no descriptor stays."""
    reports, called = [], threading.Event()
    monkeypatch.setattr(threading, "excepthook", reports.append)
    slabby.stop_event_logging()
    before = len(os.listdir("/proc/self/fd"))
    slabby.start_event_logging(logging.getLogger("test_event_feed"))

    def once():
        heard.then = lambda: None
        change()
        called.set()

    heard.then = once
    pool = slabby.Allocator(64, 4, name="changed")
    slabby.stop_event_logging()
    assert called.wait(60)
    slabby.stop_event_logging()
    assert heard.next(slabby.pool_label(pool))[1].code is slabby.EventCode.OPENED
    while any(thread.name == "slabby-events" for thread in threading.enumerate()):
        pass
    pool.close()
    assert reports == []
    assert len(os.listdir("/proc/self/fd")) == before
