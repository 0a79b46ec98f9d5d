# SPDX-License-Identifier: GPL-3.0-or-later
"""Events to the standard library's logging, and the audit trail from Python."""

import json
import logging
import os
import threading
import time

import pytest
import slabby


def test_events_reach_logging_once(caplog):
    caplog.set_level(logging.DEBUG, logger="slabby")
    pool = slabby.Allocator(64, 1, name="orders")
    ref = pool.allocate()
    with pytest.raises(slabby.OutOfMemoryError):
        pool.allocate()
    pool.set_option("secure", True)
    before = time.time()
    assert pool.log_events() == 3
    assert pool.log_events() == 0
    opened, exhausted, changed = caplog.records
    assert [record.name for record in caplog.records] == ["slabby"] * 3
    assert opened.levelno == logging.INFO
    assert opened.slabby_event.code == slabby.EventCode.OPENED
    assert exhausted.levelno == logging.WARNING
    assert 'pool "orders"' in exhausted.getMessage()
    assert exhausted.slabby_event.value == 1
    assert "option secure" in changed.getMessage()
    assert opened.created <= before
    ref.release()


def test_a_logger_of_ones_own_and_what_was_suppressed(caplog):
    caplog.set_level(logging.INFO, logger="mine")
    pool = slabby.Allocator(64, 1)
    raised = 0
    for _ in range(100):
        pool.set_option("secure", False)
        raised += 1
    logged = pool.log_events(logging.getLogger("mine")) - 1
    assert 10 <= logged < raised
    while not pool.log_events(logging.getLogger("mine")):
        pool.set_option("secure", False)
        time.sleep(0.01)
    assert "more of its kind were suppressed" in caplog.records[-1].getMessage()
    assert {record.name for record in caplog.records} == {"mine"}


def test_a_logger_that_raises_gets_no_event_twice():
    pool = slabby.Allocator(64, 4)
    for at in range(3):
        pool.set_option("secure", at % 2 == 0)
    seen = []

    class Full(logging.Filter):
        def filter(self, record):
            seen.append(record.slabby_event.sequence)
            if seen == [0, 1]:
                raise OSError("the disk is full")
            return False

    logger = logging.getLogger("slabby.test.raises")
    logger.setLevel(logging.DEBUG)
    logger.addFilter(Full())
    with pytest.raises(OSError, match="full"):
        pool.log_events(logger)
    assert pool.log_events(logger) == 2
    assert pool.log_events(logger) == 0
    assert seen == [0, 1, 2, 3]


def test_the_audit_names_the_backend_on_every_thread():
    pool = slabby.Allocator(64, 4, audit=100)
    thread = threading.Thread(target=lambda: pool.allocate().release())
    thread.start()
    thread.join()
    ref = pool.allocate()
    with memoryview(ref), pytest.raises(slabby.PinnedError):
        ref.release()
    ref.release()
    records = list(pool.audit())
    kind = slabby.AuditOperation
    assert [record.operation for record in records] == [
        kind.CREATE,
        kind.ALLOCATE,
        kind.RELEASE,
        kind.ALLOCATE,
        kind.PIN,
        kind.RELEASE,
        kind.UNPIN,
        kind.RELEASE,
    ]
    assert records[5].status is slabby.Status.PINNED
    assert records[0].status is slabby.Status.OK
    assert {record.binding for record in records} == {slabby.Binding[pool.backend.upper()]}
    assert records[1].thread == thread.native_id
    assert records[3].thread == threading.get_native_id()


def test_the_audit_goes_on_where_it_stopped(tmp_path):
    pool = slabby.Allocator(64, 4, audit=100, name="orders")
    target = tmp_path / "trail"
    with open(target, "wb", buffering=0) as file:
        for _ in range(3):
            pool.allocate().release()
            pool.audit_write(file.fileno())
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert lines[0]["pool"] == "orders"
    assert [line["sequence"] for line in lines[1:]] == list(range(7))


def test_a_descriptor_that_refuses():
    pool = slabby.Allocator(64, 4, audit=8)
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(slabby.WriteFailedError) as caught:
        pool.audit_write(writer)
    assert isinstance(caught.value, OSError)
    assert f"descriptor {writer}" in str(caught.value)
    os.close(writer)
    with pytest.raises(slabby.NotSupportedError, match="audit"):
        slabby.Allocator(64, 4).audit_write(2)
