# SPDX-License-Identifier: GPL-3.0-or-later
"""The model's options: what their texts mean, and what create refuses."""

from __future__ import annotations

from typing import Any

from model_pool import Undetermined, limits
from enums import CONTRACT, OPTIONS, words

UNITS = {"ns": 1, "us": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
# Options whose value in effect is the one asked for, or the default.
PLAIN_OPTIONS = frozenset(
    {
        "secure",
        "bit_guard",
        "guard_pages",
        "corruption_policy",
        "debug",
        "heap_fallback",
        "heap_fallback_limit",
        "circuit_breaker_threshold",
        "circuit_breaker_probes",
        "latency_tracking",
        "max_alloc_latency",
        "degrade_at",
        "survive_at",
        "health_checks",
    }
)
PRESETS: dict[str, dict[str, int]] = {
    preset["name"]: preset["options"] for preset in CONTRACT["preset"]
}
# Below this an allocation may be slower than its budget, which a trace would show.
LONG_LATENCY_NS = 60 * 10**9
# What create accepts here; their effect is none on what a trace shows, or modelled.
MODELLED_OPTIONS = PLAIN_OPTIONS | {
    "name",
    "shards",
    "per_cpu_cache",
    "cpu_cache_backend",
    "guard_sample_rate",
    "reuse_delay",
    "shuffle",
    "audit",
    "circuit_breaker_timeout",
    "huge_pages",
    "no_dump",
    "prefault",
    "max_capacity",
    "health_interval",
}


def defaults() -> dict[str, int]:
    return {
        name: info["default"] if isinstance(info["default"], int) else -1
        for name, info in OPTIONS.items()
    }


def named(option: str) -> str:
    """An option by name, for #N the name of that number, or the text itself."""
    if option[0] != "#":
        return option
    number = int(option[1:])
    return next((name for name, info in OPTIONS.items() if info["id"] == number), option)


def parsed(name: str, text: str) -> int | None:
    """The number of an option's text; None: refused."""
    info = OPTIONS.get(name)
    if info is None:
        return None
    value: int | None
    if info["kind"] == "enum":
        value = {word: number for number, word in words(info["enum"]).items()}.get(text)
    elif text in ("on", "off"):
        value = int(text == "on") if info["kind"] == "flag" else None
        if info["kind"] != "flag":
            raise Undetermined("a word where a number stands")
    else:
        if info["kind"] == "percent":
            text = text.removesuffix("%")
        unit = text.lstrip("0123456789")
        if not text[: len(text) - len(unit)].isdecimal() or unit not in {"", *UNITS}:
            return None
        if (unit != "") != (info["kind"] == "duration"):
            raise Undetermined("a number without its unit")
        value = int(text[: len(text) - len(unit)]) * UNITS.get(unit, 1)
    low, high = limits(info)
    return value if value is not None and low <= value <= high else None


def refusal(size: int, capacity: int, values: dict[str, Any]) -> str | None:
    """Why create refuses; None: it does not."""
    if not 1 <= size <= 2**30:
        return "InvalidSlabSize"
    if capacity == 0:
        return "InvalidCapacity"
    if capacity > 2**31 - 1:
        return "CapacityExceeded"
    changed = {
        name
        for name, info in OPTIONS.items()
        if values[name] != info["default"] and values[name] >= 0
    }
    if changed - MODELLED_OPTIONS:
        raise Undetermined(f"options {changed - MODELLED_OPTIONS}")
    if values["guard_pages"] and values["huge_pages"]:
        return "OptionConflict"
    if 0 < values["survive_at"] <= values["degrade_at"]:
        return "OptionConflict"
    if 0 <= values["max_capacity"] < capacity:
        return "InvalidOption"
    if 0 < values["max_alloc_latency"] < LONG_LATENCY_NS:
        raise Undetermined("a budget that may be spent")
    return None
