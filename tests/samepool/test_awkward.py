# SPDX-License-Identifier: GPL-3.0-or-later
"""Awkward texts and numbers of awkward.json, given to each call that takes one: in C, Python over CFFI and SWIG, and
Go, with one answer. C has no text with a NUL inside and no number below zero; there the others agree among themselves.
"""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import slabby
from bindings import core_path, golib
from slabby import Status, _backend, _option_values

TABLE = json.loads((Path(__file__).parent / "awkward.json").read_text(encoding="utf-8"))
NAMES = {key: bytes.fromhex(text) for key, text in TABLE["names"].items()}
VALUES = {key: bytes.fromhex(text) for key, text in TABLE["values"].items()}
TEXTS = [*NAMES.items(), *VALUES.items()]
OPTIONS = ("secure", "max_alloc_latency", "alignment", "degrade_at", "latency_tracking", "audit")
HOT = ("secure", "max_alloc_latency", "degrade_at", "latency_tracking", "health_interval")
# What is written about a pool as JSON, with its name.
KINDS = ("stats", "health", "memory")
LENGTH = 16384
# The numbers that are the sizes of a pool.
SIZES = ("slab_size", "capacity")


def names_in(texts: list[Any]) -> list[Any]:
    return [json.loads(text)["name"] for text in texts]


class C:
    """The interface of C, by ctypes."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(str(core_path()))
        self.library.slabby_destroy.argtypes = [ctypes.c_void_p]
        self.library.slabby_options_destroy.argtypes = [ctypes.c_void_p]
        text: list[Any] = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
        self.library.slabby_options_set_text.argtypes = text

    @contextmanager
    def options(self) -> Iterator[ctypes.c_void_p]:
        options = ctypes.c_void_p()
        assert self.library.slabby_options_create(ctypes.byref(options)) == 0
        yield options
        self.library.slabby_options_destroy(options)

    def made(
        self,
        use: Callable[[ctypes.c_void_p], int] = lambda pool: 0,
        options: ctypes.c_void_p | None = None,
        slab_size: int = 64,
        capacity: int = 4,
    ) -> int:
        """Makes a pool and uses it."""
        pool = ctypes.c_void_p()
        sizes = ctypes.c_uint64(slab_size), ctypes.c_uint64(capacity)
        status: int = self.library.slabby_create(ctypes.byref(pool), *sizes, options, None)
        if status == 0:
            status = use(pool)
            assert self.library.slabby_destroy(pool) == 0
        return status

    def text(self, call: str, first: bytes, second: bytes = b"") -> int:
        with self.options() as options:
            if call == "option":
                status = self.library.slabby_options_set_text(options, first, second, None)
                return status or self.made(options=options)
            if call == "preset":
                status = self.library.slabby_options_preset(options, first, None)
                return status or self.made(options=options)
        if call == "change":
            change = self.library.slabby_set_option_text
            return self.made(lambda pool: change(pool, first, second, None))
        buffer, size = ctypes.create_string_buffer(256), ctypes.c_uint64(256)
        read = self.library.slabby_get_option_text
        return self.made(lambda pool: read(buffer, size, None, pool, first))

    def named(self, name: bytes) -> int | list[Any]:
        texts: list[bytes] = []
        buffer = ctypes.create_string_buffer(LENGTH)

        def write(pool: ctypes.c_void_p) -> int:
            for kind in KINDS:
                call = getattr(self.library, f"slabby_{kind}_json")
                assert call(buffer, ctypes.c_uint64(LENGTH), None, pool) == 0
                texts.append(buffer.value)
            return 0

        with self.options() as options:
            status: int = self.library.slabby_options_set_text(options, b"name", name, None)
            status = status or self.made(write, options)
        return status or names_in(texts)

    def number(self, call: str, value: int) -> int:
        if call in SIZES:
            sizes: dict[str, Any] = {call: value}
            return self.made(**sizes)
        wide = ctypes.c_int64(value)
        if call == "resize":
            resize, count, unsigned = (
                self.library.slabby_resize,
                ctypes.c_uint64(),
                ctypes.c_uint64(value),
            )
            return self.made(lambda pool: resize(ctypes.byref(count), pool, unsigned, None))
        if call == "change":
            option = slabby._options.OPTIONS["health_interval"].id
            change = self.library.slabby_set_option
            return self.made(lambda pool: change(pool, option, wide, None))
        with self.options() as options:
            option = slabby._options.OPTIONS[call].id
            status: int = self.library.slabby_options_set(options, option, wide, None)
            return status or self.made(options=options)


class Python:
    """The package over one backend. Bytes that are no text are passed as os.fsdecode gives them."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.core = _backend.load(backend).core

    def made(
        self,
        use: Callable[[Any], object] = id,
        slab_size: int = 64,
        capacity: int = 4,
        **options: Any,
    ) -> int:
        """Makes a pool and uses it."""
        os.environ["SLABBY_BACKEND"] = self.backend
        try:
            with slabby.Allocator(slab_size, capacity, **options) as pool:
                use(pool)
        except slabby.SlabbyError as error:
            return int(error.status)
        finally:
            del os.environ["SLABBY_BACKEND"]
        return 0

    def text(self, call: str, first: bytes, second: bytes = b"") -> int:
        one, two = os.fsdecode(first), os.fsdecode(second)
        if call == "option":
            options: dict[str, Any] = {one: _Text(two)}
            return self.made(**options)
        if call == "preset":
            return self.made(preset=one)
        if call == "change":
            change = _option_values.write_option
            return self.made(lambda pool: change(self.core, pool, one, _Text(two)))
        return self.made(lambda pool: self.core.slabby_get_option_text(pool, one))

    def named(self, name: bytes) -> int | list[Any]:
        texts: list[str] = []

        def read(pool: Any) -> None:
            texts.extend(getattr(self.core, f"slabby_{kind}_json")(pool) for kind in KINDS)

        return self.made(read, name=os.fsdecode(name)) or names_in(texts)

    def number(self, call: str, value: int) -> int:
        if call in SIZES:
            sizes: dict[str, Any] = {call: value}
            return self.made(**sizes)
        if call == "resize":
            return self.made(lambda pool: pool.resize(value))
        if call == "change":
            option = slabby._options.OPTIONS["health_interval"].id
            return self.made(lambda pool: self.core.slabby_set_option(pool, option, value))
        if call == "max_alloc_latency":  # in seconds, as floating point
            return self.made(max_alloc_latency=value / 1e9)
        options: dict[str, Any] = {call: value}
        return self.made(**options)


class _Text(str):
    """Text of any kind of option, an enumeration's too."""


class Go:
    def __init__(self) -> None:
        self.library = golib()
        for name in ("golib_text", "golib_named", "golib_number"):
            getattr(self.library, name).restype = ctypes.c_int32

    def text(self, call: str, first: bytes, second: bytes = b"") -> int:
        status: int = self.library.golib_text(call.encode(), first, len(first), second, len(second))
        assert status <= 0
        return status

    def named(self, name: bytes) -> int | list[Any]:
        buffer = ctypes.create_string_buffer(LENGTH)
        length: int = self.library.golib_named(name, len(name), buffer, LENGTH)
        if length <= 0:
            return length
        return names_in(buffer.raw[:length].splitlines())

    def number(self, call: str, value: int) -> int:
        status: int = self.library.golib_number(call.encode(), ctypes.c_int64(value))
        assert status <= 0
        return status


@pytest.fixture(scope="module")
def languages() -> dict[str, Any]:
    return {"c": C(), "cffi": Python("cffi"), "swig": Python("swig"), "go": Go()}


def compared(answers: dict[str, Any]) -> Any:
    """The one answer of all."""
    first = next(iter(answers.values()))
    assert all(answer == first for answer in answers.values()), answers
    return first


def ask(languages: dict[str, Any], texts: tuple[bytes, ...], call: Callable[[Any], Any]) -> Any:
    """What all say; with a NUL inside a text that is a refusal, and C is left out."""
    inside = any(b"\0" in text for text in texts)
    asked = {name: call(each) for name, each in languages.items() if not inside or name != "c"}
    answer = compared(asked)
    assert not inside or answer == Status.INVALID_OPTION
    return answer


@pytest.mark.parametrize("key", VALUES)
@pytest.mark.parametrize("option", OPTIONS)
def test_values_of_options(languages: dict[str, Any], option: str, key: str) -> None:
    text = VALUES[key]
    answer = ask(languages, (text,), lambda each: each.text("option", option.encode(), text))
    assert answer in (0, Status.INVALID_OPTION)


@pytest.mark.parametrize("key", VALUES)
@pytest.mark.parametrize("option", HOT)
def test_values_of_hot_options(languages: dict[str, Any], option: str, key: str) -> None:
    text = VALUES[key]
    answer = ask(languages, (text,), lambda each: each.text("change", option.encode(), text))
    assert answer in (0, Status.INVALID_OPTION)


@pytest.mark.parametrize("key", [key for key, _ in TEXTS if key != "plain"])
def test_names_of_presets(languages: dict[str, Any], key: str) -> None:
    text = dict(TEXTS)[key]
    answer = ask(languages, (text,), lambda each: each.text("preset", text))
    assert answer == Status.INVALID_OPTION


@pytest.mark.parametrize("key", NAMES)
def test_names_of_pools_in_json(languages: dict[str, Any], key: str) -> None:
    """What is written is JSON, and each language writes the same name, cut or not."""
    name = NAMES[key]
    answer = ask(languages, (name,), lambda each: each.named(name))
    if isinstance(answer, list):
        assert answer == [name.decode("utf-8", "replace")] * 3 or key in (
            "not UTF-8",
            "half of a pair",
            "overlong",
        )
    else:
        assert answer == Status.INVALID_OPTION and (b"\0" in name or len(name) > 63)


@pytest.mark.parametrize("backend", ["cffi", "swig"])
@pytest.mark.parametrize(
    "key", [key for key, name in NAMES.items() if b"\0" not in name and len(name) < 64]
)
def test_names_of_pools_in_records(backend: str, key: str) -> None:
    """Each line of an audit file is JSON with the name, and each event is text."""
    python = Python(backend)
    written: list[bytes] = []
    texts: list[str] = []

    def use(pool: Any) -> None:
        with tempfile.TemporaryFile() as file:
            pool.audit_write(file.fileno())
            file.seek(0)
            written.extend(file.read().splitlines())
        events = list(pool.events())
        texts.extend(json.loads(json.dumps(event.text)) for event in events)

    assert python.made(use, name=os.fsdecode(NAMES[key]), audit=8) == 0
    names = python.named(NAMES[key])
    assert isinstance(names, list)
    assert [json.loads(line) for line in written][0]["pool"] == names[0]
    assert texts


@pytest.mark.parametrize("call", [*SIZES, "max_capacity", "resize", "change", "max_alloc_latency"])
@pytest.mark.parametrize("value", TABLE["numbers"])
def test_numbers(languages: dict[str, Any], call: str, value: int) -> None:
    """No number becomes another one on its way: a size that does not fit is refused by all."""
    by_type = call in (*SIZES, "resize") and value < 0
    answers = {
        name: each.number(call, value)
        for name, each in languages.items()
        if name != "c" or not by_type
    }
    if by_type:  # Python refuses before it asks the core
        assert all(answer < 0 for answer in answers.values()), answers
    else:
        compared(answers)


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**64, 2**64 + 8, 2**128 + 8, -(2**64) + 8])
def test_numbers_that_only_python_has(value: int) -> None:
    """2^64 + 8 slabs are not 8."""
    for backend in ("cffi", "swig"):
        python = Python(backend)
        for call in (*SIZES, "max_capacity", "resize"):
            assert python.number(call, value) < 0, (backend, call)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -1e-9, 1e300, 2.0**63 / 1e9, -float("inf")]
)
def test_durations_that_only_python_has(value: float) -> None:
    for backend in ("cffi", "swig"):
        assert Python(backend).made(max_alloc_latency=value) == Status.INVALID_OPTION
