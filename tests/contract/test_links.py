# SPDX-License-Identifier: GPL-3.0-or-later
"""Links of the documentation: dev.d/check_links.py notices broken ones, and the pages here have none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Outcome

GOOD = '<h1 id="a">A</h1><a href="two.html#b">two</a><a href="#a">here</a><img src="/base/x.png">'


def check(site: Path, *pages: Path) -> Outcome:
    command = [
        sys.executable,
        str(ROOT / "dev.d/check_links.py"),
        str(site),
        "/base/",
        *map(str, pages),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout + done.stderr)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(GOOD, encoding="utf-8")
    (tmp_path / "two.html").write_text('<a name="b" href="index.html">b</a>', encoding="utf-8")
    (tmp_path / "x.png").write_bytes(b"")
    return tmp_path


def test_a_sound_site_passes(site: Path) -> None:
    assert check(site) == Outcome(0, "")


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("none.html", "index.html: none.html: no such file"),
        ("two.html#c", "index.html: two.html#c: no such anchor"),
        ("#c", "index.html: #c: no such anchor"),
        ("/base/none.html", "index.html: /base/none.html: no such file"),
        ("/two.html", "index.html: /two.html: no such file"),
    ],
)
def test_a_broken_link_of_the_site_is_found(site: Path, link: str, message: str) -> None:
    (site / "index.html").write_text(f'{GOOD}<a href="{link}">', encoding="utf-8")
    assert check(site) == Outcome(1, f"{message}\n")


def test_an_empty_site_is_no_success(tmp_path: Path) -> None:
    assert check(tmp_path).status == 1


def test_a_broken_link_of_a_page_is_found(site: Path, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("# One two\n[a](none.md) [b](#one-two) [c](#three)\n", encoding="utf-8")
    outcome = check(site, page)
    assert outcome.status == 1
    assert outcome.text.splitlines() == [
        "README.md: none.md: no such file",
        "README.md: #three: no such heading",
    ]


def test_pages_of_the_source_tree_have_no_broken_link(site: Path) -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    # docs/index.md links to the API reference, which only the built site has.
    found = [
        line for line in check(site, *pages).text.splitlines() if "api/slabby_8h.html" not in line
    ]
    assert not found


def test_the_site_holds_every_page() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:\n")[2]
    listed = set(re.findall(r": (\S+\.md)$", nav, re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert listed == pages
