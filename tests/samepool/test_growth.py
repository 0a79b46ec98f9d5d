# SPDX-License-Identifier: GPL-3.0-or-later
"""A growth that the system refuses says the same in each language, and changes nothing."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import slabby
from bindings import golib
from slabby import Status

GIB = 1 << 30
CAPACITY = 4096
# Far above what anything else in this process could want meanwhile, and below what the pool wants.
ALLOWED = 1024 * GIB


def charged() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    pytest.skip("/proc/self/status does not tell what RLIMIT_DATA counts")


@contextmanager
def limited() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = charged() + ALLOWED
    if hard not in (-1, resource.RLIM_INFINITY) and hard < allowed:
        pytest.skip(f"RLIMIT_DATA is {hard} bytes at most here")
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def text_of_python(backend: str) -> str:
    os.environ["SLABBY_BACKEND"] = backend
    try:
        pool = slabby.Allocator(GIB, 1, max_capacity=CAPACITY, shards=4)
    finally:
        del os.environ["SLABBY_BACKEND"]
    with pool:
        before = charged()
        with limited(), pytest.raises(slabby.NoSystemMemoryError) as refusal:
            pool.resize(CAPACITY)
        assert pool.stats().total_slabs == 1
        assert abs(charged() - before) < GIB
        pool.allocate().release()
        pool.resize(2)
    return str(refusal.value)


def text_of_go() -> str:
    text = ctypes.create_string_buffer(512)
    with limited():
        status: int = golib().golib_grown(ctypes.c_int64(GIB), CAPACITY, text, len(text))
    assert status == Status.NO_SYSTEM_MEMORY
    return text.value.decode()


def test_a_refused_growth_says_the_same_in_each_language() -> None:
    texts = {backend: text_of_python(backend) for backend in ("cffi", "swig")}
    texts["go"] = text_of_go()
    first = texts["cffi"]
    assert "bytes for further slabs (errno 12, ENOMEM); lower the capacity" in first
    assert all(first in text for text in texts.values()), texts
