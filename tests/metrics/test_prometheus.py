# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus scrapes the same pool from C, Go and Python, and its queries give the same, right numbers."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import LANGUAGES, ROOT, Exporter, Server, prometheus


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, exporters: dict[str, Exporter]
) -> Iterator[Server]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), exporters) as running:
        yield running


def by_job(server: Server, expression: str) -> dict[str, float]:
    return {
        row["metric"].get("job", ""): float(row["value"][1]) for row in server.query(expression)
    }


def expect(server: Server, expression: str, expected: dict[str, float]) -> None:
    """A program that did not answer in time has no value until the next scrape: a busy machine may be the reason."""
    server.wait_for(
        f"{expression} is {expected}", lambda: by_job(server, expression) == expected, expression
    )


# What each program did: 100 slabs out, one refused, 60 back, one of these twice.
EXPECTED = {
    'slabby_slabs{pool="orders",state="live"}': 40,
    'slabby_slabs{pool="orders",state="free"}': 60,
    "sum by (job) (slabby_slabs)": 100,
    'slabby_capacity_slabs{pool="orders"}': 100,
    "slabby_slab_size_bytes": 4096,
    "slabby_peak_slabs": 100,
    "sum by (job) (slabby_allocations_total)": 100,
    "slabby_deallocations_total": 60,
    'slabby_allocation_failures_total{reason="out_of_memory"}': 1,
    'slabby_rejected_calls_total{reason="double_deallocation"}': 1,
    'slabby_breaker_state{slabby_breaker_state="closed"}': 1,
    'slabby_breaker_state{slabby_breaker_state="open"}': 0,
    "slabby_alloc_duration_seconds_count": 100,
    'slabby_alloc_duration_seconds_bucket{le="+Inf"}': 100,
    'slabby_slabs{state="live"} / ignoring(state) slabby_capacity_slabs': 0.4,
    "slabby_waiters": 0,
}


@pytest.mark.parametrize("expression", EXPECTED)
def test_a_query_gives_the_right_value(server: Server, expression: str) -> None:
    expect(server, expression, dict.fromkeys(LANGUAGES, EXPECTED[expression]))


def test_the_health_score_is_the_same(server: Server) -> None:
    everyone = lambda: set(by_job(server, "slabby_health_score")) == set(LANGUAGES)  # noqa: E731
    server.wait_for("a score from each program", everyone)
    found = by_job(server, "slabby_health_score")
    assert len({round(score, 9) for score in found.values()}) == 1
    assert 0.9 < found["c"] < 1


def test_every_program_has_the_same_series(server: Server) -> None:
    """But for the spelling of bucket limits: Prometheus stores those as they come."""
    with (ROOT / "bindings" / "contract.toml").open("rb") as file:
        listed = {metric["name"]: metric["type"] for metric in tomllib.load(file)["metric"]}
    series: dict[str, set[frozenset[tuple[str, object]]]] = {}
    for row in server.get("/api/v1/series", **{"match[]": '{__name__=~"slabby_.+"}'}):
        labels = {key: text for key, text in row.items() if key not in ("job", "instance")}
        if "le" in labels:
            labels["le"] = float(labels["le"])
        series.setdefault(row["job"], set()).add(frozenset(labels.items()))
    # prometheus_client adds when a counter was made, which OpenMetrics allows.
    assert series["c"] == series["go"] == series["python"]
    names = {dict(each)["__name__"] for each in series["c"]}
    histogram = next(name for name, kind in listed.items() if kind == "histogram")
    parts = {f"{histogram}_{part}" for part in ("bucket", "count", "sum")}
    assert names == (set(listed) - {histogram}) | parts


def test_the_server_knows_types_and_meanings(server: Server) -> None:
    found = server.get("/api/v1/metadata")
    types = {family: {each["type"] for each in rows} for family, rows in found.items()}
    assert "counter" in types["slabby_deallocations"] | types.get(
        "slabby_deallocations_total", set()
    )
    assert types["slabby_slabs"] == {"gauge"}
    assert types["slabby_alloc_duration_seconds"] == {"histogram"}
    assert "stateset" in types["slabby_breaker_state"]


def firing(server: Server) -> set[tuple[str, str]]:
    rows = server.query('ALERTS{alertstate="firing"}')
    return {(row["metric"]["alertname"], row["metric"]["job"]) for row in rows}


def test_the_right_alert_fires(server: Server, exporters: dict[str, Exporter]) -> None:
    """docs/monitoring.md: a line of input makes the Python program release a slab twice."""
    server.wait_for(
        "every rule evaluated without a fault",
        lambda: all(
            rule["health"] == "ok" and not rule.get("lastError")
            for rule in server.get("/api/v1/rules")["groups"][0]["rules"]
        ),
    )
    assert firing(server) == set()
    stdin = exporters["python"].process.stdin
    assert stdin is not None
    stdin.write("\n")
    stdin.flush()
    server.wait_for("SlabbyMisuse fires", lambda: firing(server) == {("SlabbyMisuse", "python")})


@pytest.mark.skipif("SLABBY_FULL" not in os.environ, reason="./dev test --full runs it")
def test_native_histograms_from_go(tmp_path: Path, exporters: dict[str, Exporter]) -> None:
    only_go = {"go": exporters["go"]}
    with prometheus(tmp_path, only_go, "--enable-feature=native-histograms") as server:
        expect(server, "histogram_count(slabby_alloc_duration_seconds)", {"go": 100})
        median = "histogram_quantile(0.5, slabby_alloc_duration_seconds)"
        expect(server, f"{median} > bool 1e-9", {"go": 1})
        expect(server, f"{median} < bool 1e-3", {"go": 1})
