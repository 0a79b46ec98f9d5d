# SPDX-License-Identifier: GPL-3.0-or-later
"""An observer sees what the next caller would meet: counters that only grow, a breaker whose time is over, a closed
pool; and which pool it is."""

import dataclasses
import json
import threading
import time
import tomllib
from pathlib import Path

import pytest

import slabby

CONTRACT = Path(__file__).parents[2] / "bindings" / "contract.toml"


def growing() -> list[str]:
    contract = tomllib.loads(CONTRACT.read_text())
    fields = contract["snapshots"]["stats"]["field"]
    return [field["name"] for field in fields if field.get("kind", "gauge") != "gauge"]


def test_counters_only_grow() -> None:
    names = growing()
    assert len(names) > 15
    end = time.monotonic() + 1
    with slabby.Allocator(64, 1000, guard_sample_rate=20) as pool:

        def work() -> None:
            while time.monotonic() < end:
                try:
                    pool.deallocate_batch(pool.allocate_batch(1000))
                except slabby.OutOfMemoryError:
                    pass
                for _ in range(50):
                    try:
                        pool.allocate().release()
                        pool.deallocate_fast(pool.allocate_fast()[1])
                    except slabby.OutOfMemoryError:
                        pass

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        before = pool.stats()
        while time.monotonic() < end:
            now = pool.stats()
            for name in names:
                old, new = getattr(before, name), getattr(now, name)
                pairs = [(old[s], new[s]) for s in old] if isinstance(old, dict) else [(old, new)]
                for was, is_now in pairs:
                    assert was <= is_now < 2**62, name
            before = now
        for thread in threads:
            thread.join()


def test_an_expired_breaker_reads_half_open() -> None:
    with slabby.Allocator(
        64, 1, circuit_breaker_threshold=1, circuit_breaker_timeout=0.001
    ) as pool:
        with pool.allocate(), pytest.raises(slabby.OutOfMemoryError):
            pool.allocate()
        time.sleep(0.005)
        health = pool.health_check()
        assert health.breaker_state is slabby.BreakerState.HALF_OPEN
        assert not health.circuit_breaker_open
        assert health.health_score > 0
        assert pool.stats().breaker_state is slabby.BreakerState.HALF_OPEN
        assert json.loads(pool.health_json())["breaker_state"] == "half_open"


def test_a_pool_says_which_it_is_and_whether_it_is_open() -> None:
    pool = slabby.Allocator(64, 10, name="orders")
    assert (pool.name, pool.capacity, pool.closed) == ("orders", 10, False)
    assert pool.get_option("name") == "orders"
    assert pool.options()["name"] == "orders"
    assert pool.stats().name == pool.health_check().name == pool.memory().name == "orders"
    assert pool.health_check().capacity == pool.memory().capacity == 10
    for text in (pool.stats_json(), pool.health_json(), pool.memory_json()):
        assert json.loads(text)["name"] == "orders"
    assert json.loads(pool.memory_json()) == dataclasses.asdict(pool.memory())
    assert "orders" in repr(pool)
    ref = pool.allocate()
    pool.close()
    assert pool.closed
    assert pool.health_check().health_score == 0
    assert pool.stats().pool_state is slabby.PoolState.CLOSED
    ref.release()
    assert pool.health_check().pool_state is slabby.PoolState.DRAINED
    assert pool.name == "orders"
