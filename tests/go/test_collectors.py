# SPDX-License-Identifier: GPL-3.0-or-later
"""The collectors of go/slabbyprom and go/slabbyotel as their users get them: by go get, without this checkout's
replace directives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from test_module import MODULE, VERSION, make_proxy

PROGRAM = """\
package main

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyotel"
	"github.com/slabby/slabby/go/slabbyprom"
)

func main() {
	pool, err := slabby.New(4096, 16, slabby.WithName("orders"))
	if err != nil {
		panic(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(slabbyprom.NewCollector())
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	reader := metric.NewManualReader(metric.WithProducer(slabbyotel.NewProducer()))
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	var found metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &found); err != nil {
		panic(err)
	}
	fmt.Println(len(families), len(found.ScopeMetrics[0].Metrics), len(slabby.Metrics()), pool.Close(),
		provider.Shutdown(context.Background()))
}
"""


def settings(name: str) -> str:
    return subprocess.run(
        ["go", "env", name], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """This repository's modules from files, others from what was fetched before or from the configured source."""
    scratch = tmp_path_factory.mktemp("collectors")
    for below in ("", "slabbyprom", "slabbyotel"):
        make_proxy(scratch / "proxy", below)
    fetched = Path(settings("GOMODCACHE"), "cache", "download")
    sources = [(scratch / "proxy").as_uri(), fetched.as_uri(), settings("GOPROXY")]
    return os.environ | {
        "GOPROXY": ",".join(sources),
        "GONOSUMDB": MODULE,
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
        "GOMODCACHE": str(scratch / "modules"),
        "CGO_ENABLED": "1",
    }


def run(
    folder: Path, environment: dict[str, str], *command: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=900,
    )  # fmt: skip


@pytest.mark.skipif(
    "SLABBY_FULL" not in os.environ, reason="half a minute; ./dev test --full runs it"
)
def test_collectors_from_outside(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "main.go").write_text(PROGRAM)
    assert run(tmp_path, environment, "go", "mod", "init", "example.org/program").returncode == 0
    wanted = [f"{MODULE}{below}@{VERSION}" for below in ("", "/slabbyprom", "/slabbyotel")]
    got = run(tmp_path, environment, "go", "get", *wanted, "go.opentelemetry.io/otel/sdk/metric")
    if got.returncode != 0 and ("dial tcp" in got.stdout or "no such host" in got.stdout):
        pytest.skip("the client libraries were never fetched, and their source cannot be reached")
    assert got.returncode == 0, got.stdout
    built = run(tmp_path, environment, "go", "build", "-o", "program", ".")
    assert built.returncode == 0, built.stdout
    done = run(tmp_path, environment, "./program")
    families, metrics, listed, *errors = done.stdout.split()
    assert families == metrics == listed and errors == ["<nil>", "<nil>"], done.stdout
