# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of metrics: tables for the core's exposition, for Python and Go, and docs/metrics.md."""

from __future__ import annotations

from contract import LICENCE, NOTICE, Contract
from gen_c import FIELD_TYPES, c_string
from gen_docs import table
from gen_go import GO_NOTICE, go_string
from metrics import Metric, Sample, info, sample_label, samples

HEADER_TYPES = """\
/* Where a sample's value is: a field of slabby_stats or slabby_health. before: what stands in the exposition from the
 * start of the line to the pool's label; after: from there to the value. */
struct slb_metric_sample {
    const char *after;
    uint16_t offset;
    uint8_t in_health;
    uint8_t type;   /* enum slb_field_type; U64 for one of the counts */
    int32_t equals; /* with ENUM: the sample is 1 where the field has this value, else 0 */
};

struct slb_metric {
    const char *head;   /* HELP, TYPE and UNIT */
    const char *before; /* null: the samples are the histogram's */
    const struct slb_metric_sample *samples;
    uint32_t sample_count;
    int32_t id;
};

/* Of the histogram: the limits, and the lines of each. */
struct slb_metric_bound {
    double seconds;
    const char *after;
};
"""


def le_text(bound: float) -> str:
    """A limit as OpenMetrics spells numbers."""
    return repr(float(bound))


def head(metric: Metric) -> str:
    lines = [f"# TYPE {metric.family} {metric.type}"]
    if metric.unit is not None:
        lines.append(f"# UNIT {metric.family} {metric.unit}")
    return "".join(line + "\n" for line in [*lines, f"# HELP {metric.family} {metric.help}"])


def _c_text(text: str) -> str:
    return c_string(text).replace("\n", "\\n")


def _lines(text: str, indent: str) -> list[str]:
    """A literal for each line of a text."""
    return [f"{indent}{_c_text(line)}" for line in text.splitlines(keepends=True)]


def _per_pool(contract: Contract) -> list[Metric]:
    return [metric for metric in contract.metrics if metric.type != "info"]


def _histogram(contract: Contract) -> Metric:
    found = [metric for metric in contract.metrics if metric.type == "histogram"]
    assert len(found) == 1, "the core has one histogram"
    return found[0]


def header(contract: Contract) -> str:
    bounds = len(_histogram(contract).bounds)
    lines = [f"/* {NOTICE}", f" * {LICENCE} */", "/* The metrics as tables, for the core alone. */"]
    lines += ["#ifndef SLB_METRIC_TABLE_H", "#define SLB_METRIC_TABLE_H", ""]
    lines += ['#include "slabby_contract.h"', ""]
    lines += [f"#define SLB_METRIC_COUNT {len(_per_pool(contract))}"]
    lines += [f"#define SLB_METRIC_BOUND_COUNT {bounds}", "", HEADER_TYPES]
    lines += ["/* Those of each pool, in order. */"]
    lines += ["SLB_TABLE struct slb_metric slb_metrics[SLB_METRIC_COUNT];"]
    lines += ["SLB_TABLE struct slb_metric_bound slb_metric_bounds[SLB_METRIC_BOUND_COUNT];"]
    lines += ["/* The metrics of the process, whole. */"]
    lines += [f"#define SLB_METRIC_INFO_LENGTH {len(_info_text(contract))}"]
    lines += ["SLB_TABLE char slb_metric_info[SLB_METRIC_INFO_LENGTH + 1];"]
    for part, macro in (("bucket", "BUCKET"), ("count", "CUMULATED"), ("sum", "SUM")):
        name = f"{_histogram(contract).name}_{part}"
        lines.append(f"#define SLB_METRIC_{macro} {_c_text(name + '{pool=' + chr(34))}")
    return "\n".join([*lines, "", "#endif", ""])


def _info_text(contract: Contract) -> str:
    text = ""
    for metric in contract.metrics:
        if metric.type == "info":
            labels = ",".join(f'{name}="{value}"' for name, value in info(contract, metric).items())
            text += f"{head(metric)}{metric.name}{{{labels}}} 1\n"
    return text


def _after(metric: Metric, sample: Sample) -> str:
    label = sample_label(metric)
    return '"} ' if label is None else f'",{label}="{sample.text}"}} '


def _sample_row(contract: Contract, metric: Metric, sample: Sample) -> list[str]:
    snapshot = contract.snapshot(sample.snapshot)
    offset = f"offsetof({snapshot.struct}, {sample.field.name})"
    kind = FIELD_TYPES[sample.field.type]
    if sample.status is not None:
        offset += f" + 8 * {-sample.status.code}"
        kind = "SLB_FIELD_U64"
    in_health = int(sample.snapshot == "health")
    equals = sample.equals if sample.equals is not None else 0
    first = f"    {{{_c_text(_after(metric, sample))},"
    return [first, f"        {offset}, {in_health}, {kind}, {equals}}},"]


def source(contract: Contract) -> str:
    lines = [f"/* {NOTICE}", f" * {LICENCE} */", '#include "metric_table.h"', ""]
    lines += ["#include <stddef.h>", ""]
    rows = []
    for metric in _per_pool(contract):
        found = samples(contract, metric)
        table, before = "NULL", "NULL"
        if metric.type != "histogram":
            table = f"samples_of_{metric.name.removeprefix('slabby_')}"
            before = _c_text(metric.name + '{pool="')
            lines.append(f"static const struct slb_metric_sample {table}[] = {{")
            for sample in found:
                lines += _sample_row(contract, metric, sample)
            lines += ["};", ""]
        rows += ["    {", *_lines(head(metric), "        ")]
        rows[-1] += ","
        rows += [f"        {before},", f"        {table}, {len(found)}, {metric.id}}},"]
    lines.append("SLB_PRIVATE const struct slb_metric slb_metrics[SLB_METRIC_COUNT] = {")
    lines += [*rows, "};", ""]
    bounds = "slb_metric_bounds[SLB_METRIC_BOUND_COUNT]"
    lines.append(f"SLB_PRIVATE const struct slb_metric_bound {bounds} = {{")
    for bound in _histogram(contract).bounds:
        after = _c_text(f'",le="{le_text(bound)}"}} ')
        lines.append(f"    {{{bound!r}, {after}}},")
    lines += ["};", ""]
    lines.append("SLB_PRIVATE const char slb_metric_info[SLB_METRIC_INFO_LENGTH + 1] =")
    lines += _lines(_info_text(contract), "    ")
    lines[-1] += ";"
    return "\n".join([*lines, ""])


DOCS_HEAD = """\
# Metrics

These series come from C, Go and Python alike, with the same names, labels and values. `slabby_metrics_text`,
`slabby.MetricsText()` and `slabby.metrics_text()` write them as OpenMetrics text, and the collectors give them to the
client libraries of Prometheus and OpenTelemetry. `slabby_metrics_read` gives the same numbers as records; `metric`
there is the number in the table.

Counters and gauges are read from the snapshots of [the contract](contract.md). A stateset has one sample for each
state: 1 for the present one and 0 for the others. Its label has the metric's own name, as OpenMetrics demands:
`slabby_breaker_state{pool="orders",slabby_breaker_state="open"} 1`.

## The label `pool`

Every series but `slabby_build_info` has it. It never holds an address or the number of a process.

| pool | label |
|---|---|
| has a name of letters, digits, `.`, `_` and `-` that no open pool had when it was made | the name: `orders` |
| has no name | `pool17`, with the pool's number in the process |
| has another name, one that is taken, or one like `pool17` | `orders~17`, with `_` for every other character |

The label is chosen when the pool is made and stays the same as long as the pool. A pool that was closed has no series.
"""

DOCS_TAIL = """\
A timed allocation stands for all allocations of its CPU since the one before (option `latency_tracking`), so the count
is close to that of the allocations, but not equal. `slabby_metrics_read` also gives the buckets of a native histogram
of schema 5. Their limits are at most 1.1 % off. A time below the clock's step counts as 0.
"""


def _docs_rows(contract: Contract, metric: Metric) -> list[str]:
    if metric.type == "info":
        labels = ", ".join(f"`{name}`" for name in info(contract, metric))
        source = "the library"
    elif metric.type == "histogram":
        labels, source = "`pool`, `le`", "the pool's latency buckets"
    else:
        label, found = sample_label(metric), samples(contract, metric)
        texts = ", ".join(f"`{sample.text}`" for sample in found)
        labels = "`pool`" if label is None else f"`pool`, `{label}`: {texts}"
        fields = dict.fromkeys(f"`{sample.snapshot}.{sample.field.name}`" for sample in found)
        source = ", ".join(fields)
    return [f"`{metric.name}`", str(metric.id), metric.type, labels, metric.help, source]


def docs(contract: Contract) -> str:
    titles = ["series", "number", "type", "labels", "meaning", "from"]
    rows = [_docs_rows(contract, metric) for metric in contract.metrics]
    limits = ", ".join(le_text(bound) for bound in _histogram(contract).bounds)
    lines = [f"<!-- {NOTICE}", f"     {LICENCE} -->", "", DOCS_HEAD, "## The list", ""]
    lines += [*table(titles, rows), "", "## The histogram", ""]
    lines += [f"Seconds at which the classic buckets end: {limits}.", "", DOCS_TAIL]
    return "\n".join(lines)


def _texts(contract: Contract, metric: Metric) -> list[str]:
    """The texts of the label beside `pool`, in the order of the samples; of an info, its labels' values."""
    if metric.type == "info":
        return list(info(contract, metric).values())
    return [sample.text for sample in samples(contract, metric) if sample.text is not None]


def _labels(contract: Contract, metric: Metric) -> list[str]:
    """The labels beside `pool`."""
    if metric.type == "info":
        return list(info(contract, metric))
    label = sample_label(metric)
    return [] if label is None else [label]


PYTHON_HEAD = """\
from dataclasses import dataclass


@dataclass(frozen=True)
class MetricInfo:
    \"\"\"One metric. `labels` stand beside `pool`; `texts` are what the label may be, in the order of the samples, or
    of an info the value of each label.\"\"\"

    name: str
    family: str
    id: int
    type: str
    unit: str
    help: str
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    bounds: tuple[float, ...]


METRICS = (
"""


def python_table(contract: Contract) -> str:
    lines = [f"# {NOTICE}", f"# {LICENCE}", '"""The list of metrics."""', "", PYTHON_HEAD.rstrip()]
    for metric in contract.metrics:
        names = (metric.name, metric.family, metric.id, metric.type, metric.unit or "")
        lines.append("    MetricInfo(")
        lines += [f"        {_python(value)}," for value in names]
        lines.append(f"        {_python(metric.help)},")
        for values in (_labels(contract, metric), _texts(contract, metric), metric.bounds):
            inside = ", ".join(_python(value) for value in values)
            lines.append(f"        ({inside}{',' if len(values) == 1 else ''}),")
        lines.append("    ),")
    return "\n".join([*lines, ")", ""])


def _python(value: object) -> str:
    return '"' + value.replace('"', '\\"') + '"' if isinstance(value, str) else repr(value)


GO_HEAD = """\
package slabby

// Metric is one metric of the list in docs/metrics.md.
type Metric struct {
	// Name as it stands in a query, and Family without what OpenMetrics adds to the samples of its type.
	Name, Family string
	ID           int
	// gauge, counter, stateset, histogram or info
	Type string
	// bytes, seconds, or empty
	Unit, Help string
	// The labels beside pool.
	Labels []string
	// What the label may be, in the order of the samples; of an info the value of each label.
	Texts []string
	// Of the histogram: the limits of the classic buckets in seconds.
	Bounds []float64
}

var metrics = [...]Metric{
"""


def go_table(contract: Contract) -> str:
    lines = [f"// {GO_NOTICE}", f"// {LICENCE}", "", "//go:build cgo", "", GO_HEAD.rstrip()]
    for metric in contract.metrics:
        lines.append(
            f"\t{{Name: {go_string(metric.name)}, Family: {go_string(metric.family)}, ID: {metric.id}, "
            f"Type: {go_string(metric.type)}, Unit: {go_string(metric.unit or '')},"
        )
        for key, values in (
            ("Labels", _labels(contract, metric)),
            ("Texts", _texts(contract, metric)),
        ):
            if values:
                inside = ", ".join(go_string(value) for value in values)
                lines.append(f"\t\t{key + ':':7} []string{{{inside}}},")
        if metric.bounds:
            inside = ", ".join(le_text(bound) for bound in metric.bounds)
            lines.append(f"\t\tBounds: []float64{{{inside}}},")
        # gofmt aligns what stands one below the other.
        key = "Help:  " if metric.bounds or _labels(contract, metric) else "Help:"
        lines.append(f"\t\t{key} {go_string(metric.help)}}},")
    return "\n".join([*lines, "}", ""])


def outputs(contract: Contract) -> dict[str, str]:
    return {
        "docs/metrics.md": docs(contract),
        "python/slabby/_metric_table.py": python_table(contract),
        "go/metrics_gen.go": go_table(contract),
        "core/src/metric_table.h": header(contract),
        "core/src/metric_table.c": source(contract),
    }
