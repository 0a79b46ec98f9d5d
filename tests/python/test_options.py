# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as keywords: every one of the contract, its range, its spelling in Python."""

import tomllib
from datetime import timedelta
from enum import IntEnum
from pathlib import Path

import pytest
import slabby
from slabby._options import OPTIONS

CONTRACT = tomllib.loads(
    (Path(__file__).parents[2] / "bindings" / "contract.toml").read_text(encoding="utf-8")
)
CONTRACT_OPTIONS = {option["name"]: option for option in CONTRACT["option"]}
NUMBERS = [n for n, o in CONTRACT_OPTIONS.items() if o["kind"] not in ("flag", "enum", "text")]
LIMITED = [n for n, o in CONTRACT_OPTIONS.items() if o["kind"] != "text"]
SECOND = 1_000_000_000


def in_python(name: str, number: int) -> object:
    """A contract's number as a keyword takes it."""
    option = CONTRACT_OPTIONS[name]
    if option["kind"] == "flag":
        return bool(number)
    if option["kind"] == "enum":
        enumerators = CONTRACT["enums"][option["enum"]]["values"]
        return next(name for name, value in enumerators.items() if value == number)
    return number / SECOND if option["kind"] == "duration" else number


def test_the_package_knows_the_contracts_options():
    assert {name: info.id for name, info in OPTIONS.items()} == {
        name: option["id"] for name, option in CONTRACT_OPTIONS.items()
    }
    assert set(slabby.Options.__annotations__) == {*CONTRACT_OPTIONS, "preset"}


@pytest.mark.parametrize("name", CONTRACT_OPTIONS)
def test_the_default_is_accepted(name):
    option = CONTRACT_OPTIONS[name]
    numeric = isinstance(option["default"], int)
    value = in_python(name, option["default"]) if numeric else None
    with slabby.Allocator(64, 10, **{name: value}) as pool:
        if numeric:
            effective = pool.get_option(name)
            effective = effective.name.lower() if option["kind"] == "enum" else effective
            # `auto` is resolved when the pool is made.
            assert effective == value or value == "auto"


@pytest.mark.parametrize("name", NUMBERS)
def test_beyond_the_range_is_refused_with_the_range(name):
    option = CONTRACT_OPTIONS[name]
    wrong = option["maximum"] + 1
    if option["kind"] == "duration":
        wrong = option["maximum"] + SECOND
    with pytest.raises(slabby.InvalidOptionError) as caught:
        slabby.Allocator(64, 10, **{name: in_python(name, wrong)})
    error = caught.value
    assert (error.option, error.value) == (name, wrong)
    assert (error.minimum, error.maximum) == (option["minimum"], option["maximum"])
    assert name in str(error) and isinstance(error, ValueError)


def limits(name: str) -> tuple[int, int]:
    """The least and the largest number of an option."""
    option = CONTRACT_OPTIONS[name]
    if option["kind"] == "flag":
        return 0, 1
    if option["kind"] == "enum":
        values = CONTRACT["enums"][option["enum"]]["values"].values()
        return min(values), max(values)
    return option["minimum"], option["maximum"]


# What the system may refuse at the largest value: locked pages, address space.
MEMORY_BOUND = {"audit", "lock_memory", "max_capacity"}


@pytest.mark.parametrize("largest", [False, True], ids=["least", "largest"])
@pytest.mark.parametrize("name", LIMITED)
def test_each_limit_is_accepted_and_is_the_pools(name, largest):
    value = in_python(name, limits(name)[largest])
    try:
        pool = slabby.Allocator(64, 1, **{name: value})
    except slabby.NoSystemMemoryError:
        assert largest and name in MEMORY_BOUND
        pytest.skip(f"this system has no memory for {name} = {value}")
    with pool:
        effective = pool.get_option(name)
        effective = effective.name.lower() if isinstance(effective, IntEnum) else effective
        # `auto` is resolved when the pool is made.
        assert effective == value or value == "auto"


def test_values_are_spelled_as_python_does():
    with slabby.Allocator(
        64,
        100,
        name="orders",
        secure=True,
        shards=3,
        alignment="4KiB",
        per_cpu_cache="off",
        cpu_cache_backend=slabby.CpuCacheBackend.PORTABLE,
        heap_fallback="on",
        heap_fallback_limit=5,
    ) as pool:
        assert pool.get_option("secure") is True
        assert pool.get_option("shards") == 4
        assert pool.get_option("alignment") == 4096
        assert pool.get_option("per_cpu_cache") is False
        assert pool.get_option("cpu_cache_backend") is slabby.CpuCacheBackend.PORTABLE
        assert pool.get_option("circuit_breaker_timeout") == 30.0
        assert pool.options()["heap_fallback_limit"] == 5
        with pool.allocate() as ref:
            assert "orders" in repr(ref)


def test_durations_are_seconds():
    for same in (30, 30.0, "30s", timedelta(seconds=30), "30000ms"):
        slabby.Allocator(64, 1, circuit_breaker_timeout=same)


def test_wrong_kinds_are_named():
    wrong = {
        "secure": 1,
        "shards": 2.5,
        "alignment": None.__class__,
        "name": 5,
        "circuit_breaker_timeout": [],
        "prefault": "maybe",
        "cpu_cache_backend": "fast",
        "latency_tracking": 1,
    }
    for name, value in wrong.items():
        with pytest.raises((TypeError, slabby.InvalidOptionError), match=name):
            slabby.Allocator(64, 1, **{name: value})


def test_an_unknown_option_is_a_typeerror_with_advice():
    with pytest.raises(TypeError, match="did you mean 'secure'"):
        slabby.Allocator(64, 1, secur=True)
    with pytest.raises(TypeError, match=r"help\(slabby.Options\)"):
        slabby.Allocator(64, 1, zzzzzz=True)


def test_a_long_name_is_refused():
    with pytest.raises(slabby.InvalidOptionError):
        slabby.Allocator(64, 1, name="x" * 64)
    slabby.Allocator(64, 1, name="x" * 63)


def test_hot_options_change_while_it_runs(pool):
    with pool.allocate() as ref:
        memoryview(ref)[:6] = b"secret"
        pool.set_option("secure", True)
        assert pool.get_option("secure") is True
        address = ref.address
    again = pool.allocate()
    assert again.address == address
    assert bytes(memoryview(again)[:6]) == bytes(6)
    again.release()
    pool.set_option("heap_fallback", True)
    refs = [pool.allocate() for _ in range(101)]
    assert pool.stats().heap_slabs == 1
    pool.deallocate_batch(refs)


def test_cold_options_are_fixed(pool):
    for name, value in (("shards", 2), ("per_cpu_cache", False), ("huge_pages", True)):
        before = pool.get_option(name)
        with pytest.raises(slabby.ColdOptionError) as caught:
            pool.set_option(name, value)
        assert caught.value.option == name
        assert pool.get_option(name) == before
    with pytest.raises(slabby.ColdOptionError, match="name"):
        pool.set_option("name", "other")
    with pytest.raises(TypeError, match="no option"):
        pool.set_option("colour", 1)


def test_heap_fallback_serves_beyond_capacity():
    with slabby.Allocator(64, 2, heap_fallback=True, heap_fallback_limit=3) as pool:
        refs = [pool.allocate() for _ in range(5)]
        assert sorted(ref.id for ref in refs)[-1] >= 2
        with pytest.raises(slabby.OutOfMemoryError):
            pool.allocate()
        stats = pool.stats()
        assert (stats.used_slabs, stats.heap_slabs) == (2, 3)
        for ref in refs:
            memoryview(ref)[:] = b"h" * 64
            ref.release()
        assert pool.stats().heap_slabs == 0


def test_a_preset_sets_and_keywords_override():
    pool = slabby.Allocator(64, 4, degrade_at=70, preset="gateway")
    options = pool.options()
    assert (options["degrade_at"], options["survive_at"], options["heap_fallback"]) == (
        70,
        95,
        True,
    )
    assert slabby.Allocator(64, 4, preset=None).get_option("survive_at") == 0


@pytest.mark.parametrize("preset", CONTRACT["preset"], ids=lambda p: p["name"])
def test_each_preset_is_what_the_contract_says(preset):
    with slabby.Allocator(64, 4, preset=preset["name"]) as pool:
        for name, value in preset["options"].items():
            found = pool.get_option(name)
            assert (round(found * 1e9) if isinstance(found, float) else int(found)) == value


def test_unknown_presets_are_refused_with_the_list():
    with pytest.raises(
        slabby.InvalidOptionError, match=r"trdaing.*default, trading, .* or packets"
    ):
        slabby.Allocator(64, 4, preset="trdaing")
    with pytest.raises(TypeError, match="preset takes the name"):
        slabby.Allocator(64, 4, preset=5)


def test_degradation_is_seen_and_reported(caplog):
    pool = slabby.Allocator(64, 10, degrade_at="50%", survive_at=90)
    refs = [pool.allocate() for _ in range(9)]
    assert pool.health_check().degradation_state is slabby.DegradationState.SURVIVAL
    assert pool.stats().degradation_state is slabby.DegradationState.SURVIVAL
    assert '"degradation_state":"survival"' in pool.health_json()
    pool.breaker_force(slabby.BreakerMode.FORCED_OPEN)
    pool.log_events()
    reported = [(record.levelname, record.slabby_event.code) for record in caplog.records]
    assert ("WARNING", slabby.EventCode.DEGRADATION) in reported
    assert ("WARNING", slabby.EventCode.BREAKER_FORCED) in reported
    with pytest.raises(slabby.OptionConflictError, match="degrade_at = 95"):
        pool.set_option("degrade_at", 95)
    pool.deallocate_batch(refs)
