# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker processes, one a contestant, which measure a piece at a time when asked."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any


class WorkerFault(Exception):
    """What a worker could not do, in its own words."""


class Worker:
    """A running measuring program. Close it: that is when its pools are checked."""

    def __init__(self, program: Path, arguments: list[str]) -> None:
        if not program.is_file():
            raise WorkerFault("its library is not installed")
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the worker
        self._process = subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
        )
        hello = self._answer()
        self.library: str = hello["library"]
        self.bounded: bool = bool(hello["bounded"])
        self.cpus: int = hello["cpus"]

    def ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command + "\n")
        except BrokenPipeError:
            raise WorkerFault(self._last_words()) from None
        return self._answer()

    def close(self) -> None:
        """Ends the input, upon which the worker checks and closes its pools."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            if "closed" not in self._answer() or self._process.wait() != 0:
                raise WorkerFault(self._last_words())
        finally:
            self._errors.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.startswith("{"):
                continue
            answer: dict[str, Any] = json.loads(line)
            if "fault" in answer:
                raise WorkerFault(answer["fault"])
            return answer
        raise WorkerFault(self._last_words())

    def _last_words(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return f"ended with status {status}" + (f": {lines[-1]}" if lines else "")
