# SPDX-License-Identifier: GPL-3.0-or-later
"""Medians and ratios of measurements that took turns, and what they are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OURS = "slabby"

# Peers in the order of the reports: program of the bench, name for people.
PEERS = {
    "glibc": "glibc",
    "mimalloc": "mimalloc",
    "jemalloc": "jemalloc",
    "tcmalloc_minimal": "gperftools tcmalloc",
    "dpdk": "DPDK mempool (inline, unchecked)",
    "locked_list": "mutex free list",
    "tagged_stack": "tagged Treiber stack",
}

# Options whose price is measured: the argument of the worker, name for people. One that the system refuses is left
# out.
OPTIONS = {
    "secure=on": "secure",
    "per_cpu_cache=off": "per_cpu_cache off",
    "cpu_cache_backend=portable": "portable backend",
    "latency_tracking=off": "latency_tracking off",
    "latency_tracking=all": "latency_tracking all",
    "heap_fallback=on": "heap_fallback on, idle",
    "bit_guard=on": "bit_guard",
    "guard_pages=on": "guard_pages",
    "guard_sample_rate=1000": "guard_sample_rate 1000",
    "reuse_delay=1000": "reuse_delay 1000",
    "shuffle=on": "shuffle",
    "audit=65536": "audit 65536",
    "debug=on": "debug (stacks)",
    "lock_memory=best_effort": "lock_memory",
    "no_dump=on": "no_dump",
    "circuit_breaker_threshold=1000": "circuit breaker, closed",
    "huge_pages=on": "huge_pages",
}


@dataclass(frozen=True)
class Pattern:
    """A way to use a pool: its word in the worker, its name, milliseconds it is run for."""

    word: str
    name: str
    milliseconds: int


PATTERNS = (
    Pattern("tight", "tight", 8),
    Pattern("fifo", "FIFO 1000", 8),
    Pattern("burst", "burst 64", 8),
    Pattern("random", "random 10k", 8),
    Pattern("two", "2 threads", 16),
    Pattern("ring", "producer/consumer", 16),
    Pattern("eight", "8 threads on 2 CPUs", 50),
)
SIZES = (4096, 64)


@dataclass(frozen=True)
class Case:
    pattern: Pattern
    size: int

    @property
    def key(self) -> str:
        return f"{self.pattern.word} {self.size}"

    @property
    def name(self) -> str:
        return f"{self.pattern.name}, {'4 KiB' if self.size == 4096 else f'{self.size} B'}"


CASES = tuple(Case(pattern, size) for size in SIZES for pattern in PATTERNS)

# The most that ours may cost as a share of the peer, by case, in the order of PEERS.
TARGETS = {
    "tight 4096": (0.27, 0.31, 0.65, 1.0, 1.3, 0.45, 0.9),
    "fifo 4096": (0.39, 0.48, 0.78, 1.1, 1.6, 0.55, 1.1),
    "burst 4096": (0.01, 0.27, 0.06, 0.83, 1.5, 0.5, 1.0),
    "random 4096": (0.23, 0.28, 0.73, 1.1, 1.6, 0.6, 1.1),
    "ring 4096": (0.02, 0.18, 0.06, 0.12, 0.6, 0.15, 0.25),
    "eight 4096": (0.46, 0.56, 1.0, 1.4, 1.8, 0.2, 0.5),
    "tight 64": (0.62, 0.66, 1.1, 1.3, 1.5, 0.45, 1.0),
}
TARGET_TWO_THREADS = 1.6
TARGET_REFUSAL_NS = 1000.0
TARGET_NEARLY_FULL = 0.3
TARGET_DRAIN_US = 50.0


def target(case: Case, peer: str) -> float | None:
    row = TARGETS.get(case.key)
    return row[list(PEERS).index(peer)] if row is not None and peer in PEERS else None


def spread(values: list[float]) -> dict[str, float]:
    """The 10th, 50th and 90th of a hundred, by the nearest rank, and how many there are."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "p10": ordered[round(last * 0.1)],
        "median": ordered[round(last * 0.5)],
        "p90": ordered[round(last * 0.9)],
        "rounds": len(ordered),
    }


def summarise_pairs(times: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """times[case][contestant] lists ns by round; what each costs, and ours as a share of it."""
    summary: dict[str, Any] = {}
    for case, by_contestant in times.items():
        ours = by_contestant[OURS]
        summary[case] = {
            contestant: {
                "ns": spread(ns),
                "ours_to_this": spread([a / b for a, b in zip(ours, ns, strict=True)]),
            }
            for contestant, ns in by_contestant.items()
        }
    return summary


def verdicts(pairs: dict[str, Any]) -> list[dict[str, Any]]:
    """Each target of the table with what was measured."""
    rows = []
    for case in CASES:
        for peer in PEERS:
            limit = target(case, peer)
            if limit is None or peer not in pairs[case.key]:
                continue
            ratio = pairs[case.key][peer]["ours_to_this"]["median"]
            rows.append(
                {
                    "case": case.key,
                    "peer": peer,
                    "at_most": limit,
                    "ratio": ratio,
                    "holds": ratio <= limit,
                }
            )
    return rows


def two_thread_gain(times: dict[str, dict[str, list[float]]], size: int) -> dict[str, float]:
    """Throughput of two threads as a multiple of one thread's, by round."""
    one = times[f"tight {size}"][OURS]
    two = times[f"two {size}"][OURS]
    return spread([2 * a / b for a, b in zip(one, two, strict=True)])


def further_verdicts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Targets that concern ours alone."""
    edges = result["edges"]
    rows = [
        (
            "2 threads to 1, 4 KiB",
            result["two_threads"]["4096"]["median"],
            TARGET_TWO_THREADS,
            True,
        ),
        ("refusal of a full pool, ns", edges["full"]["ns"]["median"], TARGET_REFUSAL_NS, False),
        (
            "interrupts to another CPU by 100,000 refusals",
            edges["full"]["interrupts"],
            0.0,
            False,
        ),
        (
            "99 % full, throughput to empty",
            edges["nearly_full"]["from_below"]["median"],
            TARGET_NEARLY_FULL,
            True,
        ),
        (
            "99 % full after 100 %, throughput to empty",
            edges["nearly_full"]["back_from_full"]["median"],
            TARGET_NEARLY_FULL,
            True,
        ),
        ("drain of a busy CPU, us", edges["drain_us"]["busy"]["median"], TARGET_DRAIN_US, False),
    ]
    return [
        {
            "what": what,
            "value": value,
            "limit": limit,
            "at_least": at_least,
            "holds": value >= limit if at_least else 0 <= value <= limit,
        }
        for what, value, limit, at_least in rows
    ]
