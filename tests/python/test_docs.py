# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python blocks of the documentation run as written, those of one page one after the other."""

from __future__ import annotations

import gc

import pytest
import slabby
from docs_examples import DOCS, PAGES, blocks

# What blocks need beside the standard library.
EXTRAS = ("numpy", "pyarrow")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_and_leaves_no_slab(page):
    for extra in EXTRAS:
        pytest.importorskip(extra)
    found = blocks(page)
    assert found, f"{page} has no blocks"
    names: dict[str, object] = {"__name__": "__main__"}
    before = len(slabby.pools())
    for line, text in found:
        # The page's own lines in the traceback.
        exec(compile("\n" * (line - 1) + text, str(DOCS / page), "exec"), names)
    names.clear()
    gc.collect()
    assert len(slabby.pools()) == before


def test_the_page_of_buffers_names_what_it_compares():
    text = (DOCS / "python-buffers.md").read_text(encoding="utf-8")
    for peer in ("bytearray", "mmap", "shared_memory", "numpy"):
        assert f"## From {peer}" in text
