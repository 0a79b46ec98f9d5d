# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules below go/ for other libraries as their users get them: by go get, without this checkout's replace
directives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from test_module import MODULE, VERSION, make_proxy

MODULES = {"collectors": ("slabbyprom", "slabbyotel"), "buffers": ("slabbygrpc", "slabbyarrow")}
COLLECTORS = """\
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
BUFFERS = """\
package main

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/mem"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyarrow"
	"github.com/slabby/slabby/go/slabbygrpc"
)

func main() {
	pool, err := slabby.New(4096, 16)
	if err != nil {
		panic(err)
	}
	buffers, err := slabbygrpc.NewBufferPool(pool)
	if err != nil {
		panic(err)
	}
	allocator, err := slabbyarrow.NewAllocator(pool)
	if err != nil {
		panic(err)
	}
	message := mem.Copy(make([]byte, 3000), buffers)
	column := memory.NewResizableBuffer(allocator)
	column.Resize(2000)
	used := pool.Stats().UsedSlabs
	message.Free()
	column.Release()
	fmt.Println(used, pool.Stats().UsedSlabs, pool.Close())
}
"""


def settings(name: str) -> str:
    return subprocess.run(
        ["go", "env", name], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """This repository's modules from files, others from what was fetched before or from the configured source."""
    scratch = tmp_path_factory.mktemp("modules")
    for below in ("", *MODULES["collectors"], *MODULES["buffers"]):
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


def built_outside(folder: Path, environment: dict[str, str], text: str, *modules: str) -> list[str]:
    """The words that a program prints which got some of the modules."""
    (folder / "main.go").write_text(text)
    assert run(folder, environment, "go", "mod", "init", "example.org/program").returncode == 0
    wanted = [f"{MODULE}{below}@{VERSION}" for below in ("", *(f"/{name}" for name in modules))]
    got = run(folder, environment, "go", "get", *wanted)
    if got.returncode != 0 and ("dial tcp" in got.stdout or "no such host" in got.stdout):
        pytest.skip("the libraries were never fetched, and their source cannot be reached")
    assert got.returncode == 0, got.stdout
    # What the program itself imports of those libraries.
    tidied = run(folder, environment, "go", "get", ".")
    assert tidied.returncode == 0, tidied.stdout
    built = run(folder, environment, "go", "build", "-o", "program", ".")
    assert built.returncode == 0, built.stdout
    return run(folder, environment, "./program").stdout.split()


@pytest.mark.skipif(
    "SLABBY_FULL" not in os.environ, reason="half a minute; ./dev test --full runs it"
)
def test_collectors_from_outside(tmp_path: Path, environment: dict[str, str]) -> None:
    printed = built_outside(tmp_path, environment, COLLECTORS, *MODULES["collectors"])
    families, metrics, listed, *errors = printed
    assert families == metrics == listed and errors == ["<nil>", "<nil>"], printed


@pytest.mark.skipif(
    "SLABBY_FULL" not in os.environ, reason="half a minute; ./dev test --full runs it"
)
def test_buffers_from_outside(tmp_path: Path, environment: dict[str, str]) -> None:
    printed = built_outside(tmp_path, environment, BUFFERS, *MODULES["buffers"])
    assert printed == ["2", "0", "<nil>"]
