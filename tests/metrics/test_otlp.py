# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics sent over OTLP by the SDKs of Go and Python arrive at OpenTelemetry's collector with the core's values."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slabby
from conftest import free_port
from test_exposition import Series, series_of

CONFIGURATION = """yaml:
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:%d"}}}}
exporters: {file: {path: "%s"}}
service: {pipelines: {metrics: {receivers: [otlp], exporters: [file]}}}
"""
HISTOGRAM = "slabby_alloc_duration_seconds"


class Collector:
    def __init__(self, folder: Path) -> None:
        if "SLABBY_OTLP" not in os.environ:
            pytest.skip("SLABBY_OTLP is not set: ./dev test --full metrics builds the collector")
        self.programs = Path(os.environ["SLABBY_OTLP"])
        port, self.file = free_port(), folder / "metrics.json"
        self.endpoint = f"http://127.0.0.1:{port}"
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [self.programs / "collector", "--config", CONFIGURATION % (port, self.file)],
                stdout=log,
                stderr=log,
            )
        self._await(port)

    def _await(self, port: int) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < end, self.log.read_text()
                time.sleep(0.1)

    def received(self) -> dict[str, dict[str, Any]]:
        """The metrics by name. The collector writes what it has when it ends."""
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0, self.log.read_text()
        sent = [json.loads(line) for line in self.file.read_text().splitlines()]
        return {
            metric["name"]: metric
            for each in sent
            for resource in each["resourceMetrics"]
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
        }


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    running = Collector(tmp_path)
    yield running
    running.process.kill()
    running.process.wait()


def points_of(metric: dict[str, Any]) -> dict[tuple[tuple[str, str], ...], float]:
    """Values of a gauge or sum by their attributes."""
    points = metric["gauge" if "gauge" in metric else "sum"]["dataPoints"]
    found = {}
    for point in points:
        attributes = {each["key"]: each["value"]["stringValue"] for each in point["attributes"]}
        value = point["asDouble"] if "asDouble" in point else point["asInt"]
        found[tuple(sorted(attributes.items()))] = float(value)
    return found


def otel_name(name: str) -> str:
    name = name.removesuffix("_total").removesuffix("_bytes").removesuffix("_info")
    return name.replace("slabby_", "slabby.", 1)


def compare(core: dict[Series, float], received: dict[str, dict[str, Any]]) -> None:
    """Every series of the core but those of the histogram."""
    compared = 0
    for (name, labels), value in core.items():
        if not name.startswith(HISTOGRAM):
            found = points_of(received[otel_name(name)])[labels]
            assert found == pytest.approx(value, abs=1e-9), (name, labels)
            compared += 1
    assert compared > 45
    assert received["slabby.slab_size"]["unit"] == "By"
    assert received["slabby.allocations"]["sum"]["isMonotonic"] is True


def bucket_counts(core: dict[Series, float]) -> list[int]:
    """What is in each classic bucket alone."""
    rows = sorted(
        (dict(labels)["le"], value)
        for (name, labels), value in core.items()
        if name == f"{HISTOGRAM}_bucket"
    )
    counts = [int(value) for _, value in rows]
    return [after - before for before, after in zip([0, *counts], counts)]


def test_go_over_otlp(collector: Collector) -> None:
    done = subprocess.run(
        [collector.programs / "sender"],
        env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    core, received = series_of(done.stdout), collector.received()
    compare(core, received)
    (point,) = received["slabby.alloc_duration"]["histogram"]["dataPoints"]
    assert [int(count) for count in point["bucketCounts"]] == bucket_counts(core)
    assert int(point["count"]) == 40
    assert received["slabby.alloc_duration"]["unit"] == "s"


def test_python_over_otlp(collector: Collector) -> None:
    http = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.metric_exporter")
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    reader = pytest.importorskip("opentelemetry.sdk.metrics.export").PeriodicExportingMetricReader
    otel = importlib.import_module("slabby.otel")
    with slabby.Allocator(4096, 100, name="sent", latency_tracking="all") as pool:
        held = pool.allocate_batch(40)
        exporter = http.OTLPMetricExporter(endpoint=f"{collector.endpoint}/v1/metrics")
        provider = sdk.MeterProvider([reader(exporter)])
        otel.register(provider)
        provider.shutdown()
        core, received = series_of(slabby.metrics_text()), collector.received()
        for ref in held:
            ref.release()
    compare(core, received)
    buckets = points_of(received["slabby.alloc_duration.bucket"])
    for (name, labels), value in core.items():
        texts = tuple((key, str(text)) for key, text in labels)
        if name == f"{HISTOGRAM}_bucket" and ("le", "inf") not in texts:
            assert buckets[texts] == value, labels
