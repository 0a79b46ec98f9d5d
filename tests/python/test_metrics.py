# SPDX-License-Identifier: GPL-3.0-or-later
"""The open pools of the process, their labels, and the text of their metrics."""

import pytest
import slabby


def listed(pool):
    """The entry of a pool in the list, or None."""
    address = pool.handle()[0]
    found = [info for info in slabby.pools() if info.allocator_address == address]
    assert len(found) <= 1
    return found[0] if found else None


def test_open_pools_are_listed():
    pool = slabby.Allocator(64, 10, name="listed pool")
    info = listed(pool)
    assert info.name == "listed pool"
    assert info.label == slabby.pool_label(pool)
    assert info.label.startswith("listed_pool~")
    again = slabby.Allocator.adopt(info.allocator_address, slabby.instance_id())
    assert slabby.pool_label(again) == info.label
    pool.close()
    assert listed(pool) is None


def test_text_of_one_pool_and_of_all():
    one = slabby.Allocator(64, 10, name="north")
    two = slabby.Allocator(64, 20, name="south")
    with one.allocate():
        live = f'slabby_slabs{{pool="{slabby.pool_label(one)}",state="live"}} 1\n'
        text = slabby.metrics_text(one)
        assert live in text
        assert slabby.pool_label(two) not in text
        assert text.endswith("\n# EOF\n")
        everything = slabby.metrics_text()
        assert live in everything
        assert f'slabby_capacity_slabs{{pool="{slabby.pool_label(two)}"}} 20\n' in everything
        assert everything.endswith("\n# EOF\n")


def test_what_is_no_pool_is_refused():
    with pytest.raises(TypeError, match="Allocator"):
        slabby.metrics_text("orders")
    with pytest.raises(TypeError, match="Allocator"):
        slabby.pool_label(None)
