# SPDX-License-Identifier: GPL-3.0-or-later
"""`pytest --slabby-leaks`: a test that leaves a slab behind fails.

A slab is left behind if it was allocated for a test (in it, or by its fixtures of function scope) and is live after
the test and all its fixtures, or if it was dropped without a release. Slabs of fixtures with a wider scope belong to
these. Pools of every language of the process count. A test that may leave slabs has the mark `slabby_leaks_allowed`.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from slabby import Allocator, Event, EventFeed, Live

OPTION = "--slabby-leaks"
MARK = "slabby_leaks_allowed"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("slabby", "slabs of slabby")
    group.addoption(
        OPTION, action="store_true", help="fail a test that leaves a slab of slabby behind"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}: this test may leave slabs of slabby behind")
    if config.getoption(OPTION):
        config.pluginmanager.register(LeakCheck(), "slabby-leaks")


def _pools() -> Iterator[Allocator]:
    """Every open pool of the process, and those that this interpreter closed and still uses."""
    import slabby
    from slabby._allocator import allocator_of
    from slabby._leaks import allocators

    listed = slabby.pools()
    addresses = {info.allocator_address for info in listed}
    for pool in allocators():
        if pool._address not in addresses:
            addresses.add(pool._address)
            yield pool
    for info in listed:
        try:
            yield allocator_of(info.allocator_address, slabby.instance_id())
        except slabby.SlabbyError:
            continue  # it was destroyed in between


def _live() -> dict[tuple[int, int], str]:
    """Every live slab of every open pool, with its description."""
    import slabby

    found: dict[tuple[int, int], str] = {}
    for pool in _pools():
        for slab in pool.live():
            if slab.state != slabby.SlabState.GRANTED:
                # One of allocate_fast() has no reference.
                key = slab.ref or -1 - slab.id
                found[pool._address, key] = _describe(pool, slab)
    return found


def _describe(pool: Allocator, slab: Live) -> str:
    name = pool._name_of(slab.ref) if slab.ref else f"{slab.id} of allocate_fast()"
    text = (
        f"slab {name} of {f'pool {pool.name!r}' if pool.name else 'a pool without a name'} is live"
    )
    stack = pool._stack_of(slab.ref) if slab.ref else None
    return text + ("" if stack is None else ", allocated at:\n" + "".join(stack.format()).rstrip())


class LeakCheck:
    """Compares the live slabs before and after each test, and records reports of dropped slabs."""

    def __init__(self) -> None:
        import slabby

        self._feed: EventFeed = slabby.EventFeed()
        self._before: set[tuple[int, int]] = set()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        gc.collect()
        self._before = set(_live())
        self._feed.read()
        yield

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        """Slabs that a fixture of a wider scope allocates belong to no test."""
        if fixturedef.scope == "function":
            return (yield)
        before = set(_live())
        result = yield
        self._before |= set(_live()) - before
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        yield
        gc.collect()
        live = {key: text for key, text in _live().items() if key not in self._before}
        dropped = [
            event for event in self._feed.read() if _is_leak(event) and self._is_of_the_test(event)
        ]
        if (live or dropped) and item.get_closest_marker(MARK) is None:
            pytest.fail(_report(list(live.values()), dropped), pytrace=False)

    def _is_of_the_test(self, event: Event) -> bool:
        """False for a slab that was live before the test: that of a test that failed, for example, which pytest drops
        with its traceback in the next one. Each counts once, because a later pool may have the same numbers."""
        key = (event.allocator_address, event.ref)
        if key not in self._before:
            return True
        self._before.discard(key)
        return False

    def pytest_unconfigure(self) -> None:
        self._feed.close()


def _is_leak(event: Event) -> bool:
    import slabby

    return event.code == slabby.EventCode.LEAK


def _report(live: list[str], dropped: list[Event]) -> str:
    lines = [f"the test left {len(live) + len(dropped)} slabs behind; release them, or use `with`:"]
    lines += [f"- {text}" for text in live]
    lines += [f"- {event.text}" for event in dropped]
    lines.append("the pool's option finalizers=True adds where a slab was allocated")
    return "\n".join(lines)
