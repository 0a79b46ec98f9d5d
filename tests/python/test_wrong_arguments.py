# SPDX-License-Identifier: GPL-3.0-or-later
"""Every parameter of every public call gets values of every wrong kind. What is refused is refused by name, with the
value, before anything happens; no message speaks of what the call does inside."""

from __future__ import annotations

import asyncio
import inspect
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import slabby

FORBIDDEN = re.compile(r"has no attribute|not supported between|null|out-parameter|embedded|nano")


class Strange:
    def __repr__(self) -> str:
        return "<strange>"


WRONG: dict[str, Any] = {
    "object": Strange(),
    "text": "strange",
    "None": None,
    "flag": True,
    "negative": -1,
    "fraction": 1.5,
    "nan": float("nan"),
    "huge": 2**70,
    "huge negative": -(10**400),
    "list": [],
    "bytes": b"strange",
}
# What a message may call a value instead of repr().
SPELLINGS = {
    "text": ('"strange"', "item 0 is 's'"),
    "bytes": ("memory is 0x", "item 0 is 115"),
}
# What a message may call a parameter.
NAMES = {
    "Allocator.adopt address": ("address", "handle"),
    "Allocator.adopt instance_id": ("instance",),
    "Allocator.deallocate ref": ("SlabRef",),
    "Allocator.deallocate_batch refs": ("SlabRefs",),
    "Allocator.from_ref value": ("ref",),
    "Allocator.get_option name": ("option",),
    "Allocator.set_option name": ("option",),
    "Allocator.set_option value": ("secure",),
}
# Calls whose wrong values are the business of another library, or that take none.
SKIPPED = {"mro"}

Call = Callable[[Any, dict[str, Any]], object]


def member(name: str) -> Call:
    return lambda pool, given: getattr(pool, name)(**given)


def in_a_loop(name: str) -> Call:
    async def call(pool: Any, given: dict[str, Any]) -> object:
        return await getattr(pool, name)(**given)

    return lambda pool, given: asyncio.run(call(pool, given))


def function(name: str) -> Call:
    return lambda _, given: getattr(slabby, name)(**given)


def of_listener(name: str) -> Call:
    def call(pool: Any, given: dict[str, Any]) -> object:
        with pool.listener() as listener:
            return getattr(listener, name)(**given)

    return call


def copied(pool: Any, given: dict[str, Any]) -> object:
    source, target = io.BytesIO(b"content"), io.BytesIO()
    return slabby.copyfileobj(**{"source": source, "target": target, "pool": pool, **given})


def with_sizes(**sizes: Any) -> dict[str, Any]:
    return {"average": 10, "maximum": 20, "rate_per_second": 5.0, "alignment": 64, **sizes}


HOLDS = {
    "rate_per_second": 10.0,
    "mean_hold": 0.1,
    "p99_hold": 0.2,
    "exhaustion_probability": 0.01,
}

# The call, and valid arguments for all of its parameters.
CALLS: dict[str, tuple[Call, dict[str, Any]]] = {
    "Allocator": (function("Allocator"), {"slab_size": 64, "capacity": 4}),
    "Allocator.acquire": (member("acquire"), {"timeout": 0}),
    "Allocator.acquire_async": (in_a_loop("acquire_async"), {"timeout": 0}),
    "Allocator.acquire_batch": (member("acquire_batch"), {"count": 2, "timeout": 0}),
    "Allocator.acquire_batch_async": (
        in_a_loop("acquire_batch_async"),
        {"count": 2, "timeout": 0},
    ),
    "Allocator.adopt": (member("adopt"), {"address": 1, "instance_id": 1, "backend": None}),
    "Allocator.allocate": (member("allocate"), {"timeout": 0}),
    "Allocator.allocate_async": (in_a_loop("allocate_async"), {"timeout": 0}),
    "Allocator.allocate_batch": (member("allocate_batch"), {"count": 2}),
    "Allocator.audit_write": (member("audit_write"), {"fd": 1}),
    "Allocator.breaker_force": (member("breaker_force"), {"mode": "normal"}),
    "Allocator.deallocate": (lambda pool, given: pool.deallocate(*given.values()), {"ref": 0}),
    "Allocator.deallocate_batch": (member("deallocate_batch"), {"refs": ()}),
    "Allocator.deallocate_fast": (
        lambda pool, given: pool.deallocate_fast(*given.values()),
        {"id": 0},
    ),
    "Allocator.explain": (member("explain"), {"ref": 1, "status": slabby.Status.OK}),
    "Allocator.from_ref": (member("from_ref"), {"value": 1}),
    "Allocator.get_option": (member("get_option"), {"name": "secure"}),
    "Allocator.listener": (member("listener"), {"timeout": 1}),
    "Allocator.log_events": (member("log_events"), {"logger": None}),
    "Allocator.of": (member("of"), {"memory": 1, "backend": None}),
    "Allocator.ref_of": (member("ref_of"), {"memory": 1}),
    "Allocator.release_data": (member("release_data"), {"memory": 1}),
    "Allocator.resize": (member("resize"), {"capacity": 4}),
    "Allocator.set_option": (member("set_option"), {"name": "secure", "value": False}),
    "Allocator.stack": (member("stack"), {"ref": 1}),
    "Listener.begin": (of_listener("begin"), {"user_data": 0}),
    "Listener.cancel": (of_listener("cancel"), {"ticket": 0}),
    "Listener.cancel_ref": (of_listener("cancel_ref"), {"ticket": 0}),
    "Listener.take": (of_listener("take"), {"limit": 1}),
    "Listener.take_grants": (of_listener("take_grants"), {"limit": 1}),
    "Listener.take_refs": (of_listener("take_refs"), {"limit": 1}),
    "Listener.wait": (of_listener("wait"), {"timeout": 0}),
    "SlabProtocol": (function("SlabProtocol"), {"pool": None, "handler": None, "ahead": 4}),
    "classify_fault": (function("classify_fault"), {"address": 1}),
    "copyfileobj": (copied, {"source": None, "target": None, "pool": None, "timeout": 0}),
    "metrics_text": (function("metrics_text"), {"pool": None}),
    "pool_label": (function("pool_label"), {"pool": None}),
    "start_event_logging": (function("start_event_logging"), {"logger": None}),
    "statistics": (function("statistics"), {"pool": None}),
    "suggest_capacity": (function("suggest_capacity"), HOLDS),
    "suggest_slab_size": (function("suggest_slab_size"), with_sizes()),
}
# Where a value of a kind is right, or would wait for ever.
RIGHT = {
    ("timeout", "None"),
    ("timeout", "huge"),
    ("logger", "None"),
    ("Allocator.adopt backend", "None"),
    ("Allocator.of backend", "None"),
    ("SlabProtocol handler", "None"),
    ("metrics_text pool", "None"),
    ("Allocator.deallocate_batch refs", "list"),
}
PARAMETERS = {
    f"{name} {parameter}": (call, valid, parameter)
    for name, (call, valid) in CALLS.items()
    for parameter in valid
}


def public_calls() -> Iterator[tuple[str, inspect.Signature]]:
    for name in slabby.__all__:
        found = getattr(slabby, name)
        if inspect.isfunction(found):
            yield name, inspect.signature(found)
    for kind in (slabby.Allocator, slabby.Listener):
        for name, found in inspect.getmembers(kind, callable):
            if not name.startswith("_") and name not in SKIPPED:
                yield f"{kind.__name__}.{name}", inspect.signature(found)


def test_every_public_call_with_parameters_is_tried():
    for name, signature in public_calls():
        # A flag takes every object, as flags of Python do.
        parameters = [each for each in signature.parameters if each not in ("self", "owning")]
        if parameters:
            assert name in CALLS, f"{name}{signature} is not among CALLS"
            assert sorted(CALLS[name][1]) == sorted(parameters), name


def is_right(case: str, parameter: str, kind: str) -> bool:
    return (parameter, kind) in RIGHT or (case, kind) in RIGHT


def read_aloud(text: str, names: tuple[str, ...], kind: str) -> None:
    assert not FORBIDDEN.search(text), text
    assert any(each in text for each in names), f"{names} are not named: {text}"
    spellings = (repr(WRONG[kind]), *SPELLINGS.get(kind, ()))
    assert any(each in text for each in spellings), f"{WRONG[kind]!r} is missing: {text}"


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("case", PARAMETERS)
def test_a_wrong_value_is_refused_by_name(pool, case, kind):
    call, valid, parameter = PARAMETERS[case]
    value = WRONG[kind]
    if is_right(case, parameter, kind):
        return
    before = pool.stats().used_slabs
    given = {**valid, parameter: value}
    if "pool" in given and given["pool"] is None and parameter != "pool":
        given["pool"] = pool
    if call is copied:
        given = {parameter: value}
    try:
        result = call(pool, given)
    except (slabby.SlabbyError, TypeError, ValueError) as error:
        read_aloud(str(error), NAMES.get(case, (parameter,)), kind)
    else:
        if isinstance(result, (slabby.SlabRef, slabby.Batch)):
            result.release()
        elif isinstance(result, slabby.Listener):
            result.close()
    assert pool.stats().used_slabs == before


OPTIONS = [name for name in slabby.Options.__annotations__]


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_wrong_option_is_refused_by_name(option, kind):
    try:
        slabby.Allocator(64, 4, **{option: WRONG[kind]}).close()
    except (slabby.SlabbyError, TypeError) as error:
        read_aloud(str(error), (option,), kind)


NUMBERS: dict[str, Callable[[slabby.Allocator, Any], object]] = {
    "slab_size": lambda _, one: slabby.Allocator(one(64), one(4)).close(),
    "an option": lambda _, one: slabby.Allocator(64, 4, shards=one(2)).close(),
    "a duration": lambda _, one: slabby.Allocator(64, 4, max_alloc_latency=one(2)).close(),
    "acquire": lambda pool, one: pool.acquire(one(1)).release(),
    "allocate_batch": lambda pool, one: pool.allocate_batch(one(2)).release(),
    "acquire_batch": lambda pool, one: pool.acquire_batch(one(2)).release(),
    "deallocate_fast": lambda pool, one: pool.deallocate_fast(one(pool.allocate_fast()[1])),
    "resize": lambda pool, one: pool.resize(one(100)),
}


@pytest.mark.parametrize("call", NUMBERS)
def test_a_whole_number_of_another_type_is_one(pool, call):
    class Number:
        def __init__(self, value: int) -> None:
            self.value = value

        def __index__(self) -> int:
            return self.value

    NUMBERS[call](pool, Number)
    assert pool.stats().used_slabs == 0


def test_a_label_of_another_type_is_a_number(pool):
    numpy = pytest.importorskip("numpy")
    with pool.allocate() as ref:
        ref.label = numpy.int64(7)
        assert ref.label == 7
        for wrong in ("x", True, 1.5, None):
            with pytest.raises(TypeError, match="label takes a whole number"):
                ref.label = wrong
        with pytest.raises(ValueError, match="label is -1; choose 0 to"):
            ref.label = -1
        with pytest.raises(TypeError, match="set it to 0"):
            del ref.label


def test_bytes_of_a_slab_that_are_none(pool):
    with pool.allocate() as ref:
        with pytest.raises(TypeError, match="0 to 255, not 'a'"):
            ref[0] = "a"
        with pytest.raises(ValueError, match="300; choose 0 to 255"):
            ref[0] = 300
        with pytest.raises(ValueError, match=f"{2**70}; choose 0 to 255"):
            ref[0] = 2**70
        with pytest.raises(TypeError, match="another buffer, not 'hello'"):
            ref[:5] = "hello"
        assert ref.tobytes() == bytes(ref.size)


UNMADE = (
    *("stats", "close", "options", "listener", "reset", "handle", "acquire", "allocate"),
    *("_repr_html_", "log_events", "verify", "trim", "view"),
)


@pytest.mark.parametrize("name", UNMADE)
def test_a_subclass_that_forgot_its_base_gets_a_runtime_error(name):
    class Forgetful(slabby.Allocator):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"holds no pool: call Allocator.__init__"):
        getattr(Forgetful(), name)()
    for attribute in ("name", "backend", "capacity", "closed"):
        with pytest.raises(RuntimeError, match="holds no pool"):
            getattr(Forgetful(), attribute)


def test_files_that_lie_about_their_size(pool):
    class Liar:
        def readinto(self, buffer: Any) -> int:
            return 10**6

        def write(self, data: Any) -> int:
            return 10**6

    for source, target in ((Liar(), io.BytesIO()), (io.BytesIO(b"content"), Liar())):
        with pytest.raises(OSError, match="says 1000000 bytes where it was asked for"):
            slabby.copyfileobj(source, target, pool)
    with pytest.raises(TypeError, match="'wb'"):
        slabby.copyfileobj(io.BytesIO(b"content"), io.StringIO(), pool)
    assert pool.stats().used_slabs == 0


def test_advice_of_the_core_is_the_only_advice(pool):
    feeds = []
    try:
        with pytest.raises(slabby.BusyError) as caught:
            while True:
                feeds.append(slabby.EventFeed())
    finally:
        for feed in feeds:
            feed.close()
    assert str(caught.value).endswith("end one first")
    with pytest.raises(ValueError, match="make another"):
        feeds[0].read()


def test_what_is_stale_by_id_is_said_of_ids(pool):
    slab, number = pool.allocate_fast()
    assert repr(slab) == f"<FastSlab {number}, 4096 bytes>"
    pool.deallocate_fast(number)
    assert repr(slab) == f"<FastSlab {number}, 4096 bytes, released>"
    with pytest.raises(slabby.DoubleDeallocationError, match=r"; deallocate each id once$"):
        pool.deallocate_fast(number)
    with pytest.raises(slabby.UseAfterFreeError, match=f"id is {number}: "):
        memoryview(slab)


def test_a_block_of_statistics_that_was_not_entered(pool):
    with pytest.raises(RuntimeError, match="enter it by `with`"):
        slabby.statistics(pool).__exit__(None, None, None)
