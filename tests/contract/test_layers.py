# SPDX-License-Identifier: GPL-3.0-or-later
"""dev.d/check_layers.py notices an include that points up, and a platform question outside os/."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Outcome


def check(sources: Path) -> Outcome:
    command = [sys.executable, str(ROOT / "dev.d/check_layers.py"), str(sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout + done.stderr)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the core's sources, to be broken."""
    return Path(shutil.copytree(ROOT / "core/src", tmp_path / "src"))


def add_line(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")


def test_the_core_points_one_way(sources: Path) -> None:
    outcome = check(sources)
    assert (outcome.status, outcome.text) == (0, "")


@pytest.mark.parametrize(
    ("file", "header", "message"),
    [
        ("os/linux.c", "pool.h", "os includes pool.h of the layer data"),
        ("slab_word.h", "tiers/gate.h", "data includes tiers/gate.h of the layer tiers"),
        ("tiers/depot_state.h", "tiers/depot.h", "data includes tiers/depot.h of the layer tiers"),
        ("tiers/gate.c", "observe/events.h", "tiers includes observe/events.h"),
        ("observe/latency.c", "resilience/breaker.h", "observe includes resilience/breaker.h"),
        ("protect/secure.c", "resilience/resize.h", "protect includes resilience/resize.h"),
        ("resilience/breaker.c", "api/release.h", "resilience includes api/release.h"),
        ("pool/trim.c", "api/call.h", "pool includes api/call.h"),
        ("base.h", "os/os.h", "base includes os/os.h of the layer os"),
    ],
)
def test_an_include_that_points_up_is_found(
    sources: Path, file: str, header: str, message: str
) -> None:
    add_line(sources / file, f'#include "{header}"')
    outcome = check(sources)
    assert outcome.status == 1
    assert outcome.text.startswith(f"{file}:") and message in outcome.text
    assert len(outcome.text.splitlines()) == 1


def test_an_include_beside_the_file_is_followed(sources: Path) -> None:
    """As the compiler does: a name without a folder means the file's own folder first."""
    (sources / "tiers/upward.h").write_text('#include "breaker_up.h"\n', encoding="utf-8")
    (sources / "tiers/breaker_up.h").write_text("", encoding="utf-8")
    assert check(sources).status == 0


@pytest.mark.parametrize(
    "question",
    ["#ifdef __linux__", "#if defined(_WIN32)", "#ifdef __APPLE__", "#ifdef SLB_OS_WINDOWS"],
)
def test_a_platform_question_outside_os_is_found(sources: Path, question: str) -> None:
    add_line(sources / "tiers/gate.c", question)
    add_line(sources / "os/linux.c", question)
    outcome = check(sources)
    assert outcome.status == 1
    (line,) = outcome.text.splitlines()
    assert line.startswith("tiers/gate.c:") and "only os/ may" in line


def test_a_new_folder_must_be_placed(sources: Path) -> None:
    (sources / "extra").mkdir()
    (sources / "extra/new.c").write_text("", encoding="utf-8")
    outcome = check(sources)
    assert outcome.status == 1 and "the folder extra is no layer" in outcome.text


def test_lint_runs_the_check() -> None:
    lint = (ROOT / "dev.d/lint").read_text(encoding="utf-8")
    assert 'check "layers" "$SLABBY_PYTHON" dev.d/check_layers.py' in lint
