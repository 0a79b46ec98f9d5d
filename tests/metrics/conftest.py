# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the three languages that serve the same pool's metrics, and a Prometheus server that scrapes them.
dev.d/test-metrics builds the programs and says where they are."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "examples" / "monitoring"
LANGUAGES = ("c", "go", "python")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is missing (Debian's package prometheus)")
    return found


def command(language: str) -> list[str]:
    variable = f"SLABBY_{language.upper()}_EXPORTER"
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set: run ./dev test metrics")
    return [*os.environ[variable].split("\n"), "0"]


@dataclass(frozen=True)
class Exporter:
    """A program that serves metrics."""

    address: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def exporter(language: str) -> Iterator[Exporter]:
    """A program, running while the block runs."""
    process = subprocess.Popen(
        command(language), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), f"{language}: {address!r}"
        yield Exporter(address, process)
    finally:
        process.communicate(timeout=30)
    assert process.returncode == 0, language


def fetch(address: str, accept: str = OPENMETRICS) -> tuple[str, str]:
    """(media type, text) of what a program serves."""
    request = urllib.request.Request(address, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


@pytest.fixture(scope="session")
def exporters() -> Iterator[dict[str, Exporter]]:
    with contextlib.ExitStack() as stack:
        yield {language: stack.enter_context(exporter(language)) for language in LANGUAGES}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A Prometheus server that scrapes the programs."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **parameters: str) -> Any:
        address = f"{self.address}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["result"]
        return found

    def wait_for(self, what: str, condition: Callable[[], bool], shown: str = "up") -> None:
        """Until the condition holds; where it never does, the error has the answer to the query `shown`."""
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                if condition():
                    return
            assert time.monotonic() < end, f"after a minute: not {what}: {self.query(shown)}"
            time.sleep(0.1)


@contextlib.contextmanager
def prometheus(folder: Path, exporters: dict[str, Exporter], *flags: str) -> Iterator[Server]:
    program, port = need("prometheus"), free_port()
    jobs = "".join(
        f"  - job_name: {language}\n    static_configs:\n"
        f"      - targets: ['{urllib.parse.urlsplit(each.address).netloc}']\n"
        for language, each in exporters.items()
    )
    rules = f"rule_files: ['{MONITORING / 'alerts.yml'}']\n"
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 500ms}}\n{rules}scrape_configs:\n{jobs}"
    )
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [program, f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}",
         f"--web.listen-address=127.0.0.1:{port}", *flags],
        stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}")
    try:
        up = "sum(min_over_time(up[3s]))"
        server.wait_for(
            f"every program scraped; {folder / 'log'}",
            lambda: [row["value"][1] for row in server.query(up)] == [str(len(exporters))],
        )
        yield server
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()
