# SPDX-License-Identifier: GPL-3.0-or-later
"""Awkward numbers given to what a pool does once it is there (batches, timeouts, labels), and awkward texts in the
environment, which each language hands to the core: one answer from C, Python over CFFI and SWIG, and Go.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import slabby
from slabby import Status
from test_awkward import NAMES, TABLE, VALUES, C, Go, Python, compared

RATE = "SLABBY_GUARD_SAMPLE_RATE"
CAPACITY = 8
LABELS = [0, 1, 2**31, 2**32 + 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
# The longest of the table's timeouts that a test waits for.
SHORT_NS = 65536


class UsesOfC(C):
    def pool(self, use: Callable[[ctypes.c_void_p], int]) -> int:
        def used(pool: ctypes.c_void_p) -> int:
            status = use(pool)
            assert self.library.slabby_reset(pool) == 0
            return status

        return self.made(used, capacity=CAPACITY)

    def one(self, pool: ctypes.c_void_p) -> ctypes.c_uint64:
        ref = ctypes.c_uint64()
        assert self.library.slabby_allocate(ctypes.byref(ref), None, pool) == 0
        return ref

    def batch(self, count: int) -> int:
        refs, call = (ctypes.c_uint64 * CAPACITY)(), self.library.slabby_allocate_batch
        return self.pool(lambda pool: call(refs, None, pool, ctypes.c_uint64(count)))

    def timeout(self, nanoseconds: int, taken: int) -> int:
        ref, call = ctypes.c_uint64(), self.library.slabby_allocate_timeout

        def use(pool: ctypes.c_void_p) -> int:
            for _ in range(taken):
                self.one(pool)
            status: int = call(ctypes.byref(ref), None, pool, ctypes.c_uint64(nanoseconds))
            return status

        return self.pool(use)

    def label(self, value: int) -> int:
        found = ctypes.c_uint64()

        def use(pool: ctypes.c_void_p) -> int:
            ref = self.one(pool)
            assert self.library.slabby_set_label(pool, ref, ctypes.c_uint64(value)) == 0
            status: int = self.library.slabby_get_label(ctypes.byref(found), pool, ref)
            return status

        assert self.pool(use) == 0
        return found.value


class UsesOfPython(Python):
    def batch(self, count: int) -> int:
        def use(pool: slabby.Allocator) -> None:
            with pool.allocate_batch(count) as batch:
                assert len(batch) == count

        return self.made(use, capacity=CAPACITY)

    def timeout(self, nanoseconds: int, taken: int) -> int:
        """In seconds, as floating point."""

        def use(pool: slabby.Allocator) -> None:
            held = [pool.allocate() for _ in range(taken)]
            try:
                pool.allocate(timeout=nanoseconds / 1e9).release()
            finally:
                for ref in held:
                    ref.release()

        return self.made(use, capacity=CAPACITY)

    def label(self, value: int) -> int:
        found: list[int] = []

        def use(pool: slabby.Allocator) -> None:
            with pool.allocate() as ref:
                ref.label = value
                found.append(ref.label)

        assert self.made(use, capacity=CAPACITY) == 0
        return found[0]


class UsesOfGo(Go):
    def batch(self, count: int) -> int:
        return self.number("batch", count)

    def timeout(self, nanoseconds: int, taken: int) -> int:
        return self.number("timeout" if taken == 0 else "timeout of a full pool", nanoseconds)

    def label(self, value: int) -> int:
        call, found = self.library.golib_labelled, ctypes.c_uint64()
        call.restype = ctypes.c_int32
        assert call(ctypes.c_uint64(value), ctypes.byref(found)) == 0
        return found.value


@pytest.fixture(scope="module")
def languages() -> dict[str, Any]:
    python = {backend: UsesOfPython(backend) for backend in ("cffi", "swig")}
    return {"c": UsesOfC(), **python, "go": UsesOfGo()}


def ask(languages: dict[str, Any], call: Callable[[Any], int], value: int) -> dict[str, int]:
    """C has no number below zero where the others take one."""
    return {name: call(each) for name, each in languages.items() if value >= 0 or name != "c"}


@pytest.mark.parametrize("count", [*TABLE["numbers"], CAPACITY, CAPACITY + 1])
def test_counts_of_batches(languages: dict[str, Any], count: int) -> None:
    answers = ask(languages, lambda each: each.batch(count), count)
    if count < 0:  # Python refuses before it asks the core
        assert all(answer < 0 for answer in answers.values()), answers
    else:
        assert compared(answers) == (0 if 1 <= count <= CAPACITY else Status.INVALID_BATCH_SIZE)


@pytest.mark.parametrize("count", [2**63, 2**64 - 1, 2**64, 2**64 + 8, 2**128 + 8, -(2**64) + 8])
def test_counts_of_batches_that_only_python_has(languages: dict[str, Any], count: int) -> None:
    assert languages["cffi"].batch(count) == languages["swig"].batch(count) < 0


@pytest.mark.parametrize("nanoseconds", [value for value in TABLE["numbers"] if value >= 0])
def test_timeouts_where_a_slab_is_free(languages: dict[str, Any], nanoseconds: int) -> None:
    """No timeout becomes a refusal, or an end of time that has passed."""
    assert compared(ask(languages, lambda each: each.timeout(nanoseconds, 0), nanoseconds)) == 0


@pytest.mark.parametrize(
    "nanoseconds", [value for value in TABLE["numbers"] if 0 <= value <= SHORT_NS]
)
def test_timeouts_of_a_full_pool(languages: dict[str, Any], nanoseconds: int) -> None:
    answer = compared(ask(languages, lambda each: each.timeout(nanoseconds, CAPACITY), nanoseconds))
    assert answer == (Status.OUT_OF_MEMORY if nanoseconds == 0 else Status.TIMEOUT)


@pytest.mark.parametrize("nanoseconds", [value for value in TABLE["numbers"] if value < 0])
def test_timeouts_below_zero(languages: dict[str, Any], nanoseconds: int) -> None:
    """A duration of Go that has passed tries once, as a deadline of its contexts does; Python refuses the mistake."""
    for backend in ("cffi", "swig"):
        assert languages[backend].timeout(nanoseconds, 0) == Status.INVALID_ARGUMENT
    assert languages["go"].timeout(nanoseconds, 0) == 0
    assert languages["go"].timeout(nanoseconds, CAPACITY) == Status.OUT_OF_MEMORY


@pytest.mark.parametrize(
    "seconds", [float("nan"), -float("inf"), -1e-9, -(2.0**63), "1", b"1", True, [1], 1j]
)
def test_timeouts_that_only_python_has(languages: dict[str, Any], seconds: Any) -> None:
    for backend in ("cffi", "swig"):

        def use(pool: slabby.Allocator) -> None:
            with pytest.raises((slabby.InvalidArgumentError, TypeError)):
                pool.allocate(timeout=seconds)

        assert languages[backend].made(use, capacity=CAPACITY) == 0


@pytest.mark.parametrize("label", LABELS)
def test_labels(languages: dict[str, Any], label: int) -> None:
    """What is read is what was written: no sign, and no number of floating point in between."""
    assert compared(ask(languages, lambda each: each.label(label), label)) == label


@pytest.mark.parametrize("label", [-1, -(2**63), 2**64, 2**128 + 1, 1.5, "1", None])
def test_labels_that_only_python_has(languages: dict[str, Any], label: Any) -> None:
    for backend in ("cffi", "swig"):

        def use(pool: slabby.Allocator) -> None:
            with pool.allocate() as ref:
                ref.label = 7
                with pytest.raises((ValueError, TypeError)):
                    ref.label = label
                assert ref.label == 7

        assert languages[backend].made(use, capacity=CAPACITY) == 0


@contextmanager
def variable(name: str, value: bytes) -> Iterator[None]:
    os.environb[name.encode()] = value
    try:
        yield
    finally:
        del os.environb[name.encode()]


@pytest.mark.parametrize("key", [key for key, text in VALUES.items() if b"\0" not in text])
def test_rates_of_the_environment(languages: dict[str, Any], key: str) -> None:
    """A variable of the core means the same whatever language makes the pool, and what it cannot mean is refused."""
    with variable(RATE, VALUES[key]):
        answer = compared({name: each.number("slab_size", 64) for name, each in languages.items()})
    assert answer == (0 if key in ("one",) else Status.INVALID_OPTION)


@pytest.mark.parametrize("key", [key for key, name in NAMES.items() if b"\0" not in name])
def test_backends_of_the_environment(key: str) -> None:
    """An empty variable is none."""
    with variable("SLABBY_BACKEND", NAMES[key]):
        if NAMES[key] == b"":
            slabby.Allocator(64, CAPACITY).close()
            return
        with pytest.raises(ValueError, match="choose 'cffi' or 'swig'") as refusal:
            slabby.Allocator(64, CAPACITY)
    str(refusal.value).encode()
