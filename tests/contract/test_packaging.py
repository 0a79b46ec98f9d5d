# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said about packages in several places is the same: platforms of the wheels, versions of Python, our own."""

from __future__ import annotations

import re
import sys
import tomllib
from typing import Any

import pytest
from conftest import LISTED, ROOT

sys.path.insert(0, str(ROOT / "packaging/wheels"))
from targets import OLDEST_PYTHON, REFUSED, TARGETS  # type: ignore[import-not-found]

PAGE = (ROOT / "docs/packaging.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORKFLOW = (ROOT / ".github/workflows/wheels.yml").read_text(encoding="utf-8")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROWS = dict(re.findall(r"^\| `([\w-]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
# The machines of GitHub that try each wheel; on musl a container does.
RUNNERS = {
    "ubuntu-24.04": {"manylinux-x86_64", "musllinux-x86_64"},
    "ubuntu-24.04-arm": {"manylinux-aarch64", "musllinux-aarch64"},
    "macos-15": {"macos-arm64"},
    "macos-15-intel": {"macos-x86_64"},
    "windows-2022": {"windows-x86_64"},
}


def test_the_page_lists_the_wheels_that_are_built() -> None:
    assert list(ROWS) == list(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_the_page_has_the_tags_of_each_wheel(name: str) -> None:
    """Without the processor, which the name says."""
    shown, tags = sorted(re.findall(r"`(\w+)`", ROWS[name])), TARGETS[name].tag.split(".")
    assert tags == sorted(tags), "tools sort them, and build.py looks for wheels of that name"
    assert len(shown) == len(tags)
    assert all(tag == each or tag.startswith(f"{each}_") for tag, each in zip(tags, shown))


def test_the_page_has_the_names_that_are_refused() -> None:
    found = re.search(r"Names that have no wheel \(([^)]*)\)", PAGE)
    assert found is not None
    assert re.findall(r"`([^`]+)`", found[1]) == list(REFUSED)


def test_the_readme_says_which_libc_the_wheels_need() -> None:
    glibc = {target.triple.partition("gnu.")[2] for target in TARGETS.values()} - {""}
    musl = {
        tag for target in TARGETS.values() for tag in re.findall(r"musllinux_(\d+_\d+)", target.tag)
    }
    assert len(glibc) == len(musl) == 1
    assert f"glibc {glibc.pop()} or musl {musl.pop().replace('_', '.')}" in README


def test_each_wheel_is_tried_on_a_machine_of_its_platform() -> None:
    lists = re.findall(r"os: \[(.*)\]", WORKFLOW)
    runners = {runner for text in lists for runner in text.split(", ")}
    assert runners == set(RUNNERS)
    assert set().union(*RUNNERS.values()) == set(TARGETS)


def test_versions_of_python() -> None:
    project = PYPROJECT["project"]
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    digits = OLDEST_PYTHON.replace(".", "")
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert project["requires-python"] == f">={OLDEST_PYTHON}"
    assert classified[0] == OLDEST_PYTHON
    assert f'"py_limited_api": "cp{digits}"' in setup
    assert f'("Py_LIMITED_API", "0x{int(digits[0]):02X}{int(digits[1:]):02X}0000")' in setup
    assert f'python: ["{classified[0]}", "{classified[-1]}"]' in WORKFLOW
    assert f"CPython {OLDEST_PYTHON} or later" in README
    assert PYPROJECT["tool"]["mypy"]["python_version"] == OLDEST_PYTHON
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{digits}"


def test_the_page_names_the_archive_of_this_version() -> None:
    named = re.findall(r"(?:slabby-src-|/v)(\d+\.\d+\.\d+)", PAGE)
    assert len(named) >= 3
    assert set(named) == {LISTED["library"]["version"]}
