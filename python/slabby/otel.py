# SPDX-License-Identifier: GPL-3.0-or-later
"""Slabby's metrics for OpenTelemetry (extra `slabby[otel]`).

>>> from slabby.otel import register
>>> register()

registers every pool of the process once with the global meter provider, those of other languages and of later times
included. docs/metrics.md lists the metrics. A name has a dot behind slabby and no suffix for unit and type:
slabby.allocations. OpenTelemetry has no histogram that is read from elsewhere, so the counters
`slabby.alloc_duration.bucket` (with the attribute `le`), `.count` and `.sum` stand for it.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter

from slabby._enums import MetricPart
from slabby._metric_table import METRICS, MetricInfo
from slabby._metrics import PoolMetrics, read_metrics
from slabby._version import __version__

UNITS = {"bytes": "By", "seconds": "s"}
Observe = Callable[[CallbackOptions], Iterable[Observation]]


class _Reading:
    """One reading of all pools for all instruments of a collection. When an instrument asks for the second time, the
    next reading begins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: set[str] = set()
        self._pools: list[PoolMetrics] = []
        _readings.add(self)

    def unlock(self) -> None:
        """In a child made by fork: no thread of the parent holds the lock."""
        self._lock = threading.Lock()

    def of(self, instrument: str) -> list[PoolMetrics]:
        with self._lock:
            if not self._served or instrument in self._served:
                self._pools = read_metrics()
                self._served = set()
            self._served.add(instrument)
            return self._pools


_readings: weakref.WeakSet[_Reading] = weakref.WeakSet()


def _after_fork() -> None:
    for reading in _readings:
        reading.unlock()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _name(metric: MetricInfo) -> str:
    family = metric.family.removesuffix(f"_{metric.unit}") if metric.unit else metric.family
    return family.replace("slabby_", "slabby.", 1)


def _observe(reading: _Reading, name: str, metric: MetricInfo, part: MetricPart) -> Observe:
    """What an instrument observes: a sample for each pool and text of the label."""
    label, texts = (metric.labels[0], metric.texts) if metric.labels else ("", ())
    if part is MetricPart.BUCKET:
        label, texts = "le", tuple(str(bound) for bound in metric.bounds)

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        for pool in reading.of(name):
            for at, value in pool.part(metric, part):
                yield Observation(
                    value, {"pool": pool.label, **({label: texts[at]} if label else {})}
                )

    return observe


def _histogram(meter: Meter, reading: _Reading, metric: MetricInfo) -> None:
    for part in (MetricPart.BUCKET, MetricPart.COUNT, MetricPart.SUM):
        name = f"{_name(metric)}.{part.name.lower()}"
        unit = UNITS[metric.unit] if part is MetricPart.SUM else ""
        observe = _observe(reading, name, metric, part)
        meter.create_observable_counter(name, [observe], unit, metric.help)


def _instrument(meter: Meter, reading: _Reading, metric: MetricInfo) -> None:
    name = _name(metric)
    if metric.type == "info":
        labels = dict(zip(metric.labels, metric.texts))
        meter.create_observable_gauge(name, [lambda _: [Observation(1, labels)]], "", metric.help)
    elif metric.type == "histogram":
        _histogram(meter, reading, metric)
    else:
        counts = metric.type == "counter"
        create = meter.create_observable_counter if counts else meter.create_observable_gauge
        observe = _observe(reading, name, metric, MetricPart.VALUE)
        create(name, [observe], UNITS.get(metric.unit, ""), metric.help)


def register(provider: MeterProvider | None = None) -> None:
    """Registers every pool of the process with a meter provider, by default the global one. Call it once for each."""
    meter = get_meter("slabby", __version__, provider)
    reading = _Reading()
    for metric in METRICS:
        _instrument(meter, reading, metric)
