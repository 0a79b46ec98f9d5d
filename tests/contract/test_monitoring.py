# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboard, alert rules and their cases name series and labels of the contract's list, and leave none out."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from typing import Any

import pytest
from conftest import ROOT

MONITORING = ROOT / "examples" / "monitoring"
# Of every series that a server stores.
OWN_LABELS = {"job", "instance", "pool", "le"}


@cache
def metrics() -> dict[str, dict[str, Any]]:
    with (ROOT / "bindings" / "contract.toml").open("rb") as file:
        return {metric["name"]: metric for metric in tomllib.load(file)["metric"]}


def metric_of(series: str) -> dict[str, Any] | None:
    listed = metrics()
    if series in listed and listed[series]["type"] != "histogram":
        return listed[series]
    base, _, part = series.rpartition("_")
    if part in ("bucket", "count", "sum") and listed.get(base, {}).get("type") == "histogram":
        return listed[base]
    return None


def problems(text: str) -> list[str]:
    """Series that do not exist, and labels that a series does not have."""
    found = []
    for series, selector in re.findall(r"\b(slabby_\w+)(?:\{([^}]*)\})?", text):
        if (
            series in ("slabby_breaker_state", "slabby_degradation_state")
            and f"{series}=" in text
            and not selector
        ):
            continue  # the label of that name
        metric = metric_of(series)
        if metric is None:
            found.append(series)
            continue
        texts = metric.get("values", {})
        for label, value in re.findall(r'(\w+)!?=~?"([^"]*)"', selector):
            known = OWN_LABELS | {metric.get("label", ""), metric["name"]}
            if label not in known:
                found.append(f"{series}{{{label}}}")
            if label == metric.get("label") and not set(value.split("|")) <= set(texts):
                found.append(f'{series}{{{label}="{value}"}}')
    return found


def expressions(dashboard: dict[str, Any]) -> list[str]:
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return asked + [
        each["query"]["query"]
        for each in dashboard["templating"]["list"]
        if isinstance(each["query"], dict)
    ]


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return found


def test_the_dashboard_asks_for_what_there_is(dashboard: dict[str, Any]) -> None:
    assert [fault for text in expressions(dashboard) for fault in problems(text)] == []


def test_the_dashboard_shows_every_metric(dashboard: dict[str, Any]) -> None:
    asked = set(re.findall(r"\bslabby_\w+", " ".join(expressions(dashboard))))
    shown = {metric["name"] for series in asked if (metric := metric_of(series))}
    assert set(metrics()) - shown == set()


def test_panels_are_whole(dashboard: dict[str, Any]) -> None:
    """Each has a title, a description and a place of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        assert panel["title"] and panel["description"] and panel["targets"]
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_alerts_ask_for_what_there_is() -> None:
    rules = (MONITORING / "alerts.yml").read_text()
    asked = "\n".join(re.findall(r"expr: (?:>-\n +)?(.*)", rules))
    assert len(asked.splitlines()) == rules.count("- alert:") > 10
    assert problems(asked) == []


def test_every_alert_has_a_case_and_advice() -> None:
    alerts = re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    cases = re.findall(r"alertname: (\w+)", (MONITORING / "alerts_test.yml").read_text())
    assert sorted(alerts) == sorted(cases)
    advice = (ROOT / "docs" / "monitoring.md").read_text()
    assert [name for name in alerts if f"`{name}`" not in advice] == []


def test_wrong_names_are_found() -> None:
    assert problems("rate(slabby_allocation_total[5m])") == ["slabby_allocation_total"]
    assert problems('slabby_slabs{states="live"}') == ["slabby_slabs{states}"]
    assert problems('slabby_slabs{state="alive"}') == ['slabby_slabs{state="alive"}']
    assert problems("slabby_alloc_duration_seconds") == ["slabby_alloc_duration_seconds"]
