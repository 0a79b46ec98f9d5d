# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on guards: reported in words before Python's own faulthandler, or another handler, gets them."""

import signal

import pytest
import slabby

# Ends by the fault: one byte past the end of a guarded slab, or a few bytes further.
PROGRAM = """
import ctypes, faulthandler, slabby
{before}
pool = slabby.Allocator(4096, 4, name="orders", guard_pages=True)
slabby.install_fault_handler()
ref = pool.allocate()
def trespass():
    ctypes.{deed}
print(ref.id, flush=True)
trespass()
"""
DEEDS = {
    "memset(ref.address + 4096, 1, 1)": (
        "slabby: write 1 byte past the end of slab {id} (4096 bytes) of pool 'orders'"
    ),
    "string_at(ref.address + 4099, 1)": (
        "slabby: read 4 bytes past the end of slab {id} (4096 bytes) of pool 'orders'"
    ),
}


@pytest.fixture(autouse=True)
def guards_work():
    try:
        slabby.Allocator(4096, 4, guard_pages=True).close()
    except slabby.NotSupportedError as refused:
        pytest.skip(f"refused here: {refused}")


@pytest.mark.parametrize("deed", DEEDS)
def test_the_report_comes_without_faulthandler(run_script, deed):
    done = run_script(PROGRAM.format(before="faulthandler.disable()", deed=deed))
    assert done.returncode == -signal.SIGSEGV
    assert done.stderr == DEEDS[deed].format(id=done.stdout.strip()) + "\n"


@pytest.mark.parametrize("deed", DEEDS)
def test_the_report_comes_before_faulthandlers(run_script, deed):
    done = run_script(PROGRAM.format(before="faulthandler.enable()", deed=deed))
    assert done.returncode == -signal.SIGSEGV
    report, rest = done.stderr.split("\n", 1)
    assert report == DEEDS[deed].format(id=done.stdout.strip())
    assert rest.startswith("Fatal Python error: Segmentation fault\n")
    assert "in trespass\n" in rest


def test_other_faults_stay_pythons(run_script):
    done = run_script(PROGRAM.format(before="faulthandler.enable()", deed="string_at(1)"))
    assert done.returncode == -signal.SIGSEGV
    assert done.stderr.startswith("Fatal Python error: Segmentation fault\n")


def test_an_address_is_classified():
    pool = slabby.Allocator(4096, 4, name="orders", guard_pages=True)
    ref = pool.allocate()
    for offset, kind in ((0, "INSIDE"), (4096, "PAST_END"), (-1, "BEFORE_START")):
        fault = slabby.classify_fault(ref.address + offset)
        assert (fault.offset, fault.id, fault.ref) == (offset, ref.id, ref.ref)
        assert fault.kind is slabby.FaultKind[kind]
        assert fault.allocator_address == pool.handle()[0]
    address = ref.address
    ref.release()
    assert slabby.classify_fault(address).kind is slabby.FaultKind.AFTER_RELEASE
    assert slabby.classify_fault(1).inside is False
