# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is measured: this library in its configurations, and what people would use instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """A program pairs-PROGRAM of the bench and its arguments. Its key names it in the figures."""

    key: str
    name: str
    program: str
    arguments: tuple[str, ...] = ()


def configuration(name: str, *arguments: str, program: str = "slabby") -> Contestant:
    """Ours with options."""
    return Contestant(" ".join(arguments) or program, name, program, arguments)


def peer(program: str, name: str) -> Contestant:
    return Contestant(program, name, program)


OURS = configuration("Slabby")
START = configuration("Slabby at the start", program="start")
STATIC = configuration("Slabby, static with LTO", program="slabby_lto")
BATCHES = configuration("batches of 64, a slab", program="slabby_batch")
FAST = configuration("allocate_fast", program="slabby_fast")

MALLOCS = (
    peer("glibc", "glibc"),
    peer("mimalloc", "mimalloc"),
    peer("jemalloc", "jemalloc"),
    peer("tcmalloc_minimal", "gperftools tcmalloc"),
)
FLOORS = (
    peer("dpdk", "DPDK mempool (inline, unchecked)"),
    peer("locked_list", "mutex free list"),
    peer("tagged_stack", "tagged Treiber stack"),
)
PEERS = MALLOCS + FLOORS

# What people use for safety: objects zeroed by hand before they go back, and hardened allocators.
ZEROED = (
    peer("glibc_bzero", "glibc + bzero"),
    peer("mimalloc_bzero", "mimalloc + bzero"),
    peer("jemalloc_bzero", "jemalloc + bzero"),
    peer("tcmalloc_minimal_bzero", "tcmalloc + bzero"),
)
HAND = ZEROED[0]
MIMALLOC_SECURE = peer("mimalloc_secure", "mimalloc, built secure")
SCUDO = peer("scudo", "Scudo")
HARDENED = (MIMALLOC_SECURE, SCUDO)

SECURE = configuration("secure", "secure=on")
BIT_GUARD = configuration("bit_guard", "bit_guard=on")
# The reference's quick start.
QUICK_START = configuration(
    "quick start",
    "secure=on",
    "bit_guard=on",
    "circuit_breaker_threshold=50",
    "circuit_breaker_timeout=30s",
    "health_checks=on",
    "heap_fallback=on",
    "max_alloc_latency=100us",
)
TRADING = configuration("preset trading", "preset=trading")
GATEWAY = configuration("preset gateway", "preset=gateway")
ANALYTICS = configuration("preset analytics", "preset=analytics")
SAMPLED_1000 = configuration("guard_sample_rate 1000", "guard_sample_rate=1000")
SAMPLED_5000 = configuration("guard_sample_rate 5000", "guard_sample_rate=5000")
AUDIT = configuration("audit 65536", "audit=65536")
SHUFFLE = configuration("shuffle", "shuffle=on")
REUSE_DELAY = configuration("reuse_delay 1000", "reuse_delay=1000")
GUARD_PAGES = configuration("guard_pages", "guard_pages=on")
TIMED = configuration("latency_tracking all", "latency_tracking=all")
PORTABLE = configuration("portable backend", "cpu_cache_backend=portable")
UNCACHED = configuration("per_cpu_cache off", "per_cpu_cache=off")
DEBUG = configuration("debug (stacks)", "debug=on")

# The least that such protections cost: their reads, writes and system calls alone, beside the pool at the start.
CANARIES = configuration("64 bytes before and behind, by hand", program="slabby_canaries")
PAGES_1000 = configuration(
    "a page by mprotect, each 1000", "pages_each=1000", program="slabby_mprotect"
)
PAGES_5000 = configuration(
    "a page by mprotect, each 5000", "pages_each=5000", program="slabby_mprotect"
)
BY_HAND = (CANARIES, PAGES_1000, PAGES_5000)

# Options whose price is shown as a multiple of the default. One that the system refuses is left out.
OPTIONS = (
    SECURE,
    UNCACHED,
    PORTABLE,
    configuration("latency_tracking off", "latency_tracking=off"),
    TIMED,
    configuration("heap_fallback on, idle", "heap_fallback=on"),
    BIT_GUARD,
    GUARD_PAGES,
    SAMPLED_1000,
    SAMPLED_5000,
    REUSE_DELAY,
    SHUFFLE,
    AUDIT,
    DEBUG,
    configuration("lock_memory", "lock_memory=best_effort"),
    configuration("no_dump", "no_dump=on"),
    configuration("circuit breaker, closed", "circuit_breaker_threshold=1000"),
    configuration("huge_pages", "huge_pages=on"),
)

# Ours may not be missing from a run; anybody else may.
REQUIRED = (OURS, START)
NOT_TO_BE_HAD = {"hardened_malloc": "Debian 12 does not ship it"}
