# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions of slabby.h as both backends offer them: the same names, numbers and refusals."""

import re
import tomllib
from pathlib import Path

import pytest
import slabby
from slabby import _backend

HEADER = Path(__file__).parents[2] / "core" / "include" / "slabby" / "slabby.h"
WIDE = 2**64 - 1


@pytest.fixture(params=_backend.NAMES)
def core(request):
    return _backend.load(request.param).core


def test_every_function_of_the_header_is_there(core):
    text = HEADER.read_text(encoding="utf-8")
    declared = set(re.findall(r"^[\w ]+[ *](slabby_\w+)\(", text, flags=re.MULTILINE))
    # Callbacks on foreign threads are not for Python, nor leases, which its own code would have to use.
    unbound = {"callback", "lease", "out_lease"}
    contract = tomllib.loads(
        (HEADER.parents[3] / "bindings/contract.toml").read_text(encoding="utf-8")
    )
    declared -= {f["name"] for f in contract["function"] if unbound & set(f["roles"].values())}
    offered = {name for name in dir(core) if name.startswith("slabby_")}
    assert len(declared) > 50
    assert declared - offered == set()


def test_64_bits_stay_64_bits(core, pool):
    with pool.allocate() as ref:
        core.slabby_set_label(pool, ref.ref, WIDE)
        assert core.slabby_get_label(pool, ref.ref) == WIDE == ref.label
        assert core.slabby_data(pool, ref.ref) == ref.address
        assert core.slabby_id(pool, ref.ref) == ref.id
        assert core.slabby_is_valid(pool, ref.ref) == 1
        assert core.slabby_is_valid(pool, ref.ref ^ 2**63) == 0
        assert core.slabby_ref_text(pool, ref.ref) in repr(ref)
        record, count, cursor = core.slabby_live_next(0, pool)
        assert (count, record[1], record[4]) == (1, ref.ref, WIDE)
        assert core.slabby_live_next(cursor, pool)[1] == 0


def test_pins_and_releases_by_number(core, pool):
    ref = pool.allocate()
    value = ref.detach()
    core.slabby_pin(pool, value)
    with pytest.raises(slabby.PinnedError):
        core.slabby_release(pool, value)
    core.slabby_unpin(pool, value)
    with pytest.raises(slabby.InvalidArgumentError):
        core.slabby_unpin(pool, value)
    core.slabby_release(pool, value)
    with pytest.raises(slabby.DoubleDeallocationError):
        core.slabby_release_deferred(pool, value)


def test_batches_by_number(core, pool):
    refs = core.slabby_allocate_batch(pool, 10)
    values = [ref.detach() for ref in refs]
    assert core.slabby_release_batch(pool, values[:4]) == (4, 0)
    released, status = core.slabby_release_batch(pool, values)
    assert (released, status) == (6, slabby.Status.DOUBLE_DEALLOCATION)
    assert core.slabby_release_batch(pool, []) == (0, 0)


def test_the_same_words_and_records(core, pool):
    stats = slabby.Stats._of(core.slabby_get_stats(pool))
    assert stats == pool.stats()
    assert slabby.Memory._of(core.slabby_get_memory(pool)) == pool.memory()
    assert slabby.ViewInfo._of(core.slabby_view(pool)) == pool.view()
    assert core.slabby_handle(pool) == pool.handle()
    assert core.slabby_size(pool) == 4096
    assert core.slabby_status_name(-9) == "OutOfMemory"
    assert core.slabby_status_name(-999) == "Unknown"
    assert core.slabby_status_message(0)
    # Longer than the first try at a text.
    assert core.slabby_stats_json(pool) == pool.stats_json()
    assert len(pool.stats_json()) > 512
    assert core.slabby_version() == slabby.core_version()
    assert core.slabby_abi_version() == slabby.abi_version()


def test_options_of_the_builder(core):
    options = core.slabby_options_create()
    core.slabby_options_preset(options, "default")
    core.slabby_options_set(options, 2, 4)
    core.slabby_options_set_text(options, "alignment", "128")
    with pytest.raises(slabby.InvalidOptionError) as caught:
        core.slabby_options_set(options, 2, 2**62)
    assert (caught.value.option, caught.value.value) == ("shards", 2**62)
    with pytest.raises(slabby.InvalidOptionError):
        core.slabby_options_set_text(options, "alignment", "ä")
    with pytest.raises(slabby.InvalidOptionError):
        core.slabby_options_preset(options, "no such preset")
    handle = core.slabby_create(64, 10, options)
    core.slabby_options_destroy(options)
    core.slabby_options_destroy(None)
    pool = slabby.Allocator.adopt(handle, slabby.instance_id())
    assert (pool.get_option("shards"), pool.get_option("alignment")) == (4, 128)
    # Two owners: the one of create, given back here, and the one of adopt.
    core.slabby_abandon(pool)
    pool.allocate().release()


def test_null_options_mean_defaults(core):
    handle = core.slabby_create(64, 10, None)
    pool = slabby.Allocator.adopt(handle, slabby.instance_id())
    core.slabby_destroy(pool)
    assert pool.get_option("secure") is False


@pytest.mark.parametrize("wrong", [5, "pool", None, object()])
def test_only_pools_are_pools(core, wrong):
    with pytest.raises(TypeError, match="slabby.Allocator"):
        core.slabby_get_stats(wrong)


@pytest.mark.parametrize("wrong", [-1, 2**64, "1", None])
def test_only_references_are_references(core, pool, wrong):
    with pytest.raises((TypeError, OverflowError)):
        core.slabby_release(pool, wrong)
    with pytest.raises((TypeError, OverflowError)):
        core.slabby_release_batch(pool, [wrong])


def test_findings_and_cursors_are_lists(core, pool):
    assert core.slabby_verify(pool, 0) == ([], 0)
    assert core.slabby_verify(pool, 5) == ([], 0)
