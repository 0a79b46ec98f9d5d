# SPDX-License-Identifier: GPL-3.0-or-later
"""A child made by fork has its own copy of every pool; one made by spawn begins without."""

from __future__ import annotations

from conftest import FULL, Script

# Each child checks its copy: verify is clean, what was out is out, everything else can be had.
CHECK = """
import os, sys, threading, warnings
import slabby

def check(pool, out):
    stats = pool.stats()
    assert pool.verify() == [], pool.verify()
    assert stats.total_allocations - stats.total_deallocations == stats.used_slabs >= out, stats
    refs = pool.allocate_batch(stats.available_slabs)
    assert pool.stats().available_slabs == 0
    for ref in refs:
        ref.release()
    assert pool.stats().used_slabs == stats.used_slabs

def expect_well(child):
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, f"the child ended with {code}"
"""

LOAD = """
stop = threading.Event()

def use():
    while not stop.is_set():
        with pool.allocate() as ref:
            memoryview(ref)[0] = 1
        for ref in pool.allocate_batch(20):
            ref.release()
"""


def test_forks_under_load(run_script: Script) -> None:
    done = run_script(
        CHECK + "pool = slabby.Allocator(64, 100)\n" + LOAD + f"forks = {300 if FULL else 30}\n"
        """
# From 3.12 on Python warns of a fork beside threads: that it works is what is tested here.
warnings.simplefilter("ignore", DeprecationWarning)
held = pool.allocate()
threads = [threading.Thread(target=use) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(forks):
    child = os.fork()
    if child == 0:
        try:
            check(pool, 1)
            held.release()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    expect_well(child)
stop.set()
for thread in threads:
    thread.join()
assert held.is_valid
held.release()
check(pool, 0)
print("well")
"""
    )
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_a_child_forks_again(run_script: Script) -> None:
    done = run_script(
        CHECK
        + """
pool = slabby.Allocator(64, 10)
held = pool.allocate()
child = os.fork()
if child == 0:
    check(pool, 1)
    mine = pool.allocate()
    grandchild = os.fork()
    if grandchild == 0:
        check(pool, 2)
        mine.release()
        os._exit(0)
    expect_well(grandchild)
    assert mine.is_valid
    mine.release()
    os._exit(0)
expect_well(child)
held.release()
check(pool, 0)
print("well")
"""
    )
    assert (done.stdout, done.stderr) == ("well\n", "")


MULTIPROCESSING = """
import multiprocessing

def work(method, results):
    own = slabby.Allocator(64, 10, name="own")
    with own.allocate() as ref:
        memoryview(ref)[:5] = b"child"
    check(own, 0)
    own.close()
    if method == "fork":
        check(pool, 1)
        assert bytes(memoryview(held)[:6]) == b"parent"
        held.release()
    results.put(method)

def main(method):
    global pool, held
    pool = slabby.Allocator(64, 10, name="shared by fork")
    held = pool.allocate()
    memoryview(held)[:6] = b"parent"
    context = multiprocessing.get_context(method)
    results = context.SimpleQueue()
    processes = [context.Process(target=work, args=(method, results)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [results.get() for _ in processes] == [method] * 3
    assert bytes(memoryview(held)[:6]) == b"parent"
    held.release()
    check(pool, 0)
    print("well")

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    main(METHOD)
"""


def test_multiprocessing_by_fork(run_script: Script) -> None:
    done = run_script(CHECK + "METHOD = 'fork'\n" + MULTIPROCESSING)
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_multiprocessing_by_spawn(run_script: Script) -> None:
    done = run_script(CHECK + "METHOD = 'spawn'\n" + MULTIPROCESSING)
    assert (done.stdout, done.stderr) == ("well\n", "")
