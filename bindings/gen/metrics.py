# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of metrics of the contract, and what each sample reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entry import ContractError, Entry

if TYPE_CHECKING:
    from contract import Contract, Field, Status

TYPES = ("gauge", "counter", "stateset", "histogram", "info")
SUFFIXES = {"counter": "_total", "info": "_info"}
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Metric:
    name: str
    id: int
    type: str
    unit: str | None
    help: str
    # The label beside `pool`, None where there is none.
    label: str | None
    # (text of the label or None, source), in the order of the samples; none for a histogram.
    sources: tuple[tuple[str | None, str], ...]
    bounds_ns: tuple[int, ...]

    @property
    def family(self) -> str:
        """The name without what OpenMetrics adds to the samples of its type."""
        return self.name.removesuffix(SUFFIXES.get(self.type, ""))

    @property
    def bounds(self) -> tuple[float, ...]:
        """The limits in seconds."""
        return tuple(bound / NANOSECONDS for bound in self.bounds_ns)


@dataclass(frozen=True)
class Sample:
    """One sample of a metric: a field of a snapshot, one of its counts, or whether it is one of an enumeration."""

    # Text of the metric's label, or None.
    text: str | None
    snapshot: str
    field: Field
    # Of a field that holds counts.
    status: Status | None = None
    # Of a stateset: the enumerator's number.
    equals: int | None = None


def _sources(entry: Entry, kind: str) -> tuple[tuple[str | None, str], ...]:
    if kind == "histogram":
        return ()
    if entry.has("field"):
        return ((None, entry.text("field")),)
    return tuple(entry.texts_by_name("values").items())


def _metric(entry: Entry) -> Metric:
    name, kind = entry.text("name"), entry.text("type")
    if kind not in TYPES:
        raise entry.error(f"type {kind!r} is none of {', '.join(TYPES)}")
    bounds = entry.integers("bounds_ns") if kind == "histogram" else ()
    metric = Metric(
        name=name,
        id=entry.integer("id"),
        type=kind,
        unit=entry.text_or_none("unit"),
        help=entry.text("help"),
        label=entry.text_or_none("label"),
        sources=_sources(entry, kind),
        bounds_ns=bounds,
    )
    if not re.fullmatch(r"slabby_[a-z_]+", name):
        raise entry.error("the name begins with slabby_ and has lower-case letters and underscores")
    if not name.endswith(SUFFIXES.get(kind, "")) or (kind != "counter" and name.endswith("_total")):
        raise entry.error(f"the name does not end as a {kind} does")
    if metric.unit is not None and not metric.family.endswith("_" + metric.unit):
        raise entry.error(f"the name does not end with its unit {metric.unit!r}")
    labelled = len(metric.sources) > 1 and kind != "info"
    if labelled != (metric.label is not None):
        raise entry.error("`label` and `values` come together")
    if list(bounds) != sorted(set(bounds)) or (kind == "histogram") == (not bounds):
        raise entry.error("`bounds_ns` rise, and a histogram alone has them")
    entry.close()
    return metric


def load_metrics(entries: list[Entry]) -> tuple[Metric, ...]:
    metrics = tuple(_metric(entry) for entry in entries)
    names: set[str] = set()
    for expected, metric in enumerate(metrics, start=1):
        if metric.id != expected:
            problem = f"id {metric.id} where {expected} is due: ids go up by one, in order"
            raise ContractError(f"metric '{metric.name}'", problem)
        if metric.family in names:
            raise ContractError(f"metric '{metric.name}'", "the name is taken; give it another")
        names.add(metric.family)
    return metrics


def _sample(contract: Contract, metric: Metric, text: str | None, source: str) -> Sample:
    parts = source.split(".")
    entry = f"metric '{metric.name}'"
    snapshots = {snapshot.name: snapshot for snapshot in contract.snapshots}
    if parts[0] not in snapshots or len(parts) not in (2, 3):
        raise ContractError(entry, f"{source!r} is no field of a snapshot")
    fields = {field.name: field for field in snapshots[parts[0]].fields}
    field = fields.get(parts[1])
    if field is None or field.type == "text" or (field.type == "counts") != (len(parts) == 3):
        raise ContractError(entry, f"{source!r} is no number of the snapshot")
    statuses = {status.name: status for status in contract.statuses}
    if len(parts) == 3 and parts[2] not in statuses:
        raise ContractError(entry, f"{source!r}: there is no status {parts[2]!r}")
    grows = field.kind != "gauge"
    if (metric.type == "counter") != grows and field.kind != "maximum":
        raise ContractError(entry, f"{source!r} is a {field.kind}, the metric a {metric.type}")
    return Sample(text, parts[0], field, statuses[parts[2]] if len(parts) == 3 else None)


def samples(contract: Contract, metric: Metric) -> tuple[Sample, ...]:
    """The samples of a pool, in order; none for an info and a histogram."""
    if metric.type == "info":
        return ()
    found = [_sample(contract, metric, text, source) for text, source in metric.sources]
    if metric.type != "stateset":
        return tuple(found)
    enum = found[0].field.enum
    if enum is None:
        raise ContractError(f"metric '{metric.name}'", "a stateset is a field of an enumeration")
    field, snapshot = found[0].field, found[0].snapshot
    return tuple(Sample(e.name, snapshot, field, equals=e.value) for e in enum.enumerators)


def info(contract: Contract, metric: Metric) -> dict[str, str]:
    """The labels of an info."""
    library = contract.library
    facts = {
        "library.version": library.version,
        "library.abi_version": str(library.abi_version),
    }
    for label, source in metric.sources:
        if label is None or source not in facts:
            raise ContractError(f"metric '{metric.name}'", f"{source!r} is no fact of the library")
    return {str(label): facts[source] for label, source in metric.sources}


def sample_label(metric: Metric) -> str | None:
    """The label beside `pool`; a stateset's has the metric's name."""
    return metric.name if metric.type == "stateset" else metric.label


def check_sources(contract: Contract) -> None:
    for metric in contract.metrics:
        if metric.type == "info":
            info(contract, metric)
        else:
            samples(contract, metric)
