# SPDX-License-Identifier: GPL-3.0-or-later
"""The live page in a browser, as a person uses it."""

from __future__ import annotations

import gc
import json
import re
import threading
import time
import urllib.request
import warnings
from typing import Any

import pytest
import slabby
from browser import WAIT_LIMIT_S, Browser
from conftest import TOKEN
from slabby.server import Server, serve

Pools = dict[str, slabby.Allocator]
TAB, ENTER, DOWN, UP = "\ue004", "\ue007", "\ue015", "\ue013"
SHOWN = """return Object.fromEntries([...document.querySelectorAll("[data-field]")]
    .map((each) => [each.dataset.field, each.dataset.value]))"""
PATH = "return document.querySelector('#chart-{} path.m0')?.getAttribute('d') ?? ''"
# What may change between the page's question and ours, although nobody uses the pool.
MOVING = ("alloc_latency", "recent_trend")


def stats(server: Server, pool: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}stats?pool={pool}") as reply:
        found: dict[str, Any] = json.load(reply)["pools"][0]
        return found


def choose(browser: Browser, pool: str) -> None:
    browser.run(f"location.hash = {json.dumps(pool)}")
    browser.wait(f"return document.getElementById('name').textContent === {json.dumps(pool)}")


def shown_as(value: object) -> str:
    """A value of /stats as JavaScript writes it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def differences(browser: Browser, server: Server, name: str) -> list[str]:
    """The fields that the page shows otherwise than the server has them."""
    shown, expected = browser.run(SHOWN), stats(server, name)
    assert len(shown) > 10
    wrong = []
    for field, text in shown.items():
        snapshot, _, key = field.partition(".")
        if not key.startswith(MOVING) and text != shown_as(expected[snapshot][key]):
            wrong.append(f"{field}: {text}")
    return wrong


def test_numbers_are_those_of_the_server(browser: Browser, server: Server, pools: Pools) -> None:
    held = pools["orders"].allocate_batch(7)
    browser.wait(
        "return document.querySelector('[data-field=\"stats.used_slabs\"]').dataset.value === '7'"
    )
    for name in pools:
        choose(browser, name)
        end = time.monotonic() + WAIT_LIMIT_S
        while (wrong := differences(browser, server, name)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not wrong
    for ref in held:
        ref.release()
    choose(browser, "orders")
    assert browser.problems() == []


def test_charts_move_under_load(browser: Browser, pools: Pools) -> None:
    allocated = (
        "return +document.querySelector('[data-field=\"stats.total_allocations\"]').dataset.value"
    )
    before, path = browser.run(allocated), browser.run(PATH.format("rate"))
    ended = threading.Event()

    def load() -> None:
        while not ended.wait(0.001):
            pools["orders"].allocate().release()

    thread = threading.Thread(target=load)
    thread.start()
    browser.wait(f"{allocated} > {before + 10}")
    browser.wait("return parseFloat(document.getElementById('rate').textContent) > 0")
    ended.set()
    thread.join()
    after = browser.run(PATH.format("rate"))
    assert after != path and after.startswith("M")
    label = browser.run(
        "return document.querySelector('#chart-rate svg').getAttribute('aria-label')"
    )
    assert label.startswith("Allocations a second: cpu cache ")


def test_exhaustion_turns_red_and_says_what_to_do(browser: Browser, pools: Pools) -> None:
    calm = "return getComputedStyle(document.getElementById('state')).backgroundColor"
    before = browser.run(calm)
    held = pools["orders"].allocate_batch(40)
    browser.wait("return document.getElementById('pool').className === 'exhausted'")
    reasons = browser.run("return document.getElementById('reasons').innerText")
    assert "No slab is free." in reasons and "switch heap_fallback on" in reasons
    red, green, blue = map(int, re.findall(r"\d+", browser.run(calm))[:3])
    assert red > 1.5 * max(green, blue) and browser.run(calm) != before
    assert "exhausted" in browser.run("return document.title")
    assert "exhausted" in browser.run(
        "return document.querySelector('nav [aria-current]').innerText"
    )
    # Then so many refusals that the breaker opens.
    for _ in range(5):
        with pytest.raises(slabby.SlabbyError):
            pools["orders"].allocate()
    browser.wait("return document.getElementById('state').textContent === 'not ready'")
    browser.wait("return document.getElementById('breaker-history').innerText.includes('opened')")
    for ref in held:
        ref.release()
    pools["orders"].breaker_force(slabby.BreakerMode.DISABLED)
    browser.wait("return document.getElementById('pool').className === ''")


def test_nearly_full_is_a_warning(browser: Browser, pools: Pools) -> None:
    choose(browser, "orders")
    held = pools["orders"].allocate_batch(37)
    browser.wait("return document.getElementById('pool').className === 'nearly-full'")
    reasons = browser.run("return document.getElementById('reasons').innerText")
    assert "More than 90 % of the slabs are live." in reasons and "raise the capacity" in reasons
    assert browser.run("return document.getElementById('state').textContent") == "warning"
    listed = browser.run("return document.querySelector('nav [aria-current]').innerText")
    assert "92 % used, nearly full" in listed  # 37 of 40, rounded down
    for ref in held:
        ref.release()
    browser.wait("return document.getElementById('pool').className === ''")


def test_the_theme_by_keyboard(browser: Browser, server: Server) -> None:
    """The system of this browser prefers light."""
    ground = "return getComputedStyle(document.body).backgroundColor === '{}'"
    light, dark = ground.format("rgb(244, 245, 247)"), ground.format("rgb(18, 21, 27)")
    browser.run("document.activeElement.blur(); document.querySelector('.skip').focus()")
    browser.press(TAB)
    label = "return document.activeElement.labels[0].textContent + document.activeElement.value"
    assert browser.run(label) == "Themesystem" and browser.run(light)
    browser.press(DOWN + DOWN)
    assert browser.run(label) == "Themedark" and browser.run(dark)
    browser.open(server.url)
    browser.wait("return document.getElementById('connection').textContent === 'live'")
    assert browser.run(dark)
    browser.run("document.getElementById('theme').focus()")
    browser.press(UP)
    assert browser.run(label) == "Themelight" and browser.run(light)
    browser.press(UP)
    assert browser.run(label) == "Themesystem" and browser.run(light)


def lose(pool: slabby.Allocator) -> None:
    pool.allocate()


def test_events_leaks_and_stacks(browser: Browser, pools: Pools) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        lose(pools["orders"])
        gc.collect()
    browser.wait("return document.getElementById('leaks').innerText.includes('in lose')")
    browser.wait("return document.getElementById('events').innerText.includes('leak')")
    held = pools["orders"].allocate()
    browser.run("document.getElementById('stacks').open = true")
    browser.wait(
        "return document.getElementById('stack-groups').innerText.includes('test_events_leaks_and_stacks')"
    )
    browser.run("document.getElementById('stacks').open = false")
    held.release()


def test_keyboard(browser: Browser, pools: Pools) -> None:
    choose(browser, "orders")
    browser.run("document.activeElement.blur(); document.querySelector('.skip').focus()")
    browser.press(TAB + TAB + TAB)
    focused = "return document.activeElement.textContent"
    assert browser.run(focused).startswith("bodies")
    used = "return document.querySelector('[data-field=\"stats.used_slabs\"]').dataset.value"
    with pools["orders"].allocate():
        browser.wait(f"{used} === '1'")  # the page has refreshed under the focus
    browser.wait(f"{used} === '0'")
    assert browser.run(focused).startswith("bodies")
    browser.press(ENTER)
    browser.wait("return document.getElementById('name').textContent === 'bodies'")
    assert browser.run("return document.activeElement.id") == "main"
    choose(browser, "orders")


def test_options_are_changed_with_the_token(browser: Browser, pools: Pools) -> None:
    change = """const set = (id, value) => (document.getElementById(id).value = value);
        set("option", "secure"); set("token", arguments[0]); set("value", arguments[1]);
        document.querySelector("#change button").click()"""
    said = "return document.getElementById('changed').textContent.includes({!r})"
    browser.run(change, "wrong", "on")
    browser.wait(said.format("needs the header"))
    assert pools["orders"].get_option("secure") is False
    browser.run(change, TOKEN, "perhaps")
    browser.wait(said.format("write on or off"))
    browser.run(change, TOKEN, "on")
    browser.wait(said.format("secure is now on"))
    assert pools["orders"].get_option("secure") is True
    # The console repeats refused requests, and nothing else.
    assert all("/options/secure" in problem for problem in browser.problems())


def test_nothing_comes_from_elsewhere(browser: Browser, server: Server) -> None:
    names = browser.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert names and all(name.startswith(server.url) for name in names)


def test_the_phone_has_no_sideways_scrolling(phone: Browser) -> None:
    for name in ("orders", "bodies"):
        choose(phone, name)
        assert phone.run("return document.documentElement.scrollWidth <= innerWidth")
        phone.wait("return document.getElementById('events').rows.length > 0")
        events = "const region = document.getElementById('events').closest('.scroll');"
        assert phone.run(events + "return region.scrollWidth <= region.clientWidth")


@pytest.mark.parametrize("screen", ["browser", "phone"])
def test_axe_finds_nothing(
    request: pytest.FixtureRequest, pools: Pools, axe: str, screen: str
) -> None:
    browser: Browser = request.getfixturevalue(screen)
    browser.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    held: list[slabby.SlabRef] = []
    for name, exhausted in (("orders", False), ("bodies", True)):
        if exhausted:
            held = pools[name].allocate_batch(8)
        choose(browser, name)
        browser.wait(
            f"return document.getElementById('pool').className === '{'exhausted' if exhausted else ''}'"
        )
        browser.run(axe + "; window.axe = axe")
        found = browser.run_async(
            """const done = arguments[arguments.length - 1];
            axe.run(document, {resultTypes: ["violations", "incomplete"]}).then((result) => done(
                result.violations.map((each) => [each.id, each.nodes.map((node) => node.html)])))"""
        )
        assert found == [], f"{name}: {found}"
    for ref in held:
        ref.release()
    assert browser.run("return document.querySelectorAll('h1, h2, h3').length") > 8


def test_a_restart_of_the_server_is_survived(browser: Browser, pools: Pools) -> None:
    server = serve([pools["bodies"]], "127.0.0.1:0")
    port = server.server_address[1]
    browser.open(server.url)
    text = "return document.getElementById('connection').textContent"
    browser.wait(text + " === 'live'")
    server.close()
    browser.wait(text + ".startsWith('no answer from the server since')")
    renewed = slabby.Allocator(64, 5, name="renewed")
    server = serve([pools["bodies"], renewed], f"127.0.0.1:{port}")
    browser.wait(text + " === 'live'")
    browser.wait("return document.getElementById('pools').innerText.includes('renewed')")
    choose(browser, "renewed")
    browser.wait("return document.getElementById('events').innerText.includes('was opened')")
    server.close()
