# SPDX-License-Identifier: GPL-3.0-or-later
"""A running pool changes: its capacity, and every option that the contract calls hot."""

import sys
import threading
import tomllib
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import slabby

CONTRACT = tomllib.loads(
    (Path(__file__).parents[2] / "bindings" / "contract.toml").read_text(encoding="utf-8")
)
OPTIONS = {option["name"]: option for option in CONTRACT["option"]}

# Two values of each hot option, neither of which makes an allocation fail; what is given, and what is read back.
VALUES = {
    "max_alloc_latency": (0.0, 3600.0),
    "latency_tracking": ("off", "all"),
    "secure": (False, True),
    "guard_sample_rate": (0, 100),
    "corruption_policy": ("quarantine", "reclaim"),
    "debug": (False, True),
    "heap_fallback": (False, True),
    "circuit_breaker_threshold": (0, 1000),
    "circuit_breaker_timeout": (1.0, 30.0),
    "circuit_breaker_probes": (1, 3),
    "health_checks": (False, True),
    "health_interval": (1.0, 2.0),
    "degrade_at": (0, 80),
    "survive_at": (0, 95),
}


def test_slabs_in_use_leave_when_they_are_released():
    with slabby.Allocator(64, 4, max_capacity=6) as pool:
        refs = [pool.allocate() for _ in range(4)]
        assert pool.resize(1) == 3
        assert pool.stats().awaited_slabs == 3
        for ref in refs[1:]:
            with pytest.raises(slabby.OutOfMemoryError):
                pool.allocate()
            ref.release()
        assert pool.stats().awaited_slabs == 0
        assert pool.resize(6) == 0
        stats = pool.stats()
        assert (stats.total_slabs, stats.reserved_slabs, stats.available_slabs) == (6, 6, 5)
        refs[0].release()
        assert pool.verify() == []


def test_a_view_pays_when_it_goes():
    with slabby.Allocator(64, 2) as pool:
        with pool.allocate() as ref, pool.allocate():
            view = memoryview(ref)
            assert pool.resize(1) == 1
        assert pool.stats().awaited_slabs == 0
        view[0] = 1
        view.release()
        with pool.allocate(), pytest.raises(slabby.OutOfMemoryError):
            pool.allocate()


@pytest.mark.parametrize(
    ("capacity", "error"),
    [(0, slabby.InvalidCapacityError), (101, slabby.CapacityExceededError)],
)
def test_a_capacity_out_of_range_changes_nothing(pool, capacity, error):
    with pytest.raises(error) as caught:
        pool.resize(capacity)
    assert caught.value.value == capacity
    assert (caught.value.minimum, caught.value.maximum) == (1, 100)
    assert pool.stats().total_slabs == 100


def test_resizing_is_reported(pool):
    pool.resize(50)
    reported = [event.code for event in pool.events()]
    assert slabby.EventCode.RESIZING in reported
    assert slabby.EventCode.RESIZED in reported


@contextmanager
def eager_switching():
    """Eight busy threads do not keep the others waiting for 5 ms each."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def keep_busy(pool, done, failures):
    while not done.is_set():
        try:
            for ref in pool.allocate_batch(3):
                ref.release()
        except slabby.SlabbyError as error:
            failures.append(error)
            return


def read_back(value):
    return (
        value.name.lower()
        if isinstance(value, slabby.LatencyTracking | slabby.CorruptionPolicy)
        else value
    )


@pytest.mark.parametrize("name", [n for n, o in OPTIONS.items() if o.get("hot")])
def test_a_hot_option_changes_while_others_allocate(name):
    assert name in VALUES, "the contract calls it hot: add two values"
    first, second = VALUES[name]
    done, failures = threading.Event(), []
    with slabby.Allocator(64, 256) as pool, eager_switching():
        threads = [
            threading.Thread(target=keep_busy, args=(pool, done, failures)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for value in (second, first, second):
            pool.set_option(name, value)
            assert read_back(pool.get_option(name)) == value
        done.set()
        for thread in threads:
            thread.join()
        assert failures == []
        reported = [e for e in pool.events() if e.code is slabby.EventCode.OPTION_CHANGED]
        assert len(reported) == 3
        assert all(name in event.text for event in reported)
        assert pool.stats().used_slabs == 0


@pytest.mark.parametrize(
    "name", [n for n, o in OPTIONS.items() if not o.get("hot") and o["kind"] != "text"]
)
def test_a_cold_option_is_refused_with_its_reason(pool, name):
    before = pool.get_option(name)
    with pytest.raises(slabby.ColdOptionError, match="fixed when the pool is made") as caught:
        pool.set_option(name, before)
    assert caught.value.option == name
    assert pool.get_option(name) == before


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("250 us", 0.00025), ("2m", 120.0), ("1.5s", 1.5)]
)
def test_text_carries_its_unit(pool, text, seconds):
    pool.set_option("circuit_breaker_timeout", text)
    assert pool.get_option("circuit_breaker_timeout") == seconds
    pool.set_option("circuit_breaker_timeout", timedelta(seconds=1))
    assert pool.get_option("circuit_breaker_timeout") == 1.0


def test_words_for_flags_and_none(pool):
    pool.set_option("secure", "on")
    assert pool.get_option("secure") is True
    pool.set_option("max_alloc_latency", "off")
    assert pool.get_option("max_alloc_latency") == 0
    with pytest.raises(slabby.InvalidOptionError, match="cannot be read"):
        pool.set_option("circuit_breaker_timeout", "4KiB")
    with pytest.raises(slabby.ColdOptionError):
        pool.set_option("shards", "3")
