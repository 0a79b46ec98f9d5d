# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the contract that the HTTP endpoints of Go and Python share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from entry import Entry

# How a reason compares its field with a value.
TESTS = ("is", "is_not", "above")
LIMITS = ("target", "value", "streams", "stacks", "groups")


@dataclass(frozen=True)
class Path:
    path: str
    query: tuple[str, ...]
    type: str
    meaning: str


@dataclass(frozen=True)
class Reason:
    """Why a pool is not well: `field` passes a test ("is", "is_not" or "above") against a value given as its JSON
    text, and the reason `unless`, which is listed before, does not apply."""

    name: str
    field: str
    test: str
    value: str
    unless: str
    status: str
    meaning: str
    advice: str


@dataclass(frozen=True)
class Measure:
    """One line of /health."""

    name: str
    field: str
    unit: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Endpoints:
    paths: tuple[Path, ...]
    # HTTP status -> title
    titles: dict[int, str]
    # status of the core -> HTTP status
    refusals: dict[str, int]
    limits: dict[str, int]
    reasons: tuple[Reason, ...]
    checks: tuple[Measure, ...]


def _path(entry: Entry) -> Path:
    path = Path(entry.text("path"), entry.texts("query"), entry.text("type"), entry.text("meaning"))
    entry.close()
    return path


def _titles(entry: Entry) -> dict[int, str]:
    titles = {int(code): entry.text(code) for code in entry.names()}
    entry.close()
    return titles


def _refusals(entry: Entry, statuses: set[str], titles: Mapping[int, str]) -> dict[str, int]:
    refusals = {}
    for name in entry.names():
        if name not in statuses:
            raise entry.error(f"status {name!r} does not exist")
        refusals[name] = entry.integer(name)
        if refusals[name] not in titles:
            raise entry.error(f"{refusals[name]} has no title; add it to endpoints.titles")
    entry.close()
    return refusals


def _limits(entry: Entry) -> dict[str, int]:
    limits = {name: entry.integer(name) for name in LIMITS}
    entry.close()
    return limits


def _field(entry: Entry, units: Mapping[str, str | None]) -> str:
    field = entry.text("field")
    if field not in units:
        raise entry.error(f"field {field!r} does not exist; write snapshot.field")
    return field


def _reason(entry: Entry, units: Mapping[str, str | None]) -> Reason:
    test = next((name for name in TESTS if entry.has(name)), TESTS[0])
    reason = Reason(
        entry.text("name"),
        _field(entry, units),
        test,
        entry.text(test),
        entry.text("unless") if entry.has("unless") else "",
        entry.text("status"),
        entry.text("meaning"),
        entry.text("advice"),
    )
    try:
        value = json.loads(reason.value)
    except ValueError:
        raise entry.error(f"the value {reason.value!r} is no JSON text") from None
    if test == "above" and not isinstance(value, int | float):
        raise entry.error(f"above needs a number, and {reason.value!r} is none")
    if reason.status not in ("fail", "warn"):
        raise entry.error(f"status {reason.status!r} is neither fail nor warn")
    entry.close()
    return reason


def _check(entry: Entry, units: Mapping[str, str | None], reasons: set[str]) -> Measure:
    name, field = entry.text("name"), _field(entry, units)
    check = Measure(name, field, units[field], entry.texts("reasons"))
    if unknown := set(check.reasons) - reasons:
        raise entry.error(f"reason {min(unknown)!r} does not exist")
    entry.close()
    return check


def read_endpoints(entry: Entry, statuses: set[str], units: Mapping[str, str | None]) -> Endpoints:
    """`units`: the unit of each field, by snapshot.field."""
    titles = _titles(entry.table("titles", "endpoints.titles"))
    reasons = tuple(_reason(row, units) for row in entry.tables("reason", "endpoints.reason"))
    names: set[str] = set()
    for reason in reasons:
        if reason.unless and reason.unless not in names:
            raise entry.error(
                f"{reason.name}: unless names no reason listed before: {reason.unless!r}"
            )
        names.add(reason.name)
    endpoints = Endpoints(
        paths=tuple(_path(row) for row in entry.tables("path", "endpoints.path")),
        titles=titles,
        refusals=_refusals(entry.table("refusals", "endpoints.refusals"), statuses, titles),
        limits=_limits(entry.table("limits", "endpoints.limits")),
        reasons=reasons,
        checks=tuple(_check(row, units, names) for row in entry.tables("check", "endpoints.check")),
    )
    entry.close()
    return endpoints
