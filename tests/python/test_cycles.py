# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools that come and go: what a closed pool keeps is bounded, whatever its options."""

import subprocess
import sys

import pytest
from conftest import FULL

FIRST_CHECK = 500
LAST_CHECK = 100_000 if FULL else 2_000

MANY, FEW = 100_000, 100

# The sets of tests/core/test_cycles.c.
SETS = {
    "none": (MANY, {}),
    "debug": (MANY, {"debug": True}),
    "audit": (MANY, {"audit": 65536}),
    "secure": (MANY, {"secure": True, "bit_guard": True}),
    "delayed": (MANY, {"reuse_delay": 1000, "shuffle": True}),
    "guard_pages": (FEW, {"guard_pages": True}),
    "guarded": (MANY, {"guard_sample_rate": 1, "guard_slots": 64}),
    "heap": (FEW, {"heap_fallback": True, "heap_fallback_limit": 100_000}),
    "portable": (MANY, {"cpu_cache_backend": "portable"}),
    "no caches": (MANY, {"per_cpu_cache": False}),
    "locked": (FEW, {"prefault": True, "lock_memory": "best_effort"}),
    "every latency": (MANY, {"latency_tracking": "all"}),
    "health thread": (MANY, {"health_checks": True}),
    "max_capacity": (FEW, {"max_capacity": MANY}),
}
OFTEN = ("none", "debug", "audit", "heap", "health thread")  # the others in full runs

# A process of its own: other tests leave garbage that goes at any moment.
PROGRAM = """
import gc, resource, sys
import slabby

first, last, sets = map(eval, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

def footprint():
    gc.collect()
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    with open("/proc/self/smaps", encoding="ascii") as file:  # VmRSS may be some hundred kB off
        resident = sum(int(line.split()[1]) for line in file if line.startswith("Rss:"))
    size, locked = (int(lines[name].split()[0]) for name in ("VmSize", "VmLck"))
    return [size, resident, locked]

for _ in range(4096):  # the control blocks stay: 12 MB for 4,095 pools, resident once each was used
    slabby.Allocator(8, 1).close()

def come_and_go(capacity, options):
    # One pool stays, so that the health thread, which all pools share, neither ends nor begins.
    stays = slabby.Allocator(64, capacity, **options)
    for i in range(1, last + 1):
        pool = slabby.Allocator(64, capacity, **options)
        if options.get("heap_fallback"):  # its table is mapped on first use
            slabs = [pool.allocate() for _ in range(capacity + 1)]
            while slabs:
                slabs.pop().release()
        slab = pool.allocate()
        slab.label = i
        slab.release()
        pool.close()
        if i == first:
            before = footprint()
    return *before, *footprint()

for name, (capacity, options) in sets.items():
    print(name, *come_and_go(capacity, options), sep=":", flush=True)
"""


@pytest.fixture(scope="module")
def footprints():
    """By the name of a set, what the process took before and after many pools of it. One process for all: the first
    4,096 pools take longer than a set."""
    sets = {name: SETS[name] for name in (SETS if FULL else OFTEN)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(repr, (FIRST_CHECK, LAST_CHECK, sets))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(":") for line in done.stdout.splitlines()]
    return {name: [int(number) for number in numbers] for name, *numbers in lines}


@pytest.mark.parametrize("name", SETS if FULL else OFTEN)
def test_closed_pools_keep_nothing(footprints, name):
    numbers = footprints[name]
    for what, before, after in zip(("address space", "resident", "locked"), numbers, numbers[3:]):
        assert after <= before * 1.01 + 256, f"{what}: {before} kB, then {after} kB"
