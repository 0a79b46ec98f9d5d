# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflows run the commands that the pages give, on x86-64 and on arm64."""

from __future__ import annotations

import re
import subprocess

import pytest
from conftest import ROOT

WORKFLOW = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PARTS = {path.name.removeprefix("test-") for path in (ROOT / "dev.d").glob("test-*")}
NATIVE = re.compile(r"^(?:cmake --preset .*|pip install .*|go test .*)$", re.MULTILINE)


def test_contributing_has_native_commands() -> None:
    assert len(NATIVE.findall(PAGE)) >= 3


@pytest.mark.parametrize("command", NATIVE.findall(PAGE))
def test_the_workflow_runs_each_native_command(command: str) -> None:
    assert command in WORKFLOW


def test_the_workflow_runs_what_ci_runs() -> None:
    assert ".ci/run" in WORKFLOW


def test_the_workflow_builds_for_size_for_speed_and_with_link_time_optimisation() -> None:
    """By gcc and clang: parents build the core by flags of their own, with -Werror."""
    lint = (ROOT / "dev.d/lint").read_text(encoding="utf-8")
    assert "./dev lint" in WORKFLOW
    assert all(flag in lint for flag in ("-Os", "-O3", "-flto", "-Werror"))
    assert all(f"optimised {compiler}" in lint for compiler in ("gcc", "clang"))


def test_contributing_has_every_part_of_the_tests() -> None:
    table = PAGE.partition("| part | what it tests |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(PARTS)


def test_each_platform_is_backed_by_a_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("\n## Platforms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!platform|---)([^|]*) \| ([^|]*) \|", table, re.MULTILINE)
    assert len(rows) >= 10
    for platform, how in rows:
        command = re.search(r"`\./dev (\w+)( --full)?(?: (\w+))?`", how)
        assert command, f"{platform}: no command"
        assert (ROOT / "dev.d" / command[1]).is_file() and {command[3] or "core"} <= PARTS, platform
        if command[3]:
            part = (ROOT / "dev.d" / f"test-{command[3]}").read_text(encoding="utf-8")
            assert bool(command[2]) == ("\nis_full || skip" in part), f"{platform}: --full or not"


def test_the_page_on_tests_has_every_folder() -> None:
    text = (ROOT / "tests/README.md").read_text(encoding="utf-8")
    table = text.partition("| folder | holds | part |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)/` \|.*\| ([^|]*) \|$", table, re.MULTILINE)
    listed = subprocess.run(
        ["git", "ls-files", "tests/*/*"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    folders = {name.split("/")[1] for name in listed.stdout.splitlines()}
    assert sorted(folder for folder, _ in rows) == sorted(folders)
    assert {part for _, cell in rows for part in re.findall(r"`(\w+)", cell)} <= PARTS


@pytest.mark.parametrize("name", ["test", "wheels"])
def test_both_architectures(name: str) -> None:
    text = (ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8")
    assert "os: [ubuntu-24.04, ubuntu-24.04-arm]" in text


def test_badges_name_workflows_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    badges = re.findall(r"actions/workflows/([\w.]+)/badge\.svg", readme)
    assert len(badges) == 2
    for badge in badges:
        assert (ROOT / ".github/workflows" / badge).is_file()
