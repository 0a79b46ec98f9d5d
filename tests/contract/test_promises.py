# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/security.md: each promise names the tests that fail when it is broken, and those tests exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
HEADINGS = ("| promise | test |", "| option | promise | test |")


def promises() -> list[tuple[str, list[str]]]:
    """Each row of the page's tables of promises: the words, and the names in its last column."""
    rows, inside = [], False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line in HEADINGS:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            *words, tests = line.strip("|").split("|")
            rows.append((words[-1].strip(), re.findall(r"`([^`]+)`", tests)))
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
