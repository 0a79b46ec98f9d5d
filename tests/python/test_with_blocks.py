# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of a with block: bound without a new object, and methods like any other all the same."""

import contextlib
import copy
import gc
import inspect
import sys
import weakref

import pytest
import slabby

# Later versions call the methods without binding them.
BOUND_HERE = sys.version_info < (3, 14)


def test_they_are_like_methods(pool):
    ref = pool.allocate()
    for name in ("__enter__", "__exit__"):
        method, plain = getattr(ref, name), getattr(slabby.SlabRef, name)
        assert inspect.ismethoddescriptor(plain)
        assert method.__self__ is ref
        assert method.__name__ == name
        assert method.__qualname__ == f"SlabRef.{name}"
        assert method.__doc__ == plain.__doc__
        assert method.__text_signature__ == plain.__text_signature__
        assert method == getattr(ref, name) and hash(method) == hash(getattr(ref, name))
        assert method != pool.allocate and weakref.ref(method)() is method
        assert copy.copy(method) == method
        assert repr(method).startswith(f"<built-in method {name} of slabby.SlabRef object")
        assert (
            list(inspect.signature(method).parameters)
            == list(inspect.signature(plain).parameters)[1:]
        )
    assert ref.__enter__ != ref.__exit__
    ref.__exit__(None, None, None)
    assert not ref.is_valid


def test_they_refuse_other_arguments(pool):
    with pool.allocate() as ref:
        for call in (
            lambda: ref.__enter__(1),
            lambda: ref.__enter__(a=1),
            lambda: ref.__exit__(None, None, None, a=1),
            lambda: ref.__exit__(None, None, None, None),
            lambda: slabby.SlabRef.__exit__(ref, None, None, None, None),
            lambda: type(ref.__enter__).__call__(ref.__enter__, 1),
            lambda: type(ref.__exit__).__call__(ref.__exit__, kind=1),
            lambda: slabby.SlabRef.__enter__(pool),
            lambda: slabby.SlabRef.__dict__["__enter__"].__get__(pool, type(pool))(),
            lambda: type(ref.__enter__)(),
        ):
            with pytest.raises(TypeError):
                call()
        assert ref.is_valid
        assert type(ref.__enter__).__call__(ref.__enter__) is ref


def test_one_can_outlive_its_block(pool):
    leave = pool.allocate().__exit__
    ref = weakref.ref(leave.__self__)
    assert pool.stats().used_slabs == 1
    leave(None, None, None)
    assert pool.stats().used_slabs == 0
    leave(None, None, None)
    del leave
    assert ref() is None


def test_many_at_once(pool):
    refs = [pool.allocate() for _ in range(100)]
    methods = [(ref.__enter__, ref.__exit__) for ref in refs for _ in range(5)]
    assert [enter() for enter, _ in methods[::5]] == refs
    with contextlib.ExitStack() as stack:
        for ref in refs:
            assert stack.enter_context(ref) is ref
    assert not any(ref.is_valid for ref in refs)
    del methods


def test_a_cycle_through_one_is_collected():
    pool = slabby.Allocator(64, 10)
    ref = pool.allocate()
    pool.leave = ref.__exit__
    dropped = weakref.ref(pool)
    ref.release()
    del ref, pool
    gc.collect()
    assert dropped() is None


@pytest.mark.skipif(not BOUND_HERE, reason="CPython binds no method for a with block since 3.14")
def test_a_method_is_used_again(pool):
    with pool.allocate() as ref, pool.allocate() as other:
        builtin = type("".upper)
        assert type(ref.__enter__) is type(ref.__exit__) is not builtin
        method = ref.__exit__
        address = id(method)
        del method
        # CPython's allocator might give the same address to the next small object; it gives it to no earlier one.
        between = [object() for _ in range(1000)]
        assert id(other.__enter__) == address
        del between
