# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/security.md: each promise names the tests that fail when it is broken, and those tests exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
# The tables of promises, and the column of the promise in each.
HEADINGS = {"| promise | test |": 0, "| option | promise | price | test |": 1}


def promises() -> list[tuple[str, list[str]]]:
    """Each row of the page's tables of promises: the promise, and the names in its last column."""
    rows: list[tuple[str, list[str]]] = []
    column = None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line in HEADINGS:
            column = HEADINGS[line]
        elif not line.startswith("|"):
            column = None
        elif column is not None and not line.startswith("|---"):
            cells = line.strip("|").split("|")
            rows.append((cells[column].strip(), re.findall(r"`([^`]+)`", cells[-1])))
    return rows


def known_tests() -> set[str]:
    """What cmocka, pytest, Go and ctest run by name, the mistakes of tests/misuse, and what tools catch."""
    names: set[str] = set()
    for pattern, expression in (
        ("tests/**/*.c", r"cmocka_unit_test\((\w+)\)"),
        ("tests/**/*.py", r"^def (test_\w+)\("),
        ("go/*_test.go", r"^func (Test\w+)\("),
        ("tests/**/CMakeLists.txt", r"add_(?:test\(NAME|detection\() ?(\w+)"),
        ("tests/misuse/mistakes.toml", r'^name = "(\w+)"'),
    ):
        for path in ROOT.glob(pattern):
            found = re.findall(expression, path.read_text(encoding="utf-8"), re.MULTILINE)
            names.update(found)
    sanitizers = (ROOT / "tests/sanitizers/CMakeLists.txt").read_text(encoding="utf-8")
    caught = re.findall(r'slabby_catch\((\w+) (?:"[^"]*"|\S+) (\w+)', sanitizers)
    return names | {f"{tool}_{mistake}" for tool, mistake in caught}


def test_the_page_has_promises() -> None:
    assert len(promises()) > 25


@pytest.mark.parametrize("promise, tests", promises(), ids=lambda value: str(value)[:40])
def test_each_promise_has_its_test(promise: str, tests: list[str]) -> None:
    assert tests, f"no test is named for: {promise}"
    missing = set(tests) - known_tests()
    assert not missing, f"no such test: {sorted(missing)}"
