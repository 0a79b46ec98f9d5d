# SPDX-License-Identifier: GPL-3.0-or-later
"""One exception for each status, with a natural base and what to do."""

import builtins
import copy
import errno
import os
import pickle
import tomllib
from pathlib import Path

import pytest
import slabby
from slabby._errors import ERRORS
from slabby._raise import make_error

CONTRACT = tomllib.loads(
    (Path(__file__).parents[2] / "bindings" / "contract.toml").read_text(encoding="utf-8")
)
FAILURES = [status for status in CONTRACT["status"] if status["code"] != 0]


@pytest.mark.parametrize("status", FAILURES, ids=lambda status: status["name"])
def test_each_status_has_its_exception(status):
    kind = getattr(slabby, status["name"] + "Error")
    assert issubclass(kind, slabby.SlabbyError)
    assert issubclass(kind, getattr(builtins, status["python"]))
    error = make_error(status["code"])
    assert type(error) is kind
    assert error.status == status["code"]
    assert str(error) and error.hint


def test_no_status_is_missing():
    assert set(ERRORS) == {status["code"] for status in FAILURES}
    assert {status.value for status in slabby.Status} == set(ERRORS) | {0}


def test_an_unknown_status_is_reported():
    error = make_error(-4711)
    assert isinstance(error, slabby.AbiMismatchError)
    assert "-4711" in str(error)


def test_errors_travel_between_processes():
    error = make_error(-6, "text", 5, 1, 4, 2)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is slabby.OptionConflictError
    assert (str(again), again.value, again.minimum, again.maximum) == (
        f"text; {error.hint}",
        5,
        1,
        4,
    )
    assert again.option == error.option == "shards"


@pytest.mark.parametrize(
    "again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy]
)
def test_the_number_of_the_system_travels_along(again):
    error = make_error(-28, "descriptor 4 refused", errno.EPIPE)
    error.add_note("seen by a worker")
    found = again(error)
    assert type(found) is slabby.WriteFailedError and str(found) == str(error)
    assert (found.errno, found.strerror) == (errno.EPIPE, os.strerror(errno.EPIPE))
    assert (found.value, found.__notes__) == (errno.EPIPE, ["seen by a worker"])


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "a" * 64])
def test_a_text_that_is_refused_names_its_option(name):
    with pytest.raises(slabby.InvalidOptionError) as caught:
        slabby.Allocator(64, 1, name=name)
    assert caught.value.option == "name"
    with pytest.raises(slabby.InvalidOptionError) as caught:
        slabby.Allocator(64, 1, preset=name)
    assert caught.value.option is None


class Own(slabby.ClosedError):
    pass


def test_an_error_without_a_text_says_what_it_means(run_script):
    assert str(Own()) == "The pool is closed; make a new Allocator"
    for flags in ((), ("-OO",)):
        done = run_script("import slabby\nprint(slabby.ClosedError(), slabby.SlabbyError)", *flags)
        assert done.stdout.startswith("The pool is closed; make a new Allocator "), flags


def test_errors_explain_the_case(pool):
    ref = pool.allocate()
    ref.release()
    with pytest.raises(slabby.DoubleDeallocationError) as caught:
        ref.release()
    assert f"slab {ref.id}" in str(caught.value) and "test" in str(caught.value)
    assert f"slab {ref.id}" in pool.explain(ref, slabby.Status.USE_AFTER_FREE)


def test_a_refused_call_changes_nothing(pool):
    ref = pool.allocate()
    view = memoryview(ref)
    before = pool.stats()
    with pytest.raises(slabby.PinnedError):
        ref.release()
    after = pool.stats()
    assert ref.is_valid and view[0] == 0
    assert after.used_slabs == before.used_slabs
    assert after.total_deallocations == before.total_deallocations
    view.release()
    ref.release()


@pytest.mark.parametrize(("status", "name"), [("ok", "OK: "), ("in_use", "InUse: ")])
def test_a_long_text_is_about_the_status_that_was_asked_for(status, name):
    """It does not fit the first buffer, so that the core is asked twice."""
    with slabby.Allocator(64, 2, name="long", debug=True) as pool, pool.allocate() as ref:
        text = pool.explain(ref, status)
        assert len(text) > 512 and text.startswith(name)
