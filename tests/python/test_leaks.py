# SPDX-License-Identifier: GPL-3.0-or-later
"""References that were dropped: the slab comes back, with a warning, and the interpreter ends cleanly."""

import gc
import subprocess
import warnings

import pytest
import slabby

COUNT = 10_000


def of_slabs(caught):
    """What else is collected meanwhile, such as a socket of an earlier test, may warn, too."""
    return [warning for warning in caught if str(warning.message).startswith("SlabRef ")]


def quiet(done: subprocess.CompletedProcess) -> None:
    """The program ended well and said nothing but ResourceWarnings and what it printed."""
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        assert "Error" not in line and "Exception" not in line and "Fatal" not in line, done.stderr


class Node:
    """Holds a reference in a cycle."""

    def __init__(self, ref):
        self.ref = ref
        self.me = self


def torn(pool):
    ref = pool.allocate()
    raise ValueError(f"{ref!r} was torn by an exception")


def test_dropped_refs_come_back_with_a_warning(pool):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(COUNT):
            pool.allocate()
    assert {warning.category for warning in of_slabs(caught)} == {ResourceWarning}
    assert len(of_slabs(caught)) == COUNT
    assert "test:" in str(of_slabs(caught)[0].message)
    assert pool.stats().used_slabs == 0
    assert pool.stats().total_allocations == COUNT
    assert not any(pool.stats().errors.values())


def test_refs_in_cycles_come_back():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pool = slabby.Allocator(64, COUNT)
        gc.disable()
        try:
            for _ in range(COUNT):
                Node(pool.allocate())
            assert pool.stats().used_slabs == COUNT
        finally:
            gc.enable()
        gc.collect()
        assert pool.stats().used_slabs == 0
    assert len(of_slabs(caught)) == COUNT


def test_refs_torn_by_exceptions_come_back(pool):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(COUNT):
            with pytest.raises(ValueError, match="torn"):
                torn(pool)
        gc.collect()
    assert pool.stats().used_slabs == 0
    assert len(of_slabs(caught)) == COUNT


def test_a_cycle_through_the_pool_is_collected():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pool = slabby.Allocator(64, 4)
        pool.mine = [pool.allocate(), memoryview(pool.allocate())]
        pool.fast = pool.allocate_fast()
        other = slabby.Allocator.adopt(*pool.handle())
        del pool
        gc.collect()
        # The fast slab is the holder of its id's, and the id was dropped.
        assert other.stats().used_slabs == 1
    assert len(caught) == 2
    other.reset()


def test_released_refs_warn_of_nothing(pool):
    for _ in range(100):
        pool.allocate().release()
        ref = pool.allocate()
        pool.deallocate_batch([ref])
        del ref
    ref = pool.allocate()
    pool.reset()
    del ref
    assert not any(pool.stats().errors.values())


def test_a_warning_made_an_error_is_reported_not_lost(pool, monkeypatch):
    import sys

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_type))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool.allocate()
    assert reported == [ResourceWarning]
    assert pool.stats().used_slabs == 0


def test_dropping_keeps_the_pending_exception(pool):
    with pytest.warns(ResourceWarning), pytest.raises(KeyError):
        ref = pool.allocate()
        holder = {"ref": ref}
        del ref
        holder.pop("ref", None) and {}["missing"]


EXITS = {
    "live refs": "keep = [pool.allocate() for _ in range(50)]",
    "views": "keep = [memoryview(pool.allocate()) for _ in range(50)]",
    "slices": "keep = [memoryview(pool.allocate())[3:9] for _ in range(50)]",
    "cycles": "class C: pass\nfor _ in range(50):\n c = C(); c.me = c; c.ref = pool.allocate()",
    "a cycle of the pool": "pool.me = pool; pool.refs = pool.allocate_batch(5)",
    "fast slabs": "keep = [pool.allocate_fast() for _ in range(5)]\nv = memoryview(keep[0][0])",
    "a block": "keep = pool.allocate()\nkeep.__enter__()",
    "modules": "import sys\nsys.keep = pool.allocate()\nimport gc\ngc.disable()",
    "a deferred release": "r = pool.allocate()\nv = memoryview(r)\nr.release_deferred()",
    "a closed pool": "keep = memoryview(pool.allocate())\npool.close()",
    "atexit": "import atexit\nref = pool.allocate()\natexit.register(ref.release)",
    "daemon threads": """
import threading
rounds = threading.Semaphore(0)
def work():
    while True:
        ref = pool.allocate()
        view = memoryview(ref)
        view[:3] = b"abc"
        del view
        ref.release()
        rounds.release()
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
for _ in range(4_000):
    rounds.acquire()
""",
    "daemon threads in cold calls": """
import threading
rounds = threading.Semaphore(0)
def work():
    while True:
        pool.verify(), pool.trim(), pool.stats()
        rounds.release()
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for _ in range(300):
    rounds.acquire()
""",
}


@pytest.mark.parametrize("name", EXITS)
def test_exit_is_clean_with(name, run_script):
    program = f"import slabby\npool = slabby.Allocator(4096, 100)\n{EXITS[name]}\nprint('end')\n"
    done = run_script(program)
    quiet(done)
    assert done.stdout == "end\n"


def test_exit_is_clean_with_an_exception_under_way(run_script):
    done = run_script(
        "import slabby\n"
        "pool = slabby.Allocator(64, 4)\n"
        "with pool.allocate() as ref:\n"
        "    view = memoryview(ref)\n"
        "    raise SystemExit(7)\n"
    )
    assert (done.returncode, done.stderr) == (7, "")


def test_a_forked_child_works_on_its_own_copy(run_script):
    done = run_script(
        "import os, slabby\n"
        "pool = slabby.Allocator(64, 4)\n"
        "ref = pool.allocate()\n"
        "memoryview(ref)[:3] = b'abc'\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    ok = bytes(memoryview(ref)[:3]) == b'abc'\n"
        "    ref.release()\n"
        "    with pool.allocate(): pass\n"
        "    os._exit(0 if ok and pool.stats().used_slabs == 0 else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "print(ref.is_valid)\n"
        "ref.release()\n"
    )
    assert (done.stdout, done.stderr) == ("0\nTrue\n", "")
