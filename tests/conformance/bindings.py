# SPDX-License-Identifier: GPL-3.0-or-later
"""The runners of the conformance programs: how each is started, or why it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("CONFORM_BUILD", HERE.parents[1] / "build" / "conform"))


class RunnerFailed(Exception):
    """A runner ended without the whole trace."""


@dataclass(frozen=True)
class Binding:
    """A runner: a program that reads programs and prints traces."""

    name: str
    command: tuple[str, ...]
    needs: Path
    environment: dict[str, str] = field(default_factory=dict)

    def closed_status(self) -> str | None:
        """Why it cannot run here; what could not be built left its reason beside it."""
        if self.needs.exists():
            return None
        reason = self.needs.with_suffix(".reason")
        return reason.read_text().strip() if reason.exists() else f"{self.needs.name} was not built"

    def run(self, programs: str, attempts: float = 600) -> str:
        """The traces of some programs. A runner that crashes or hangs loses what it had not written."""
        environment = os.environ | self.environment
        try:
            done = subprocess.run(
                self.command,
                input=programs,
                capture_output=True,
                text=True,
                env=environment,
                timeout=attempts,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RunnerFailed(f"{self.name} did not end within {attempts} s") from None
        if done.returncode != 0:
            raise RunnerFailed(f"{self.name} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout


def _python(name: str) -> Binding:
    return Binding(
        name,
        (sys.executable, str(HERE / "runner.py")),
        BUILD / "site" / "slabby" / f"_{name}.abi3.so",
        {"SLABBY_BACKEND": name, "PYTHONPATH": str(BUILD / "site")},
    )


BINDINGS = {
    binding.name: binding
    for binding in (
        Binding("c", (str(BUILD / "runner_c"),), BUILD / "runner_c"),
        Binding(
            "c_migrating",
            (str(BUILD / "runner_c"),),
            BUILD / "runner_c",
            {"CONFORM_MIGRATE": "1"},
        ),
        _python("cffi"),
        _python("swig"),
        Binding("go", (str(BUILD / "runner_go"),), BUILD / "runner_go"),
        Binding(
            "lua",
            ("lua5.4", str(HERE / "runner.lua")),
            BUILD / "lua" / "slabby.so",
            {"LUA_CPATH": f"{BUILD / 'lua'}/?.so;;"},
        ),
        Binding(
            "perl",
            ("perl", str(HERE / "runner.perl")),
            BUILD / "perl" / "slabby.so",
            {"PERL5LIB": str(BUILD / "perl")},
        ),
    )
}
# Mode B: one process, in which these bindings take turns.
SHARING = ("c", "cffi", "swig", "go")
SHARED = Binding(
    "shared",
    (sys.executable, str(HERE / "shared.py")),
    BUILD / "shared_go.so",
    {
        "CONFORM_C": str(BUILD / "shared_c.so"),
        "CONFORM_GO": str(BUILD / "shared_go.so"),
        "PYTHONPATH": str(BUILD / "site"),
    },
)
