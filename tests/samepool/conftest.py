# SPDX-License-Identifier: GPL-3.0-or-later
"""Skips with the reason where the libraries that these tests drive were not built."""

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("SAMEPOOL_GOLIB", "SAMEPOOL_OWNCORE") if name not in os.environ]
    for item in items if missing else []:
        item.add_marker(
            pytest.mark.skip(reason=f"{missing[0]} is not set; run ./dev test samepool")
        )
