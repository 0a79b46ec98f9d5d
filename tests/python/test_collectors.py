# SPDX-License-Identifier: GPL-3.0-or-later
"""The collectors for prometheus_client and OpenTelemetry: the series and values of the core's own exposition."""

import math

import pytest
import slabby

prometheus_client = pytest.importorskip("prometheus_client", reason="not installed")


@pytest.fixture
def orders():
    """A pool with successes, refusals and a mistake."""
    pool = slabby.Allocator(64, 100, name="orders", latency_tracking="all")
    refs = [pool.allocate() for _ in range(100)]
    with pytest.raises(slabby.OutOfMemoryError):
        pool.allocate()
    for ref in refs[:60]:
        value = ref.ref
        ref.release()
    with pytest.raises(slabby.DoubleDeallocationError):
        slabby._backend.chosen().core.slabby_release(pool, value)
    yield pool
    for ref in refs[60:]:
        ref.release()
    pool.close()


def series_of(text):
    """{(name, labels): value} of an OpenMetrics text; limits as numbers."""
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            if "le" in labels:
                labels["le"] = float(labels["le"])
            found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


def types_of(text):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    return {
        family.name: (family.type, family.unit) for family in text_string_to_metric_families(text)
    }


def test_prometheus_has_the_series_of_the_core(orders):
    from prometheus_client.openmetrics.exposition import generate_latest
    from slabby.prometheus import register

    registry = prometheus_client.CollectorRegistry()
    register(registry)
    core = slabby.metrics_text()
    ours = generate_latest(registry).decode()
    wanted, found = series_of(core), series_of(ours)
    assert found.keys() == wanted.keys()
    for series, value in wanted.items():
        assert math.isclose(found[series], value, abs_tol=1e-9), series
    assert types_of(ours) == types_of(core)
    label = slabby.pool_label(orders)
    assert found["slabby_slabs", (("pool", label), ("state", "live"))] == 40
    assert (
        found["slabby_rejected_calls_total", (("pool", label), ("reason", "double_deallocation"))]
        == 1
    )


def test_prometheus_registers_once_and_sees_later_pools():
    from slabby.prometheus import register

    registry = prometheus_client.CollectorRegistry()
    collector = register(registry)
    with pytest.raises(ValueError, match="[Dd]uplicated"):
        register(registry)
    with slabby.Allocator(64, 10, name="later") as pool:
        labels = {"pool": slabby.pool_label(pool)}
        assert registry.get_sample_value("slabby_capacity_slabs", labels) == 10
    assert registry.get_sample_value("slabby_capacity_slabs", labels) is None
    registry.unregister(collector)
    register(registry)


def points_of(reader):
    """{name: {attributes: value}} of what the in-memory reader collects."""
    found = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            assert (scope.scope.name, scope.scope.version) == ("slabby", slabby.__version__)
            for metric in scope.metrics:
                points = {
                    tuple(sorted(p.attributes.items())): p.value for p in metric.data.data_points
                }
                found[metric.name] = metric.unit, points
    return found


def test_opentelemetry_has_the_values_of_the_core(orders):
    sdk = pytest.importorskip("opentelemetry.sdk.metrics", reason="not installed")
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from slabby.otel import register

    reader = InMemoryMetricReader()
    provider = sdk.MeterProvider([reader])
    register(provider)
    found = points_of(reader)
    core = series_of(slabby.metrics_text())
    label = ("pool", slabby.pool_label(orders))
    compared = 0
    for (name, labels), value in core.items():
        if label not in labels:
            continue
        if name.startswith("slabby_alloc_duration_seconds_"):
            otel_name = "slabby.alloc_duration." + name.rpartition("_")[2]
            labels = tuple((key, str(text)) for key, text in labels)
            if ("le", "inf") in labels:
                continue
        else:
            base = name.removesuffix("_total").removesuffix("_bytes")
            otel_name = base.replace("slabby_", "slabby.", 1)
        assert math.isclose(found[otel_name][1][labels], value, abs_tol=1e-9), (name, labels)
        compared += 1
    assert compared > 60
    assert found["slabby.slab_size"][0] == "By"
    assert found["slabby.alloc_duration.sum"][0] == "s"
    assert found["slabby.build"][1] == {(("abi_version", "1"), ("version", slabby.__version__)): 1}
    # A second collection reads again.
    with orders.allocate():
        again = points_of(reader)["slabby.slabs"][1]
    assert again[label, ("state", "live")] == 41
    provider.shutdown()


def test_a_child_of_fork_reads_while_a_thread_of_the_parent_does(run_script):
    pytest.importorskip("opentelemetry.metrics")
    done = run_script(
        """
import os, signal, warnings
from slabby.otel import _Reading
warnings.simplefilter("ignore", DeprecationWarning)
reading = _Reading()
with reading._lock:  # as another thread may hold it
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if reading.of("slabby.allocations") == [] else 1)
print(os.waitpid(child, 0)[1])
"""
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
