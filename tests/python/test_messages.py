# SPDX-License-Identifier: GPL-3.0-or-later
"""Every refusal is read aloud: it names the argument, its value in the caller's unit, the limit, and what to do."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import slabby

CONTRACT = tomllib.loads(
    (Path(__file__).parents[2] / "bindings" / "contract.toml").read_text(encoding="utf-8")
)
ENUMERATORS = {name: list(enum["values"]) for name, enum in CONTRACT["enums"].items()}
# How a sentence says what to do.
ADVICE = re.compile(
    r"\b(choose|make|pass|write|release|wait|raise|lower|leave|keep|use|ask|export|look|try|help\(|takes)\b"
)
# Words of the implementation, of which no caller knows.
FORBIDDEN = (
    "null handle",
    "out-parameter",
    "docs/",
    "NoneType",
    "has no attribute",
    "000000000 ns",
)

Refusal = tuple[Callable[[Any], object], tuple[str, ...]]


def ranges() -> Iterator[tuple[str, str, object, tuple[str, ...]]]:
    """(case, option, value, what the message holds) for each option of the contract."""
    for option in CONTRACT["option"]:
        name, kind = option["name"], option["kind"]
        low, high = option.get("minimum", 0), option.get("maximum", 0)
        if kind in ("count", "bytes", "percent"):
            unit = "%" if kind == "percent" else ""
            for value in (low - 1, high + 1, 2**70):
                yield (
                    f"{name}={value}",
                    name,
                    value,
                    (f"{value}{unit};", f"{low}{unit} to {high}{unit}"),
                )
            yield f"{name}=1.5", name, 1.5, ("1.5", "whole number")
        elif kind == "duration":
            limits = f"{low / 1e9:g} to {high / 1e9:g} s"
            for seconds in (high / 1e9 + 1, low / 1e9 - 1e-3, float("nan")):
                yield f"{name}={seconds}", name, seconds, (f"{seconds!r} s", limits)
            least = f"0 s, or 1e-09 to {high / 1e9:g} s" if low == 0 else limits
            yield f"{name}=4e-10", name, 4e-10, ("4e-10 s", least)
            yield f"{name} as timedelta", name, timedelta(days=400), ("34560000.0 s", limits)
            yield f"{name}=[]", name, [], ("[]", "seconds")
        elif kind == "flag":
            yield f"{name}=3", name, 3, ("3", "True or False")
            yield f"{name}=maybe", name, "maybe", ("maybe", "on or off")
        elif kind == "enum":
            for wrong in ("often", 77):
                yield (
                    f"{name}={wrong}",
                    name,
                    wrong,
                    (repr(wrong), *map(repr, ENUMERATORS[option["enum"]])),
                )
        else:
            yield f"{name}=3", name, 3, ("3", "text")
            yield f"{name} too long", name, "x" * (high + 37), (str(high + 37), str(high))


OPTION_CASES = {case: rest for case, *rest in ranges()}


def read_aloud(error: BaseException, *parts: str) -> None:
    text = str(error)
    for part in parts:
        assert part in text, f"{part!r} is missing in: {text}"
    assert ADVICE.search(text), f"nothing says what to do: {text}"
    assert not any(word in text for word in FORBIDDEN), text
    assert isinstance(error, (slabby.SlabbyError, TypeError, ValueError, IndexError)), type(error)


@pytest.mark.parametrize("case", OPTION_CASES)
def test_an_option_that_is_refused_when_the_pool_is_made(case):
    name, value, parts = OPTION_CASES[case]
    with pytest.raises((slabby.InvalidOptionError, TypeError)) as caught:
        slabby.Allocator(64, 4, **{name: value})
    read_aloud(caught.value, name, *parts)
    if isinstance(caught.value, slabby.SlabbyError) and name != "name":
        assert caught.value.option == name


HOT = {option["name"] for option in CONTRACT["option"] if option.get("hot")}


@pytest.mark.parametrize("case", [c for c, rest in OPTION_CASES.items() if rest[0] in HOT])
def test_a_hot_option_that_is_refused(pool, case):
    name, value, parts = OPTION_CASES[case]
    before = pool.options()
    with pytest.raises((slabby.InvalidOptionError, TypeError)) as caught:
        pool.set_option(name, value)
    read_aloud(caught.value, name, *parts)
    assert pool.options() == before


@pytest.mark.parametrize("name", [o["name"] for o in CONTRACT["option"] if not o.get("hot")])
def test_a_cold_option_is_refused(pool, name):
    value = pool.get_option(name)
    with pytest.raises(slabby.ColdOptionError) as caught:
        pool.set_option(name, value)
    read_aloud(caught.value, name)


# The pool has 10 slabs, all in use; refs[0] is pinned.
FULL: dict[str, Refusal] = {
    "capacity -5": (lambda _: slabby.Allocator(4096, -5), ("capacity", "-5", "1 to 2147483647")),
    "capacity 0": (lambda _: slabby.Allocator(4096, 0), ("capacity", "0", "1 to 2147483647")),
    "capacity 2**31": (lambda _: slabby.Allocator(64, 2**31), ("capacity", str(2**31), "1 to ")),
    "capacity 2**70": (lambda _: slabby.Allocator(64, 2**70), ("capacity", str(2**70), "1 to ")),
    "slab_size 0": (lambda _: slabby.Allocator(0, 1), ("slab_size", "0", "1 to 1073741824 bytes")),
    "slab_size big": (lambda _: slabby.Allocator(2**31, 1), ("slab_size", str(2**31), "bytes")),
    "slab_size x": (lambda _: slabby.Allocator("x", 1), ("slab_size", "'x'")),
    "no option": (lambda _: slabby.Allocator(64, 1, secur=True), ("secur", "'secure'", "Options")),
    "no preset": (lambda _: slabby.Allocator(64, 1, preset="fast"), ("preset", "fast", "trading")),
    "allocate": (lambda p: p.allocate(), ("orders", "10 slabs", "capacity")),
    "allocate_fast": (lambda p: p.allocate_fast(), ("orders", "10 slabs", "capacity")),
    "allocate(0.01)": (lambda p: p.allocate(0.01), ("timeout", "0.01 s", "orders")),
    "acquire(0.01)": (lambda p: p.acquire(0.01), ("timeout", "0.01 s", "orders")),
    "acquire(timedelta)": (
        lambda p: p.acquire(timedelta(milliseconds=10)),
        ("timeout", "0.01 s", "orders"),
    ),
    "acquire_async": (
        lambda p: asyncio.run(p.acquire_async(0.01)),
        ("timeout", "0.01 s", "orders"),
    ),
    "acquire_async(-1)": (lambda p: asyncio.run(p.acquire_async(-1)), ("timeout", "-1 s", "0 s")),
    "timeout -1": (lambda p: p.allocate(-1), ("timeout", "-1 s", "0 s or more")),
    "timeout nan": (lambda p: p.acquire(float("nan")), ("timeout", "nan", "0 s or more")),
    "timeout x": (lambda p: p.acquire("x"), ("timeout", "'x'", "seconds")),
    "timeout True": (lambda p: p.acquire(True), ("timeout", "True", "seconds")),
    "batch 11": (lambda p: p.allocate_batch(11), ("count", "11", "1 to 10")),
    "batch 10**9": (lambda p: p.allocate_batch(10**9), ("count", "1000000000", "1 to 10")),
    "batch 0": (lambda p: p.allocate_batch(0), ("count", "0", "1 to 10")),
    "batch -1": (lambda p: p.allocate_batch(-1), ("count", "-1", "1 to 10 ")),
    "batch 2**70": (lambda p: p.allocate_batch(2**70), ("count", str(2**70), "1 to 10 ")),
    "acquire_batch -1": (lambda p: p.acquire_batch(-1), ("count", "-1", "1 to 10 ")),
    "batch 5": (lambda p: p.allocate_batch(5), ("count", "5", "0 of its 10")),
    "batch x": (lambda p: p.allocate_batch("x"), ("count", "'x'")),
    "acquire_batch 11": (lambda p: p.acquire_batch(11), ("count", "11", "1 to 10")),
    "acquire_batch x": (lambda p: p.acquire_batch("x"), ("count", "'x'")),
    "acquire_batch": (lambda p: p.acquire_batch(3, 0.01), ("3", "0.01 s", "10 of its 10")),
    "listener(-1)": (lambda p: p.listener(-1), ("timeout", "-1 s", "more than 0 s")),
    "mode 9": (lambda p: p.breaker_force(9), ("mode", "9", "'normal'", "'metrics_only'")),
    "mode wild": (lambda p: p.breaker_force("wild"), ("mode", "'wild'", "'normal'")),
    "get_option": (lambda p: p.get_option("nam"), ("nam", "'name'", "Options")),
    "get_option(3)": (lambda p: p.get_option(3), ("3", "Options")),
    "deallocate_batch([1])": (lambda p: p.deallocate_batch([1]), ("SlabRef", "item 0", "1")),
    "deallocate_batch(None)": (lambda p: p.deallocate_batch(None), ("SlabRef", "None")),
    "deallocate(1)": (lambda p: p.deallocate(1), ("SlabRef", "1")),
    "deallocate_fast(77)": (lambda p: p.deallocate_fast(77), ("id", "77", "orders")),
    "deallocate_fast('x')": (lambda p: p.deallocate_fast("x"), ("id", "'x'")),
    "stack(None)": (lambda p: p.stack(None), ("ref", "None", "SlabRef")),
    "explain('x')": (lambda p: p.explain("x"), ("ref", "'x'", "SlabRef")),
    "explain status": (lambda p: p.explain(0, 5), ("status", "5", "'out_of_memory'")),
    "log_events": (lambda p: p.log_events("x"), ("logger", "'x'", "logging.Logger")),
    "audit": (lambda p: list(p.audit()), ("orders", "audit", "make it with the option audit")),
    "audit_write": (lambda p: p.audit_write(1), ("orders", "audit", "make it with option audit")),
    "audit_write('x')": (lambda p: p.audit_write("x"), ("fd", "'x'")),
    "audit_write(-1)": (lambda p: p.audit_write(-1), ("fd", "-1", "0 to")),
    "reset": (lambda p: p.reset(), ("orders", "view")),
    "from_ref(1)": (lambda p: p.from_ref(1), ("orders", "0x0000000000000001")),
    "from_ref('x')": (lambda p: p.from_ref("x"), ("ref", "'x'")),
    "resize(0)": (lambda p: p.resize(0), ("capacity", "0", "1 to 10")),
    "resize(-1)": (lambda p: p.resize(-1), ("capacity", "-1", "1 to 10")),
    "resize(2**70)": (lambda p: p.resize(2**70), ("capacity", str(2**70), "1 to 10")),
    "resize(11)": (lambda p: p.resize(11), ("capacity", "11", "max_capacity 10")),
    "resize('x')": (lambda p: p.resize("x"), ("capacity", "'x'")),
    "classify_fault": (lambda _: slabby.classify_fault(-1), ("address", "-1", "0 to")),
    "suggest_capacity": (
        lambda _: slabby.suggest_capacity(
            1e6, mean_hold=-1, p99_hold=0.01, exhaustion_probability=1e-6
        ),
        ("mean_hold -1", "1 ns to a day"),
    ),
    "suggest": (
        lambda _: slabby.suggest_slab_size(10, 5, rate_per_second=1),
        ("average 10", "maximum 5", "average <= maximum"),
    ),
    "suggest('x')": (
        lambda _: slabby.suggest_slab_size(10, 50, rate_per_second="x"),
        ("rate_per_second", "'x'"),
    ),
}


@pytest.fixture
def full() -> Iterator[slabby.Allocator]:
    with slabby.Allocator(64, 10, name="orders") as pool:
        refs = pool.allocate_batch(10)
        view = memoryview(refs[0])
        yield pool
        view.release()
        pool.deallocate_batch(refs)
        assert pool.stats().waiters == 0


@pytest.mark.parametrize("case", FULL)
def test_a_refused_call(full, case):
    call, parts = FULL[case]
    before = full.stats().used_slabs
    with pytest.raises(Exception) as caught:  # noqa: B017 - read_aloud checks the type
        call(full)
    read_aloud(caught.value, *parts)
    assert full.stats().used_slabs == before


CLOSED: dict[str, Callable[[slabby.Allocator], object]] = {
    "allocate": lambda p: p.allocate(),
    "allocate(timeout)": lambda p: p.allocate(timeout=1),
    "acquire": lambda p: p.acquire(),
    "allocate_fast": lambda p: p.allocate_fast(),
    "allocate_batch": lambda p: p.allocate_batch(1),
    "acquire_batch": lambda p: p.acquire_batch(1),
    "acquire_async": lambda p: asyncio.run(p.acquire_async()),
    "acquire_batch_async": lambda p: asyncio.run(p.acquire_batch_async(1)),
}


@pytest.mark.parametrize("case", CLOSED)
def test_a_closed_pool_says_its_name(case):
    pool = slabby.Allocator(64, 10, name="orders")
    pool.close()
    with pytest.raises(slabby.ClosedError) as caught:
        CLOSED[case](pool)
    read_aloud(caught.value, "orders", "closed")


def test_references(pool):
    ref = pool.allocate()
    with memoryview(ref), pytest.raises(slabby.PinnedError) as pinned:
        ref.release()
    read_aloud(pinned.value, f"slab {ref.id}", "1 pin", "memoryview")
    for index in (4096, -4097):
        with pytest.raises(IndexError) as outside:
            ref[index]
        read_aloud(outside.value, str(index), "-4096 to 4095")
    with pytest.raises(ValueError) as longer:
        ref[:3] = b"abcd"
    assert "3 bytes" in str(longer.value) and "4" in str(longer.value)
    identity = ref.id
    ref.release()
    for stale in (ref.release, lambda: memoryview(ref), lambda: ref[0], ref.tobytes):
        with pytest.raises(ReferenceError) as caught:
            stale()
        read_aloud(caught.value, f"slab {identity}", "test")


def test_a_failed_batch_says_which_reference_failed(pool):
    refs = pool.allocate_batch(5)
    refs[2].release()
    with pytest.raises(slabby.DoubleDeallocationError) as caught:
        pool.deallocate_batch(refs)
    read_aloud(caught.value, "item 2 of 5", "4 were released", "slab ")
    assert caught.value.value == 4


def test_a_closed_listener_says_so(pool):
    listener = pool.listener()
    listener.close()
    for call in (listener.begin, listener.take, lambda: listener.cancel(1)):
        with pytest.raises(slabby.ClosedError) as caught:
            call()
        read_aloud(caught.value, "Listener", "pool.listener()")


def test_every_exception_says_what_to_do_without_help():
    for status in slabby.Status:
        if status:
            kind = getattr(
                slabby,
                "".join(part.capitalize() for part in status.name.split("_")) + "Error",
                None,
            ) or next(
                each
                for each in slabby.SlabbyError.__subclasses__()
                if getattr(each, "status", None) == status
            )
            assert kind.hint in str(kind()) or str(kind()).endswith("; try again later.")
            assert kind.hint in str(kind("something"))


def test_an_error_of_the_generator_stays_as_it_is(pool):
    def refs():
        yield pool.allocate()
        raise TypeError("a mistake of the generator")

    with pytest.warns(ResourceWarning), pytest.raises(TypeError, match="^a mistake of the gen"):
        pool.deallocate_batch(refs())
    with pytest.raises(TypeError, match="takes SlabRefs, not 5"):
        pool.deallocate_batch(5)


@pytest.mark.parametrize("timeout", [-1, -1.0, timedelta(seconds=-1)])
def test_a_refused_timeout_carries_its_nanoseconds(pool, timeout):
    for call in (pool.acquire, pool.acquire_batch):
        with pytest.raises(slabby.InvalidArgumentError) as caught:
            call(1, timeout) if call == pool.acquire_batch else call(timeout)
        error = caught.value
        assert (error.value, error.minimum, error.maximum) == (-1_000_000_000, 0, 2**63 - 1)


def test_a_full_heap_is_not_advised_against_itself():
    with slabby.Allocator(64, 2, heap_fallback=True, heap_fallback_limit=1, name="orders") as pool:
        held = pool.allocate_batch(3)
        for call in (pool.allocate, pool.allocate_fast, lambda: pool.allocate_batch(1)):
            with pytest.raises(slabby.OutOfMemoryError) as caught:
                call()
            read_aloud(caught.value, "orders", "; raise heap_fallback_limit or the capacity")
            assert "heap_fallback=True" not in str(caught.value)
        held.release()


def test_a_fast_slab_in_use_is_not_advised_to_be_released_later(pool):
    fast, number = pool.allocate_fast()
    with memoryview(fast), pytest.raises(slabby.PinnedError) as caught:
        pool.deallocate_fast(number)
    read_aloud(caught.value, f"id is {number}", "; end every memoryview")
    assert "release_deferred" not in str(caught.value)
    pool.deallocate_fast(number)


def test_a_refused_write_has_errno_as_other_errors_of_the_system():
    with (
        slabby.Allocator(64, 4, audit=16) as pool,
        open("/dev/full", "wb", buffering=0) as full_disk,
        pytest.raises(slabby.WriteFailedError) as caught,
    ):
        pool.allocate().release()
        pool.audit_write(full_disk.fileno())
    assert (caught.value.errno, caught.value.strerror) == (errno.ENOSPC, os.strerror(errno.ENOSPC))
    read_aloud(caught.value, "errno 28", "call again")


def test_a_text_with_stacks_has_pythons_frames():
    """The advice belongs to the sentence, and nothing behind it is cut."""

    def use_and_release():
        ref = pool.allocate()
        ref.release()
        return ref

    with slabby.Allocator(64, 4, debug=True, name="x" * 60) as pool:
        ref = use_and_release()
        with pytest.raises(slabby.UseAfterFreeError) as caught:
            memoryview(ref)
    sentence, heading, *frames, released = str(caught.value).splitlines()
    assert sentence.endswith(slabby.UseAfterFreeError.hint)
    assert heading == "allocated at (most recent call last):"
    assert frames[-2].endswith("use_and_release")
    assert frames[-1] == "    ref = pool.allocate()"
    assert re.fullmatch(r"released by thread \d+, \d+ [a-z]+ ago", released)


def test_a_text_with_the_stacks_of_others_is_whole():
    with slabby.Allocator(64, 4, debug=True, name="x" * 60) as pool:
        other = slabby.Allocator.adopt(*pool.handle(), backend=pool.backend)
        value = other.allocate().detach()
        pool.from_ref(value).release()
        with pytest.raises(slabby.UseAfterFreeError) as caught:
            pool.from_ref(value)
    sentence, *stacks = str(caught.value).splitlines()
    assert sentence.endswith(slabby.UseAfterFreeError.hint)
    assert [line.split(" by ")[0].strip() for line in stacks if " by thread " in line] == [
        "allocated",
        "released",
    ]
    assert all(line.endswith((")", "at:")) for line in stacks), stacks


def test_an_error_is_counted_once_where_stacks_are_noted():
    with slabby.Allocator(64, 4, debug=True) as pool, slabby.Allocator(64, 4) as other:
        with pool.allocate(), other.allocate() as foreign:
            with pytest.raises(slabby.InvalidReferenceError):
                pool.deallocate(foreign)
            errors = pool.stats().errors
            assert errors[slabby.Status.INVALID_REFERENCE] == sum(errors.values()) == 1


@pytest.mark.parametrize("raised", [KeyboardInterrupt, OSError])
def test_ctrl_c_while_a_text_is_made_is_not_lost(raised):
    class Interrupted(slabby.Allocator):
        def _with_stack(self, text, ref):
            raise raised

    with Interrupted(64, 4, debug=True) as pool:
        ref = pool.allocate()
        ref.release()
        with pytest.raises(
            KeyboardInterrupt if raised is KeyboardInterrupt else slabby.UseAfterFreeError
        ):
            memoryview(ref)
