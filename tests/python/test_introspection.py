# SPDX-License-Identifier: GPL-3.0-or-later
"""What help(), inspect and dir() show of the package: everything that is public, with options, types and defaults."""

from __future__ import annotations

import inspect
import io
import pydoc
import tomllib
from pathlib import Path

import pytest
import slabby

CONTRACT = tomllib.loads(
    (Path(__file__).parents[2] / "bindings" / "contract.toml").read_text(encoding="utf-8")
)
OPTIONS = {option["name"]: option for option in CONTRACT["option"]}


def shown(subject: object) -> str:
    output = io.StringIO()
    pydoc.Helper(output=output).help(subject)
    return output.getvalue()


@pytest.fixture(scope="module")
def page() -> str:
    return shown(slabby)


@pytest.mark.parametrize("name", [name for name in slabby.__all__ if name != "__version__"])
def test_help_shows_every_public_name(page, name):
    assert name in page
    assert name in dir(slabby)
    subject = getattr(slabby, name)
    if callable(subject):
        assert subject.__module__ == "slabby", subject.__module__
        assert (subject.__doc__ or "").strip()


def test_a_star_import_brings_what_is_public():
    names: dict[str, object] = {}
    exec("from slabby import *", names)
    assert set(slabby.__all__) <= set(names)


@pytest.mark.parametrize("name", OPTIONS)
def test_help_shows_each_option_with_its_range_and_default(name):
    text = shown(slabby.Options)
    assert f"\n |  {name}\n" in text
    about = text.split(f"\n |  {name}\n")[1][:300]
    option = OPTIONS[name]
    assert "default" in about
    if option["kind"] in ("count", "bytes", "percent"):
        assert f"{option['minimum']} to {option['maximum']}" in about
    if option["kind"] == "duration":
        assert f"{option['maximum'] / 1e9:g} s" in about


def test_help_of_options_shows_no_methods_of_dict():
    text = shown(slabby.Options)
    assert "setdefault" not in text and "popitem" not in text
    # Type checkers take it for a TypedDict, whose call is a dict.
    assert slabby.Options(secure=True) == {"secure": True}


@pytest.mark.parametrize(
    "kind", [slabby.Allocator, slabby.SlabRef, slabby.FastSlab, slabby.Acquisition, slabby.Batch]
)
def test_methods_have_signatures_and_documentation(kind):
    for name, method in inspect.getmembers(kind, inspect.isroutine):
        if name.startswith("_") or name in dir(list):
            continue
        parameters = list(inspect.signature(method).parameters)
        if not inspect.ismethod(method):
            assert parameters[0] == "self", (name, parameters)
        assert (method.__doc__ or "").strip(), name


def test_defaults_are_shown():
    assert str(inspect.signature(slabby.Allocator.allocate)) == "(self, /, timeout=0)"
    assert str(inspect.signature(slabby.Allocator.acquire)) == "(self, /, timeout=None)"


RECORDS = (
    *(slabby.AuditRecord, slabby.Event, slabby.Fault, slabby.Finding, slabby.Health, slabby.Live),
    *(slabby.Memory, slabby.PoolInfo, slabby.Sample, slabby.Stats, slabby.ViewInfo),
)


def test_fields_of_records_are_documented():
    text = shown(slabby.Stats)
    assert "Slabs of the pool that are in users' hands" in text
    for kind in RECORDS:
        for name in kind.__match_args__:
            assert getattr(kind, name).__doc__, f"{kind.__name__}.{name} says nothing"


def test_an_unknown_option_leads_to_something_that_is_installed():
    with pytest.raises(TypeError, match=r"did you mean 'secure'\? help\(slabby.Options\)"):
        slabby.Allocator(64, 1, secur=True)


def test_a_pool_is_a_page_in_a_notebook(pool):
    page = pool._repr_html_()
    assert "test" in page and "4,096" in page and "100" in page
    with slabby.Allocator(64, 3, name="<b>&") as other:
        assert "<b>&" not in other._repr_html_()
        assert "&lt;b&gt;&amp;" in other._repr_html_()


@pytest.mark.parametrize("where", [0.1, 0.5, 1])
def test_enumerations_are_whole_also_in_the_middle_of_their_import(run_script, where):
    """A destructor, the collector or the handler of a signal may look at a pool at any moment."""
    done = run_script(
        f"""
import importlib.util, sys
import slabby

pool = slabby.Allocator(64, 1, name="seen")
path = importlib.util.find_spec("slabby._enums").origin
with open(path, encoding="utf-8") as file:
    at = max(1, int(len(file.readlines()) * {where}) - 5)
seen = []

class Looks:
    def __del__(self):
        sys.settrace(None)
        seen.extend((repr(pool), pool.stats().pool_state, slabby.Trend.STABLE))

looks = Looks()

def trace(frame, event, _):
    global looks
    if event == "line" and frame.f_code.co_filename == path and frame.f_lineno >= at:
        looks = None
    return trace

sys.settrace(trace)
state = pool.stats().pool_state
assert seen[0].startswith("<Allocator seen: 1 x 64 bytes"), seen
assert seen[1] is state is slabby.PoolState.OPEN, seen
assert seen[2] is slabby.Trend.STABLE
from slabby import _enums
assert _enums is sys.modules["slabby._enums"] and _enums.PoolState is slabby.PoolState
print("well")
"""
    )
    assert (done.stdout, done.stderr) == ("well\n", "")
