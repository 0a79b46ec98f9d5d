# SPDX-License-Identifier: GPL-3.0-or-later
"""Where slabs were allocated: stacks in Python's terms, tracemalloc's domain, and what leak warnings tell of both."""

import gc
import re
import tracemalloc
import warnings
from traceback import StackSummary

import pytest
import slabby

LEAK = (slabby.EventCode.LEAK,)


def load_order(pool):
    return pool.allocate()


def names(stack):
    assert isinstance(stack, StackSummary)
    return [frame.name for frame in stack]


def leak_events(pool):
    return [event for event in pool.events() if event.code in LEAK]


@pytest.fixture
def traced():
    tracemalloc.start(10)
    yield
    tracemalloc.stop()


# --------------------------------------------------------------------------------------- allocation_stack


def test_the_stack_names_the_callers_of_the_package():
    pool = slabby.Allocator(64, 8, debug=True)
    ref = load_order(pool)
    stack = ref.allocation_stack
    assert names(stack)[-1] == "load_order"
    assert names(stack)[-2] == "test_the_stack_names_the_callers_of_the_package"
    assert stack[-1].filename == __file__
    assert stack[-1].lineno == load_order.__code__.co_firstlineno + 1
    assert stack[-1].line == "return pool.allocate()"
    assert len(stack) <= 16
    ref.release()
    # Told until the slab's next allocation.
    assert names(ref.allocation_stack)[-1] == "load_order"
    with pool.allocate():
        pass


def test_every_way_to_allocate_is_reported():
    pool = slabby.Allocator(64, 8, debug=True)
    made = [pool.allocate(timeout=1), *pool.allocate_batch(2)]
    for ref in made:
        assert names(ref.allocation_stack)[-1] == "test_every_way_to_allocate_is_reported"
    seen = {live.ref: pool.from_ref(live.ref).allocation_stack for live in pool.live()}
    assert len(seen) == 3
    for stack in seen.values():
        assert stack[-1].filename == __file__
    pool.deallocate_batch(made)


def test_deep_stacks_are_cut(pool):
    def descend(depth):
        return pool.allocate() if depth == 0 else descend(depth - 1)

    pool.set_option("debug", True)
    with descend(100) as ref:
        assert len(ref.allocation_stack) == 16


def test_nothing_is_noted_while_the_option_is_off(pool):
    with pool.allocate() as ref:
        assert ref.allocation_stack is None
    pool.set_option("debug", True)
    with load_order(pool) as ref:
        assert names(ref.allocation_stack)[-1] == "load_order"
    pool.set_option("debug", False)
    with pool.allocate() as later:
        assert later.allocation_stack is None


# --------------------------------------------------------------------------------------------------- leaks


def test_a_leak_counts_in_the_core_with_or_without_the_option():
    for options in ({}, {"finalizers": True}):
        pool = slabby.Allocator(64, 8, name="orders", **options)
        with pytest.warns(ResourceWarning, match=r"orders:\d#"):
            load_order(pool)
        stats = pool.stats()
        assert (stats.leaks, stats.used_slabs) == (1, 0)
        (event,) = leak_events(pool)
        assert event.text.endswith("was dropped without release; it went back")
        assert ("test_stacks.py:" in event.text) is bool(options)


def test_the_warning_tells_where_with_finalizers():
    pool = slabby.Allocator(64, 8, finalizers=True)
    with pytest.warns(ResourceWarning) as caught:
        load_order(pool)
    text = str(caught[0].message)
    assert "allocated at (most recent call last):\n" in text
    line = load_order.__code__.co_firstlineno + 1
    assert f'File "{__file__}", line {line}, in load_order\n' in text
    (event,) = leak_events(pool)
    slab, reported = event.text.split(" of ", 1)
    assert slab.startswith("slab ")
    assert reported == (
        f'pool "{event.pool}", allocated at test_stacks.py:{line} in load_order, '
        "was dropped without release; it went back"
    )


def test_a_warning_that_keeps_its_source_keeps_a_released_ref(pool):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_order(pool)
    ref = caught[0].source
    assert isinstance(ref, slabby.SlabRef)
    assert not ref.is_valid
    with pytest.raises(slabby.DoubleDeallocationError):
        ref.release()
    caught.clear()
    del ref
    gc.collect()
    assert pool.stats().leaks == 1


def test_a_release_in_del_is_not_overtaken(pool):
    class Owner:
        def __init__(self):
            self.ref, self.me = pool.allocate(), self

        def __del__(self):
            self.ref.release()

    for _ in range(20):
        Owner()
    gc.collect()
    assert (pool.stats().used_slabs, pool.stats().leaks) == (0, 0)


def test_tracemalloc_adds_where_the_object_was_made(run_script):
    done = run_script(
        "import slabby\npool = slabby.Allocator(64, 4)\ndef lose():\n    pool.allocate()\nlose()\n",
        "-X",
        "tracemalloc=5",
    )
    assert "was dropped without release(); its slab goes back to the pool" in done.stderr
    assert "Object allocated at (most recent call last):" in done.stderr
    assert "lineno 4" in done.stderr


# --------------------------------------------------------------------------------------------- tracemalloc


def traced_slabs():
    only = tracemalloc.DomainFilter(inclusive=True, domain=slabby.TRACEMALLOC_DOMAIN)
    return tracemalloc.take_snapshot().filter_traces([only]).statistics("lineno")


def test_tracemalloc_counts_slabs_by_line(traced):
    pool = slabby.Allocator(1 << 20, 8)
    before, _ = tracemalloc.get_traced_memory()
    refs = [load_order(pool) for _ in range(3)]
    now, _ = tracemalloc.get_traced_memory()
    assert 3 << 20 <= now - before < (3 << 20) + 100_000
    (line,) = traced_slabs()
    assert (line.size, line.count) == (3 << 20, 3)
    assert line.traceback[0].lineno == load_order.__code__.co_firstlineno + 1

    refs[0].release()
    pool.deallocate_batch([refs[1]])
    with refs[2]:
        pass
    assert traced_slabs() == []
    for give_back in (pool.deallocate, slabby.SlabRef.release_deferred):
        give_back(pool.allocate())
    with pytest.warns(ResourceWarning):
        pool.allocate()
    assert traced_slabs() == []


def test_a_late_end_does_not_untrack_the_next_owner(traced):
    pool = slabby.Allocator(4096, 1)
    stale = pool.allocate()
    pool.reset()
    ref = pool.allocate()
    del stale
    assert [line.count for line in traced_slabs()] == [1]
    ref.release()
    assert traced_slabs() == []


def test_slabs_of_before_and_after_tracing_are_no_trouble(pool):
    early = pool.allocate()
    tracemalloc.start()
    early.release()
    late = pool.allocate()
    tracemalloc.stop()
    late.release()
    assert pool.stats().used_slabs == 0


def test_a_leak_is_warned_of_even_if_its_stack_cannot_be_shown(monkeypatch):
    class Broken:
        @staticmethod
        def from_list(_):
            raise MemoryError("no memory for the stack")

    pool = slabby.Allocator(64, 8, debug=True, name="orders")
    unraisable = []
    with monkeypatch.context() as patched, pytest.warns(ResourceWarning) as caught:
        patched.setattr("traceback.StackSummary", Broken)
        patched.setattr("sys.unraisablehook", lambda about: unraisable.append(about.exc_value))
        pool.allocate()
    assert re.match(r"SlabRef orders:\d#0 was dropped", str(caught[0].message))
    assert [str(error) for error in unraisable] == ["no memory for the stack"]
    assert pool.stats().used_slabs == 0


def test_a_stack_whose_slab_is_handed_on_while_it_is_read(run_script):
    """By the collector's callback here, which may run wherever an object is made."""
    done = run_script("""
import gc
import slabby

pool = slabby.Allocator(64, 1, finalizers=True)
slabs = []

def allocate_in_new_code():
    space = {"pool": pool}
    for depth in range(20):
        called = f"f{depth - 1}()" if depth else "pool.allocate()"
        exec(f"def f{depth}(): return {called}", space)
    slabs.append(space["f19"]())
    space.clear()

def hand_on(phase, info):
    if armed and phase == "start":
        armed.clear()
        slabs.pop().release()
        allocate_in_new_code()
        slabs.append([tuple([number] * 40) for number in range(200)])

armed = []
gc.callbacks.append(hand_on)
for threshold in range(1, 100):
    allocate_in_new_code()
    ref = slabs[0]
    gc.collect()
    gc.set_threshold(threshold)
    armed.append(True)
    stack = ref.allocation_stack
    gc.set_threshold(700)
    if not armed:
        slabs.pop()
    armed.clear()
    assert [frame.name for frame in stack] == ["f%d" % at for at in range(15, -1, -1)], stack
    slabs.pop().release()
print("sound")
""")
    assert (done.stdout, done.returncode) == ("sound\n", 0), done.stderr[-2000:]
