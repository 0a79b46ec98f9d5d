# SPDX-License-Identifier: GPL-3.0-or-later
"""What ./dev installs is announced first, and SLABBY_NO_INSTALL=1 prints it instead."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

MISSING = "need_packages no-such-package:no-such-command"


@dataclass(frozen=True)
class Checkout:
    """A checkout with nothing but dev.d, and an apt-get, an id and a pip that only take notes."""

    root: Path

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {
            **os.environ,
            "SLABBY_ROOT": str(self.root),
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "NOTES": str(self.notes),
            **environment,
        }
        return subprocess.run(
            ["sh", "-eu", "-c", f'. "$SLABBY_ROOT/dev.d/lib.sh"; {script}'],
            env=settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def notes(self) -> Path:
        return self.root / "notes"

    def noted(self) -> str:
        return self.notes.read_text(encoding="utf-8") if self.notes.exists() else ""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    shutil.copytree(ROOT / "dev.d", tmp_path / "dev.d")
    (tmp_path / "bin").mkdir()
    for name, does in (
        ("apt-get", 'echo "apt-get $*" >>"$NOTES"'),
        ("id", "echo 0"),
        ("python3", 'echo "python3 $*" >>"$NOTES"'),
    ):
        tool = tmp_path / "bin" / name
        tool.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        tool.chmod(0o755)
    return Checkout(tmp_path)


def test_packages_are_announced_before_they_are_installed(checkout: Checkout) -> None:
    done = checkout.run(MISSING)
    assert done.returncode == 0, done.stderr
    assert "installing Debian packages by apt-get" in done.stdout
    assert "no-such-package" in done.stdout
    assert "install --yes --no-install-recommends no-such-package" in checkout.noted()


def test_packages_are_printed_and_not_installed(checkout: Checkout) -> None:
    done = checkout.run(MISSING, SLABBY_NO_INSTALL="1")
    assert done.returncode == 1
    assert "missing, and not installed because SLABBY_NO_INSTALL is set" in done.stderr
    assert "no-such-package" in done.stderr
    assert "installing" not in done.stdout
    assert checkout.noted() == ""


def test_what_is_there_is_not_missing(checkout: Checkout) -> None:
    done = checkout.run("need_packages sh:sh", SLABBY_NO_INSTALL="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_python_packages_are_printed_and_not_installed(checkout: Checkout) -> None:
    done = checkout.run("venv pytest", SLABBY_NO_INSTALL="1")
    assert done.returncode == 1
    assert "the Python environment .venv with: pytest" in done.stderr
    assert "-m venv" not in checkout.noted()
    assert not (checkout.root / ".venv").exists()


def test_zero_refuses_nothing(checkout: Checkout) -> None:
    assert checkout.run(MISSING, SLABBY_NO_INSTALL="0").returncode == 0
