# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools that come and go: what a closed pool keeps is bounded, whatever its options."""

import os
import subprocess
import sys

import pytest

FIRST_CHECK = 500
LAST_CHECK = 100_000 if os.environ.get("SLABBY_FULL") else 2_000

SETS = {
    "none": {},
    "debug": {"debug": True},
    "audit": {"audit": 65536},
    "secure": {"secure": True, "bit_guard": True},
    "guarded": {"guard_sample_rate": 1},
    "delayed": {"reuse_delay": 1000, "shuffle": True},
}

# A process of its own: other tests leave garbage that goes at any moment.
PROGRAM = """
import gc, resource, sys
import slabby

first, last, options = int(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

def footprint():
    gc.collect()
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return [int(lines[name].split()[0]) for name in ("VmSize", "VmRSS", "VmLck")]

for _ in range(4096):  # the control blocks stay: 12 MB for 4,095 pools, resident once each was used
    slabby.Allocator(8, 1).close()
for i in range(1, last + 1):
    pool = slabby.Allocator(64, 100_000, **options)
    pool.allocate().release()
    pool.close()
    if i == first:
        before = footprint()
print(*before, *footprint())
"""


@pytest.mark.parametrize("name", SETS)
def test_closed_pools_keep_nothing(name):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(FIRST_CHECK), str(LAST_CHECK), repr(SETS[name])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    numbers = [int(number) for number in done.stdout.split()]
    for what, before, after in zip(("address space", "resident", "locked"), numbers, numbers[3:]):
        assert after <= before * 1.01 + 256, f"{what}: {before} kB, then {after} kB"
