# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs serve, compared with each other and judged by promtool and by a strict OpenMetrics parser."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import LANGUAGES, MONITORING, Exporter, fetch, need

# Name, and labels with their values.
Series = tuple[str, tuple[tuple[str, Any], ...]]


def series_of(text: str) -> dict[Series, float]:
    from prometheus_client.openmetrics.parser import (  # type: ignore[import-not-found, unused-ignore]
        text_string_to_metric_families,
    )

    found: dict[Series, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {
                key: float(value) if key == "le" else value for key, value in sample.labels.items()
            }
            if sample.name.startswith("slabby_"):  # libraries add series of their own
                found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


# Times differ from run to run, and caches and bookkeeping from one build of the core to another.
VARIES = (
    "slabby_alloc_duration_seconds",
    "slabby_cached_slabs",
    "slabby_allocations_total",
    "slabby_memory_bytes",
)


def test_the_languages_agree(exporters: dict[str, Exporter]) -> None:
    found = {}
    for language, each in exporters.items():
        media, text = fetch(each.address)
        assert media.startswith("application/openmetrics-text"), language
        found[language] = series_of(text)
    assert set(found["c"]) == set(found["go"]) == set(found["python"])
    for series, value in found["c"].items():
        if not series[0].startswith(VARIES):
            others = {language: found[language][series] for language in LANGUAGES}
            assert others == pytest.approx(dict.fromkeys(LANGUAGES, value), abs=1e-9), series


def test_classic_buckets_add_up(exporters: dict[str, Exporter]) -> None:
    for language, each in exporters.items():
        found = series_of(fetch(each.address)[1])
        buckets = sorted(
            (dict(labels)["le"], value)
            for (name, labels), value in found.items()
            if name == "slabby_alloc_duration_seconds_bucket"
        )
        counts = [value for _, value in buckets]
        assert counts == sorted(counts) and counts[-1] == 100 and len(counts) == 19, language


@pytest.mark.parametrize("language", ("go", "python"))
def test_promtool_finds_nothing_in_the_classic_format(
    exporters: dict[str, Exporter], language: str
) -> None:
    """promtool reads the older text format, which the client libraries write where no other is asked for."""
    _, text = fetch(exporters[language].address, "text/plain")
    ours = [line for line in text.splitlines() if "slabby_" in line]
    done = subprocess.run(
        [need("promtool"), "check", "metrics"], input="\n".join([*ours, ""]), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_promtool_reads_the_cores_format(exporters: dict[str, Exporter], tmp_path: Path) -> None:
    """It makes blocks of a database from OpenMetrics text; that needs a time behind each value."""
    text = fetch(exporters["c"].address)[1]
    timed = [line if line.startswith("#") else f"{line} 1700000000" for line in text.splitlines()]
    (tmp_path / "text").write_text("\n".join([*timed, ""]))
    done = subprocess.run(
        [need("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "text"), str(tmp_path / "data")],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "BLOCK ULID" in done.stdout


def test_alert_rules() -> None:
    promtool = need("promtool")
    for arguments in (
        ["check", "rules", "alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run(
            [promtool, *arguments], cwd=MONITORING, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_a_rule_that_is_wrong_fails_its_case(tmp_path: Path) -> None:
    promtool = need("promtool")
    rules = (MONITORING / "alerts.yml").read_text()
    assert "slabby_waiters > 0" in rules
    (tmp_path / "alerts.yml").write_text(rules.replace("slabby_waiters > 0", "slabby_waiters > 10"))
    (tmp_path / "alerts_test.yml").write_text((MONITORING / "alerts_test.yml").read_text())
    done = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and "SlabbyWaiters" in done.stdout
