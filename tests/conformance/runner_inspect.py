# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python runner's instructions that look at a whole pool: snapshots, live slabs, findings, records."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from slabby._enums import AuditOperation, EventCode, Binding, FindingKind, SlabState, Status
from enums import STATUSES

UNSET = '{"status":"-"}'
NAMES = {code: name for name, code in STATUSES.items()}
QUIET = {
    AuditOperation.CREATE,
    AuditOperation.RETAIN,
    AuditOperation.DESTROY,
    AuditOperation.ABANDON,
}

Pool = Any


def show(status: str, **fields: object) -> str:
    return json.dumps({"status": status, **fields}, separators=(",", ":"))


def ppm(ratio: float) -> int:
    return int(ratio * 1e6 + 0.5)


class Checks:
    """One method an instruction."""

    pools: dict[str, Pool]
    binding: Binding

    def do_stats(self, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        s = pool.stats()
        tier_hits = s.pcpu_cache_hits + s.lock_free_hits + s.shard_hits + s.gate_hits + s.guard_hits
        errors = {
            NAMES[status]: count
            for status, count in s.errors.items()
            if count and status not in (Status.IN_USE, Status.NOT_SUPPORTED)
        }
        return show(
            "OK",
            total_slabs=s.total_slabs,
            slab_size=s.slab_size,
            used_slabs=s.used_slabs,
            available_slabs=s.available_slabs,
            total_allocations=s.total_allocations,
            total_deallocations=s.total_deallocations,
            fast_allocations=s.fast_allocations,
            fast_deallocations=s.fast_deallocations,
            ref_pool_hits=s.ref_pool_hits,
            utilization_ppm=ppm(s.memory_utilization),
            allocation_errors=s.allocation_errors,
            guard_page_violations=s.guard_page_violations,
            heap_fallbacks=s.heap_fallbacks,
            tier_hits=tier_hits + s.heap_fallbacks,
            corruptions=s.corruptions,
            quarantined_slabs=s.quarantined_slabs,
            retired_slabs=s.retired_slabs,
            heap_slabs=s.heap_slabs,
            heap_bytes=s.heap_bytes,
            waiters=s.waiters,
            breaker_state=s.breaker_state.name.lower(),
            degradation_state=s.degradation_state.name.lower(),
            pool_state=s.pool_state.name.lower(),
            awaited_slabs=s.awaited_slabs,
            reserved_slabs=s.reserved_slabs,
            errors=dict(sorted(errors.items())),
        )

    def do_health(self, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        health = pool.health_check()
        return show(
            "OK",
            score_ppm=ppm(health.health_score),
            error_rate_ppm=ppm(health.error_rate),
            breaker_open=int(health.circuit_breaker_open),
        )

    def do_memory(self, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        memory = pool.memory()
        return show("OK", slab_bytes=memory.slab_bytes, heap_bytes=memory.heap_bytes)

    def do_stats_json(self, name: str) -> str:
        pool = self.pools.get(name)
        return (
            UNSET if pool is None else show("OK", used=json.loads(pool.stats_json())["used_slabs"])
        )

    def do_health_json(self, name: str) -> str:
        pool = self.pools.get(name)
        return UNSET if pool is None else show("OK", keys=len(json.loads(pool.health_json())))

    # ------------------------------------------------------------------------------- looking inside

    def do_live(self, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        slabs = list(pool.live())
        states = Counter(slab.state for slab in slabs)
        return show(
            "OK",
            count=len(slabs),
            distinct=len({slab.id for slab in slabs}),
            live=states[SlabState.LIVE] + states[SlabState.GRANTED],
            live_fast=states[SlabState.LIVE_FAST],
            dying=states[SlabState.DYING],
            pins=sum(slab.pins for slab in slabs),
            labels=sum(slab.label for slab in slabs) % 2**64,
        )

    def do_verify(self, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        findings = pool.verify()
        keys = [finding.id for finding in findings if finding.kind == FindingKind.GUARD_BYTES]
        return show("OK", damaged=len(set(keys)), other=len(findings) - len(keys))

    def do_audit(self, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        records = list(pool.audit())
        tally: Counter[str] = Counter()
        for record in records:
            if record.operation in QUIET:
                continue
            operation = record.operation
            if operation == AuditOperation.ALLOCATE_WAIT:
                operation = AuditOperation.ALLOCATE
            tally[f"{operation.name.lower()} {NAMES[record.status]}"] += 1
        return show(
            "OK",
            lost=records[0].sequence if records else 0,
            foreign=sum(record.binding != self.binding for record in records),
            records=dict(sorted(tally.items())),
        )

    def do_events(self, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None:
            return UNSET
        codes = {EventCode(event.code).name.lower() for event in pool.events()}
        return show("OK", codes=sorted(codes))
