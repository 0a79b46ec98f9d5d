# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools with something to see, a server for them, and the browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import slabby
from browser import Browser
from slabby.server import Server, serve

TOKEN = "secret"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    for item in items if missing else []:
        reason = f"{missing[0]} is not installed; ./dev test --full page installs it"
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script, which ./dev test page fetches from npm."""
    file = os.environ.get("SLABBY_AXE", "")
    if not Path(file).is_file():
        pytest.skip(
            "axe-core was not fetched: npm is not installed or its registry does not answer"
        )
    return Path(file).read_text("utf-8")


@pytest.fixture(scope="module")
def pools() -> Iterator[dict[str, slabby.Allocator]]:
    made = {
        "orders": slabby.Allocator(
            4096, 40, name="orders", debug=True, finalizers=True, circuit_breaker_threshold=5
        ),
        "bodies": slabby.Allocator(65536, 8, name="bodies"),
    }
    yield made
    for pool in made.values():
        pool.reset()
        pool.close()


@pytest.fixture(scope="module")
def server(pools: dict[str, slabby.Allocator]) -> Iterator[Server]:
    server = serve(pools.values(), "127.0.0.1:0", token=TOKEN)
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    browser.open(server.url)
    browser.wait("return document.getElementById('connection').textContent === 'live'")
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Browser]:
    """A small dark screen."""
    browser = Browser(tmp_path_factory.mktemp("profile"), dark=True, phone=True)
    browser.open(server.url)
    browser.wait("return document.getElementById('connection').textContent === 'live'")
    yield browser
    browser.close()
