# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary of ./dev test counts each test once, and none as passed that did not run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run

JUNIT = """<testsuite>
<testcase name="a" status="run"/>
<testcase name="b" status="run"><system-out>fine</system-out></testcase>
<testcase name="c" status="fail"><failure/></testcase>
<testcase name="d" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>
<testcase name="e" status="disabled"/>
<testcase name="f" status="notrun"/>
<testcase name="g"><error/></testcase>
<testcase name="h"/>
</testsuite>"""
GO = [
    {"Action": "pass", "Package": "p", "Test": "TestA"},
    {"Action": "skip", "Package": "p", "Test": "TestB"},
    {"Action": "fail", "Package": "p", "Test": "TestC"},
    {"Action": "fail", "Package": "p"},
    {"Action": "fail", "Package": "does not build"},
]


@pytest.mark.parametrize(
    ("format", "text", "counts"),
    [
        ("junit", JUNIT, "3 2 3"),
        ("go", "\n".join(["# building", *map(json.dumps, GO)]), "1 2 1"),
    ],
)
def test_what_did_not_run_has_not_passed(
    tmp_path: Path, format: str, text: str, counts: str
) -> None:
    report = tmp_path / "report"
    report.write_text(text, encoding="utf-8")
    printed = run([sys.executable, ROOT / "dev.d/count_tests.py", format, report])
    assert printed.strip() == counts
