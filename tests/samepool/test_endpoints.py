# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of Go and Python give the same answers about the same pools."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
import slabby
from servers import (
    TOKEN,
    Reply,
    Request,
    Server,
    all_servers,
    mounted_servers,
    servers_of_all,
)

AUTHORIZED = (("Authorization", f"Bearer {TOKEN}"), ("Content-Type", "text/plain"))
HELD: list[slabby.SlabRef] = []


def plain() -> slabby.Allocator:
    return slabby.Allocator(64, 100, name="plain", max_alloc_latency="250us")


def exhausted() -> slabby.Allocator:
    pool = slabby.Allocator(64, 3, name="exhausted")
    HELD.extend(pool.allocate_batch(3))
    return pool


def broken() -> slabby.Allocator:
    pool = slabby.Allocator(64, 1, name="broken", circuit_breaker_threshold=1)
    HELD.append(pool.allocate())
    with pytest.raises(slabby.OutOfMemoryError):
        pool.allocate()
    assert pool.stats().breaker_state is slabby.BreakerState.OPEN
    return pool


def corrupted() -> slabby.Allocator:
    pool = slabby.Allocator(64, 10, name="corrupted", bit_guard=True)
    ref = pool.allocate()
    from ctypes import memset

    memset(ref.address + 64, 0, 8)
    with pytest.raises(slabby.MemoryCorruptionError):
        ref.release()
    return pool


def closed() -> slabby.Allocator:
    pool = slabby.Allocator(64, 10, name="closed")
    HELD.append(pool.allocate())
    pool.close()
    return pool


@pytest.fixture(scope="module")
def pools() -> Iterator[list[slabby.Allocator]]:
    yield [plain(), exhausted(), broken(), corrupted(), closed()]
    while HELD:
        HELD.pop().release()


@pytest.fixture(scope="module")
def servers(pools: list[slabby.Allocator]) -> dict[str, Server]:
    return all_servers(pools)


def agreed(servers: dict[str, Server], request: Request) -> Reply:
    """The answer, which is the same from every server."""
    replies = {name: ask(request) for name, ask in servers.items()}
    for name, found in replies.items():
        assert found == replies["go"], f"{name} and go differ about {request}"
    return replies["go"]


def get(target: str, *headers: tuple[str, str]) -> Request:
    return Request("GET", target, headers)


def put(
    target: str, body: bytes = b"on", headers: tuple[tuple[str, str], ...] = AUTHORIZED
) -> Request:
    return Request("PUT", target, headers, body)


SECURE = "/pools/plain/options/secure"
BUDGET = "/pools/plain/options/max_alloc_latency"

# What is asked, and the status of the answer.
REQUESTS = [
    (get("/livez"), 200),
    (get("/readyz"), 503),
    (get("/readyz?exhaustion=1"), 503),
    (get("/readyz?exhaustion=0"), 503),
    (get("/readyz?exhaustion=yes"), 400),
    (get("/readyz?exhuastion=1"), 400),
    (get("/readyz?exhaustion=1&exhaustion=0"), 400),
    (get("/health"), 503),
    (get("/health?pool=plain"), 200),
    (get("/health?pool=exhausted"), 200),
    (get("/health?pool=broken"), 503),
    (get("/health?pool=corrupted"), 503),
    (get("/health?pool=closed"), 503),
    (get("/health?pool=p%6Cain"), 200),
    (get("/health?pool=plain%2"), 400),
    (get("/health?pool=other"), 404),
    (get("/health?pool=%22%00%C3%A4"), 404),
    (get("/stats"), 200),
    (get("/stats?pool=broken"), 200),
    (get("/stats?pool="), 404),
    (get("/stats?stacks=1"), 200),
    (get("/metrics"), 200),
    (get("/metrics?pool=plain"), 200),
    (get("/metrics?pool=other"), 404),
    (get("/metrics?follow=0"), 400),
    (get("/events?follow=0"), 200),
    (get("/events?follow=0&pool=broken"), 200),
    (get("/events?follow=0&pool=other"), 404),
    (get("/events?follow=2"), 400),
    (get("/events?follow=0", ("Last-Event-ID", "other-run;plain=99")), 200),
    (get("/events?follow=0", ("Last-Event-ID", "0;plain")), 400),
    (get("/events?follow=0", ("Last-Event-ID", "0;plain=-1")), 400),
    (get("/events?follow=0", ("Last-Event-ID", "0;plain=9223372036854775808")), 400),
    (get("/events?follow=0", ("Last-Event-ID", "x" * 3000)), 400),
    (get("/"), 200),
    (Request("HEAD", "/stats"), 200),
    (Request("HEAD", "/readyz"), 503),
    (Request("HEAD", "/"), 200),
    (Request("POST", "/stats", (), b"x"), 405),
    (Request("DELETE", "/pools/plain/options/secure"), 405),
    (Request("OPTIONS", "/livez"), 405),
    (get("/nope"), 404),
    (get("/livez/"), 404),
    (get("/LIVEZ"), 404),
    (get("/pools"), 404),
    (get("/pools/plain/options"), 404),
    (get("/pools/plain/options/secure/x"), 404),
    (get("/pools/other/options/secure"), 404),
    (get("/pools/plain/options/nonsense"), 404),
    (get("/" + "x" * 2100), 414),
    (get("/livez?" + "&" * 2100), 414),
    (get(SECURE), 200),
    (get(SECURE + "?x=1"), 400),
    (get("/pools/plain/options/name"), 200),
    (put(SECURE, headers=()), 401),
    (put(SECURE, headers=(("Authorization", "Bearer wrong"), ("Content-Type", "text/plain"))), 401),
    (put(SECURE, headers=(("Authorization", f"Basic {TOKEN}"),)), 401),
    (put(SECURE, headers=AUTHORIZED[:1]), 415),
    (put(SECURE, headers=(AUTHORIZED[0], ("Content-Type", "application/json"))), 415),
    (put(SECURE, b"x" * 257), 413),
    (put(SECURE, b"\xff"), 400),
    (put(SECURE, b"o\0n"), 400),
    (put(SECURE, b"sometimes"), 422),
    (put(SECURE, b""), 422),
    (put(SECURE + "?x=1"), 400),
    (put("/pools/other/options/secure"), 404),
    (put("/pools/plain/options/nonsense"), 404),
    (put("/pools/plain/options/name", b"other"), 409),
    (put("/pools/plain/options/alignment", b"4KiB"), 409),
    (put("/pools/plain/options/degrade_at", b"101"), 422),
    (put("/pools/closed/options/secure"), 200),
    (put("/livez"), 405),
    (put(SECURE, b"on\n"), 200),
    (get(SECURE), 200),
    (put(BUDGET, b"1ms"), 200),
    (put(BUDGET, b"off"), 200),
    (put(BUDGET, b"-1"), 422),
]


@pytest.mark.parametrize(
    ("request_", "status"), REQUESTS, ids=lambda each: str(each)[:70] if each else None
)
def test_same_answer(servers: dict[str, Server], request_: Request, status: int) -> None:
    found = agreed(servers, request_)
    assert found.status == status
    if status >= 400 and request_.method != "HEAD" and "ready" not in found.body:
        is_health = "health+json" in found.headers["content-type"]
        assert is_health or found.headers["content-type"] == "application/problem+json"
        assert found.body["status"] == ("fail" if is_health else status)


def test_reasons(servers: dict[str, Server]) -> None:
    found = agreed(servers, get("/readyz?exhaustion=1")).body
    assert [(each["pool"], each["reason"]) for each in found["reasons"]] == [
        ("exhausted", "exhausted"),
        ("broken", "breaker_open"),
        ("broken", "exhausted"),
        ("corrupted", "corruption"),
        ("closed", "closed"),
    ]
    assert not found["ready"]
    found = agreed(servers, get("/readyz")).body
    assert "exhausted" not in {each["reason"] for each in found["reasons"]}


def test_a_pool_above_nine_tenths_is_nearly_full_until_it_is_exhausted(
    servers: dict[str, Server], pools: list[slabby.Allocator]
) -> None:
    held: list[slabby.SlabRef] = []
    for live, expected in ((90, []), (91, ["nearly_full"]), (100, ["exhausted"])):
        held += pools[0].allocate_batch(live - len(held))
        (shown,) = agreed(servers, get("/stats?pool=plain")).body["pools"]
        assert [each["reason"] for each in shown["reasons"]] == expected
        assert shown["status"] == ("warn" if expected else "pass")
        checks = agreed(servers, get("/health?pool=plain")).body["checks"]
        (check,) = checks["plain:memory_utilization"]
        assert (check["observedValue"], check["status"]) == (live / 100, shown["status"])
    for ref in held:
        ref.release()


def test_numbers_are_those_of_the_pools(
    servers: dict[str, Server], pools: list[slabby.Allocator]
) -> None:
    shown = {each["pool"]: each for each in agreed(servers, get("/stats")).body["pools"]}
    for pool in pools:
        stats = pool.stats()
        found = shown[pool.name]["stats"]
        assert found["used_slabs"] == stats.used_slabs
        assert found["total_allocations"] == stats.total_allocations
        assert shown[pool.name]["options"]["secure"] == (
            "on" if pool.get_option("secure") else "off"
        )
    assert shown["plain"]["status"] == "pass"
    assert shown["exhausted"]["status"] == "warn"
    assert shown["broken"]["status"] == "fail"


def test_changes_act(servers: dict[str, Server], pools: list[slabby.Allocator]) -> None:
    for name, ask in servers.items():
        for value, text in ((True, b"on"), (False, b"off")):
            assert ask(put(SECURE, text)).status == 200, name
            assert pools[0].get_option("secure") is value, name
        assert ask(put(SECURE, b"on", ())).status == 401
        assert pools[0].get_option("secure") is False, name


def test_events_go_on_where_a_client_stopped(
    servers: dict[str, Server], pools: list[slabby.Allocator]
) -> None:
    whole = agreed(servers, get("/events?follow=0&pool=plain")).body.decode()
    blocks = [block for block in whole.split("\n\n") if block.startswith("id: ")]
    assert len(blocks) > 1
    last_id = blocks[-2].splitlines()[0].removeprefix("id: ")
    rest = agreed(
        servers, get("/events?follow=0&pool=plain", ("Last-Event-ID", last_id))
    ).body.decode()
    assert [block for block in rest.split("\n\n") if block.startswith("id: ")] == blocks[-1:]
    # A place beyond the newest is one of a pool that was made anew.
    run = last_id.partition(";")[0]
    beyond = get("/events?follow=0&pool=plain", ("Last-Event-ID", f"{run};plain=100000"))
    assert agreed(servers, beyond).body.decode() == whole


def test_mounted_and_read_only(pools: list[slabby.Allocator]) -> None:
    servers = mounted_servers(pools)
    assert agreed(servers, get("")).headers["location"] == "mount/"
    # the query stays a query: it never becomes another site
    assert (
        agreed(servers, get("?x=/https:example.org")).headers["location"]
        == "mount/?x=/https:example.org"
    )
    assert agreed(servers, get("/livez", ("Host", "any.example"))).status == 200
    assert agreed(servers, put(SECURE)).status == 403
    found = agreed(servers, get("/readyz")).body
    assert "exhausted" in {each["reason"] for each in found["reasons"]}


def test_loopback_answers_to_its_own_names(servers: dict[str, Server]) -> None:
    bound = {name: servers[name] for name in ("go", "python")}
    for host in ("localhost", "LOCALHOST:7227", "127.0.0.1", "[::1]:80", "::1"):
        assert agreed(bound, get("/livez", ("Host", host))).status == 200, host
    for host in (
        "evil.example",
        "127.0.0.1.evil.example:80",
        "localhost.",
        "[::2]",
        "a:b:c",
    ):
        assert agreed(bound, get("/stats", ("Host", host))).status == 421, host


def test_every_open_pool_is_shown(pools: list[slabby.Allocator]) -> None:
    servers = servers_of_all()
    fresh = slabby.Allocator(64, 7, name="not handed to Go")
    label = slabby.pool_label(fresh)
    found = agreed(servers, get("/stats")).body["pools"]
    shown = {each["pool"]: each["stats"]["total_slabs"] for each in found}
    assert shown[label] == 7
    assert shown["plain"] == 100
    assert "closed" not in shown
    assert agreed(servers, get(f"/health?pool={label.replace('~', '%7E')}")).status == 200
    # The server that showed it does not keep it.
    del fresh
    assert agreed(servers, get(f"/stats?pool={label}")).status == 404
    assert label not in agreed(servers, get("/metrics")).body.decode()


def test_metrics_of_several_pools_are_one_text(
    servers: dict[str, Server], pools: list[slabby.Allocator]
) -> None:
    text = agreed(servers, get("/metrics")).body.decode()
    lines = text.splitlines()
    assert lines.count("# EOF") == 1 and text.endswith("# EOF\n")
    assert lines.count("# TYPE slabby_slabs gauge") == 1
    assert 'slabby_slabs{pool="exhausted",state="live"} 3' in lines
    assert 'slabby_slabs{pool="plain",state="live"} 0' in lines
    one = agreed(servers, get("/metrics?pool=plain")).body.decode()
    assert one == slabby.metrics_text(pools[0])


# A % without digits, which net/http refuses by itself, is a case of the tests of each server.
METHODS = ("GET", "GET", "HEAD", "PUT", "POST", "PATCH")
PARTS = ("/", "livez", "stats", "pools", "plain", "options", "secure", "..", "%2e", "%00", "x")
QUERIES = (
    "",
    "?",
    "?pool=plain",
    "?stacks=1",
    "?stacks=%31",
    "?follow=0",
    "?exhaustion=",
    "?&&",
    "?=",
    "?pool=%ff",
)
FIELDS = (
    ("Authorization", f"Bearer {TOKEN}"),
    ("Authorization", "Bearer"),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Type", "a/b/c"),
    ("Last-Event-ID", ";;="),
    ("Accept", "*/*"),
)
BODIES = (None, b"", b"on", b"off\r\n", b"\xc3\xa4", b"9" * 300, b"\x00" * 10)


def random_request(source: random.Random) -> Request:
    path = "/" + "/".join(source.choices(PARTS, k=source.randint(0, 6))).replace("//", "/")
    if source.random() < 0.4:
        path = source.choice((SECURE, BUDGET, "/stats", "/health", "/readyz"))
    target = path + source.choice(QUERIES)
    # A stream that follows has no end.
    target = target.replace("/events", "/event")
    headers = dict(source.sample(FIELDS, k=source.randint(0, 3)))
    return Request(source.choice(METHODS), target, tuple(headers.items()), source.choice(BODIES))


def test_random_requests(servers: dict[str, Server], pools: list[slabby.Allocator]) -> None:
    seed = int(os.environ.get("SLABBY_TEST_SEED", random.randrange(2**32)))
    source = random.Random(seed)
    over_apps = {name: servers[name] for name in ("python", "wsgi", "asgi")}
    for _ in range(300):
        request = random_request(source)
        replies = {name: ask(request) for name, ask in over_apps.items()}
        go = servers["go"](request)
        for name, found in replies.items():
            # What net/http itself refuses has a text of its own.
            same = found == go or (go.status == 400 and found.status in (400, 404))
            assert same, f"seed {seed}: {name} and go differ about {request}: {found} {go}"
        assert go.status < 500 or "/readyz" in request.target or "/health" in request.target
    for pool in pools:
        assert not pool.verify()
    pools[0].allocate().release()
