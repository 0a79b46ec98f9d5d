# SPDX-License-Identifier: GPL-3.0-or-later
"""Slabby's metrics for prometheus_client (extra `slabby[prometheus]`).

>>> from slabby.prometheus import register
>>> register()

registers every pool of the process once, those of other languages and of later times included. docs/metrics.md lists
the series.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry

from slabby._enums import MetricPart
from slabby._metric_table import METRICS, MetricInfo
from slabby._metrics import PoolMetrics, read_metrics


def _info(metric: MetricInfo, pools: list[PoolMetrics]) -> Metric:
    return InfoMetricFamily(metric.family, metric.help, dict(zip(metric.labels, metric.texts)))


def _states(metric: MetricInfo, pools: list[PoolMetrics]) -> Metric:
    family = StateSetMetricFamily(metric.family, metric.help, labels=["pool"])
    for pool in pools:
        values = pool.part(metric, MetricPart.VALUE)
        family.add_metric([pool.label], {metric.texts[at]: value == 1 for at, value in values})
    return family


def _numbers(metric: MetricInfo, pools: list[PoolMetrics]) -> Metric:
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = kind(metric.family, metric.help, labels=["pool", *metric.labels], unit=metric.unit)
    for pool in pools:
        for at, value in pool.part(metric, MetricPart.VALUE):
            texts = [metric.texts[at]] if metric.labels else []
            family.add_metric([pool.label, *texts], value)
    return family


def _histogram(metric: MetricInfo, pools: list[PoolMetrics]) -> Metric:
    family = HistogramMetricFamily(metric.family, metric.help, labels=["pool"], unit=metric.unit)
    for pool in pools:
        buckets = [
            (str(metric.bounds[at]), value) for at, value in pool.part(metric, MetricPart.BUCKET)
        ]
        ((_, count),) = pool.part(metric, MetricPart.COUNT)
        ((_, total),) = pool.part(metric, MetricPart.SUM)
        family.add_metric([pool.label], [*buckets, ("+Inf", count)], total)
    return family


_MAKERS = {"info": _info, "stateset": _states, "histogram": _histogram}


def _families(pools: list[PoolMetrics]) -> Iterator[Metric]:
    for metric in METRICS:
        yield _MAKERS.get(metric.type, _numbers)(metric, pools)


class SlabbyCollector(Collector):
    """Reads every open pool of the process when it is collected."""

    def collect(self) -> Iterable[Metric]:
        return _families(read_metrics())

    def describe(self) -> Iterable[Metric]:
        """The families without samples: the registry asks for them once."""
        return _families([])


def register(registry: CollectorRegistry = REGISTRY) -> SlabbyCollector:
    """Registers every pool of the process and returns the collector, for `registry.unregister`."""
    collector = SlabbyCollector()
    registry.register(collector)
    return collector
