# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard, read strictly by the types that Grafana publishes for Go. tests/contract compares its queries with the
list of metrics."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import MONITORING

DASHBOARD = MONITORING / "dashboard.json"


def complaints(file: Path) -> str:
    if "SLABBY_GRAFANA" not in os.environ:
        pytest.skip("SLABBY_GRAFANA is not set: ./dev test --full metrics builds the reader")
    done = subprocess.run(
        [os.environ["SLABBY_GRAFANA"], str(file)], stdout=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode != 0) == bool(done.stdout)
    return done.stdout


def test_grafana_reads_the_dashboard() -> None:
    assert complaints(DASHBOARD) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"showLegend": true', '"showLegend": "yes"'),
        ('"gridPos"', '"gridPosition"'),
        ('"showHeader": true', '"showsHeader": true'),
    ],
)
def test_what_grafana_does_not_know_is_found(tmp_path: Path, right: str, wrong: str) -> None:
    text = DASHBOARD.read_text()
    assert right in text
    (tmp_path / "dashboard.json").write_text(text.replace(right, wrong, 1))
    assert complaints(tmp_path / "dashboard.json") != ""
