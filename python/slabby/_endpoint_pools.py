# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers of the endpoints about pools: readiness, health, statistics, stacks."""

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from slabby._allocator import Allocator, allocator_of
from slabby._base_error import SlabbyError
from slabby._endpoint_problem import no_pool
from slabby._endpoint_tables import CHECKS, GROUPS_LIMIT, REASONS, STACKS_LIMIT, CheckInfo
from slabby._endpoint_tables import ReasonInfo
from slabby._enums import SlabState
from slabby._library import core_version, instance_id
from slabby._metrics import metrics_text, pool_label
from slabby._metrics import pools as open_pools
from slabby._option_values import check_pool
from slabby._options import OPTIONS

DRAFT_NOTE = (
    "The format is that of the Internet-Draft draft-inadarei-api-health-check-06, "
    "which is no standard."
)


@dataclass(frozen=True)
class NamedPool:
    id: str
    pool: Allocator


@dataclass(frozen=True)
class Observed:
    """One pool at one moment."""

    id: str
    pool: Allocator
    snapshots: dict[str, dict[str, Any]]
    reasons: tuple[ReasonInfo, ...]

    @property
    def status(self) -> str:
        """pass, warn or fail."""
        if any(reason.fails for reason in self.reasons):
            return "fail"
        return "warn" if self.reasons else "pass"

    def found(self, reason: ReasonInfo) -> dict[str, str]:
        texts = {"meaning": reason.meaning, "advice": reason.advice}
        return {"pool": self.id, "reason": reason.name, **texts}


def instance() -> str:
    """Differs between two runs of a program."""
    return f"{instance_id():016x}"


def shown(pools: Iterable[Allocator] | None) -> Callable[[], list[NamedPool]]:
    """The pools that are shown: these, or every open pool of the process."""
    if pools is None:
        return _all_open
    if not isinstance(pools, Iterable):
        raise TypeError(f"pools takes several Allocators, not {pools!r}; write [pool] for one")
    listed = tuple(pools)
    for pool in listed:
        check_pool(pool)
    return lambda: [found for pool in listed if (found := _named(pool)) is not None]


def _all_open() -> list[NamedPool]:
    found = []
    for info in open_pools():
        try:
            pool = allocator_of(info.allocator_address, instance_id())
        except SlabbyError:
            continue  # it ended since it was listed
        found.append(NamedPool(info.label, pool))
    return found


def _named(pool: Allocator) -> NamedPool | None:
    try:
        return NamedPool(pool_label(pool), pool)
    except SlabbyError:
        return None


def observe(pools: Iterable[NamedPool], wanted: str | None) -> list[Observed]:
    """Reads the pools, or the one that is requested. A pool that ended meanwhile is left out."""
    found = []
    for each in pools:
        if wanted is not None and each.id != wanted:
            continue
        try:
            found.append(_observe(each))
        except SlabbyError:
            continue
    if wanted is not None and not found:
        raise no_pool(wanted)
    return found


def _observe(each: NamedPool) -> Observed:
    pool = each.pool
    texts = {"stats": pool.stats_json, "health": pool.health_json, "memory": pool.memory_json}
    snapshots = {name: json.loads(read()) for name, read in texts.items()}
    reasons: list[ReasonInfo] = []
    for reason in REASONS:
        covered = any(found.name == reason.unless for found in reasons)
        if not covered and _applies(reason, snapshots):
            reasons.append(reason)
    return Observed(each.id, pool, snapshots, tuple(reasons))


def _applies(reason: ReasonInfo, snapshots: dict[str, dict[str, Any]]) -> bool:
    value = snapshots[reason.snapshot][reason.field]
    if reason.test == "above":
        return float(value) > float(reason.value)
    return (json.dumps(value) == reason.value) == (reason.test == "is")


def ready(pools: Iterable[Observed], exhaustion: bool) -> tuple[int, dict[str, object]]:
    """Status and body of /readyz."""
    reasons = [
        pool.found(reason)
        for pool in pools
        for reason in pool.reasons
        if reason.fails or (exhaustion and reason.name == "exhausted")
    ]
    return 503 if reasons else 200, {"ready": not reasons, "reasons": reasons}


def health(pools: Iterable[Observed]) -> tuple[int, dict[str, object]]:
    """Status and body of /health."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    status, outputs, checks = "pass", [], {}
    for pool in pools:
        if pool.status == "fail" or status == "pass":
            status = pool.status
        outputs += [f"{pool.id}: {reason.meaning}" for reason in pool.reasons]
        for check in CHECKS:
            checks[f"{pool.id}:{check.name}"] = [_check(pool, check, now)]
    body: dict[str, object] = {
        "status": status,
        "version": "1",
        "releaseId": core_version(),
        "description": "slabby pools of this process",
        "notes": [DRAFT_NOTE],
    }
    if outputs:
        body["output"] = "; ".join(outputs)
    return 503 if status == "fail" else 200, {**body, "checks": checks}


def _check(pool: Observed, info: CheckInfo, now: str) -> dict[str, object]:
    """One line about one pool, with the gravest of the reasons that concern it."""
    line = {"componentId": pool.id, "componentType": "component"}
    line["observedValue"] = pool.snapshots[info.snapshot][info.field]
    if info.unit:
        line["observedUnit"] = info.unit
    reason = next((r for r in pool.reasons if r.name in info.reasons), None)
    if reason is None:
        return {**line, "status": "pass", "time": now}
    status = "fail" if reason.fails else "warn"
    return {**line, "status": status, "time": now, "output": reason.meaning}


def statistics(pools: Iterable[Observed], writable: bool, stacks: bool) -> dict[str, object]:
    """The body of /stats."""
    about = {"version": core_version(), "instance": instance(), "time_ns": time.time_ns()}
    shown = [_statistics(pool, stacks) for pool in pools]
    return {**about, "writable": writable, "pools": shown}


def _statistics(pool: Observed, stacks: bool) -> dict[str, object]:
    shown: dict[str, object] = {
        "pool": pool.id,
        "status": pool.status,
        "reasons": [pool.found(reason) for reason in pool.reasons],
        **pool.snapshots,
        "options": _options(pool.pool),
    }
    return {**shown, "stacks": _stacks(pool.pool)} if stacks else shown


def _options(pool: Allocator) -> dict[str, str]:
    values = {}
    for name in OPTIONS:
        try:
            values[name] = pool._core.slabby_get_option_text(pool, name)
        except SlabbyError:
            continue
    return values


def _stacks(pool: Allocator) -> dict[str, object]:
    """Live slabs by where they were allocated, the largest group first."""
    result: dict[str, object] = {"recorded": pool.get_option("debug"), "examined": 0}
    if not result["recorded"]:
        return {**result, "complete": True, "groups": []}
    groups: dict[tuple[str, ...], list[int]] = {}
    examined, complete = 0, True
    for live in pool.live():
        if live.state != SlabState.LIVE:
            continue
        if examined == STACKS_LIMIT:
            complete = False
            break
        examined += 1
        group = groups.setdefault(_frames(pool, live.ref), [0, 0])
        group[0] += 1
        group[1] = max(group[1], live.age_ns)
    ordered = sorted(groups.items(), key=lambda item: (-item[1][0], item[0]))
    shown = [
        {"count": count, "oldest_ns": oldest, "frames": list(frames)}
        for frames, (count, oldest) in ordered[:GROUPS_LIMIT]
    ]
    complete = complete and len(ordered) <= GROUPS_LIMIT
    return {**result, "examined": examined, "complete": complete, "groups": shown}


def _frames(pool: Allocator, ref: int) -> tuple[str, ...]:
    """The frames of an allocation, innermost first: Python's, or for slabs of another language what
    the core recorded."""
    # Without the check of from_ref, which counts a slab that was released meanwhile as an error.
    summary = pool._wrap(ref, 0, False).allocation_stack
    if summary is not None:
        return tuple(
            f"{frame.name} ({os.path.basename(frame.filename)}:{frame.lineno})"
            for frame in reversed(summary)
        )
    try:
        text = pool._core.slabby_stack(pool, ref)
    except SlabbyError:
        return ()
    allocated = text.partition("\n  released by")[0]
    lines = [line.strip() for line in allocated.splitlines()]
    return tuple(line.split(" ", 2)[-1] for line in lines if line.startswith("#"))


def metrics(pools: Iterable[NamedPool], wanted: str | None) -> str:
    """The body of /metrics."""
    texts = []
    for each in pools:
        if wanted is not None and each.id != wanted:
            continue
        try:
            texts.append(metrics_text(each.pool))
        except SlabbyError:
            continue
    if wanted is not None and not texts:
        raise no_pool(wanted)
    return merge_metrics(texts)


def merge_metrics(texts: Iterable[str]) -> str:
    """One text in the OpenMetrics format from those of several pools: each metric is described once, and all of its
    samples follow."""
    families: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for text in texts:
        family: tuple[dict[str, None], dict[str, None]] = ({}, {})
        for line in text.splitlines():
            if line == "# EOF":
                continue
            if line.startswith("# "):
                family = families.setdefault(line.split(" ", 3)[2], ({}, {}))
                family[0][line] = None
            else:
                family[1][line] = None
    lines = [line for about, samples in families.values() for line in (*about, *samples)]
    return "\n".join([*lines, "# EOF", ""])
