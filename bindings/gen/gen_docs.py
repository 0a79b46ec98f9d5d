# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/contract.md: every name of the contract with its meaning, for readers."""

from __future__ import annotations

from collections.abc import Iterable

import header
from contract import LICENCE, NOTICE, Contract, EnumType, Field, Option, Snapshot
from gen_header import spelled_statuses

OPTION_UNITS = {"bytes": "bytes", "duration": "ns", "percent": "%", "count": "count"}
DEFAULT_RULES = {
    "cpus": "configured CPUs",
    "cache_line": "cache line",
    "capacity": "the pool's capacity",
}


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table; bars inside cells are escaped."""
    heads = list(titles)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return lines


def code(text: str) -> str:
    return f"`{text}`"


def yes(condition: bool) -> str:
    return "yes" if condition else "no"


def _statuses(contract: Contract) -> list[str]:
    rows = []
    for status in contract.statuses:
        python, go = "no exception", "nil"
        if status.python_base is not None:
            python = f"{code(status.python_name)} ({status.python_base})"
            go = code(status.go_name)
        names = [status.name, str(status.code), code(status.c_name), python, go]
        rows.append([*names, status.message])
    text = [
        "## Statuses",
        "",
        "The name is the same everywhere; codes are never reused. The builtin in parentheses is",
        "what the Python exception derives from beside `SlabbyError`.",
        "",
    ]
    return text + table(["name", "code", "C", "Python (also a)", "Go", "meaning"], rows)


def _default(option: Option) -> str:
    if option.default_rule is not None:
        return DEFAULT_RULES[option.default_rule]
    if option.enum is not None:
        return next(e.name for e in option.enum.enumerators if e.value == option.default)
    if option.kind == "flag":
        return "on" if option.default else "off"
    return str(option.default) if option.default != "" else '""'


def _range(option: Option) -> str:
    if option.kind == "flag":
        return "off, on"
    if option.enum is not None:
        return ", ".join(f"{e.name} ({e.value})" for e in option.enum.enumerators)
    if option.kind == "text":
        return f"up to {option.maximum} bytes"
    power = ", a power of two" if option.power_of_two else ""
    return f"{option.minimum} to {option.maximum}{power}"


def _go(option: Option) -> str:
    return code(option.go_name) + (f", {code(option.go_alias)}" if option.go_alias else "")


def _options(contract: Contract) -> list[str]:
    rows = []
    for option in contract.options:
        name = [code(option.name), str(option.id), _go(option), option.kind]
        limits = [OPTION_UNITS.get(option.kind, ""), _default(option), _range(option)]
        rows.append([*name, *limits, yes(option.hot), option.meaning])
    text = [
        "## Options",
        "",
        "The name is the text name and the Python keyword; in C the number is",
        "`SLABBY_OPTION_` + the name in capitals. A hot option can be changed while the pool runs.",
        "",
    ]
    titles = ["name", "number", "Go", "kind", "unit", "default", "range", "hot", "meaning"]
    lines = text + table(titles, rows)
    lines += ["", "Options that cannot be had together (OptionConflict):", ""]
    conflicts = [
        [*(code(side.text) for side in conflict.sides), conflict.where or "always", conflict.reason]
        for conflict in contract.conflicts
    ]
    return lines + table(["option", "with", "where", "because"], conflicts)


def _presets(contract: Contract) -> list[str]:
    def spelled(option: Option, value: int) -> str:
        if option.kind == "flag":
            return code(option.name)
        unit = OPTION_UNITS.get(option.kind, "")
        return code(option.name) + f" {value}" + (f" {unit}" if unit not in ("", "count") else "")

    rows = [
        [
            code(preset.name),
            ", ".join(spelled(option, value) for option, value in preset.values) or "all defaults",
            preset.meaning,
        ]
        for preset in contract.presets
    ]
    text = [
        "## Presets",
        "",
        "Options of a use case in one call: `slabby_options_preset`, Python's keyword `preset`, Go's",
        "`WithPreset`. What is set after it overrides; what a preset does not name stays.",
        "",
    ]
    return text + table(["preset", "options", "for"], rows)


def _enums(contract: Contract) -> list[str]:
    def spelled(enum: EnumType) -> str:
        return ", ".join(f"{each.name} = {each.value}" for each in enum.enumerators)

    rows = [[code(enum.name), spelled(enum), enum.meaning] for enum in contract.enums]
    text = [
        "## Enumerations",
        "",
        "They cross the interface as int32 or as an option's number. In C an enumerator is",
        "`SLABBY_` + the enumeration + `_` + the enumerator, in capitals; in text it is lower case.",
        "",
    ]
    return text + table(["enumeration", "enumerators", "meaning"], rows)


def _type(field: Field) -> str:
    if field.enum is not None:
        return field.enum.name
    return f"{field.type}[{field.length}]" if field.type in ("text", "counts") else field.type


def _snapshot(snapshot: Snapshot) -> list[str]:
    rows = []
    for field in snapshot.fields:
        rows.append([code(field.name), _type(field), field.kind, field.unit or "", field.meaning])
    text = [
        f"## Fields of {snapshot.name}",
        "",
        f"What `{snapshot.function}` puts into `{snapshot.struct}`, in the struct's order after",
        "`struct_size` and `reserved`; the JSON key is the name.",
        "",
    ]
    return text + table(["field", "type", "kind", "unit", "meaning"], rows)


def _functions(contract: Contract) -> list[str]:
    """The meaning is the first sentence of the header's comment."""
    meanings = {
        found.name: header.summary(found) for found in header.read(contract.root).prototypes
    }
    rows = []
    for function in contract.functions:
        facts = [yes(function.blocks), yes(function.signal_safe), function.since]
        statuses = spelled_statuses(function)
        rows.append([code(function.name), meanings.get(function.name, ""), *facts, statuses])
    text = [
        "## Functions",
        "",
        "`core/include/slabby/slabby.h` has the prototypes and describes them in full. A function that",
        "blocks may wait for other threads or keep the system busy; bindings let their own other",
        "threads run meanwhile. In signal handlers, calls that allocate or release are not safe with",
        "`debug` or `guard_sample_rate`, and not where a slab comes from or goes to the heap",
        "(`heap_fallback`).",
        "",
    ]
    titles = ["function", "does", "blocks", "in signal handlers", "since", "answers"]
    return text + table(titles, rows)


def _endpoints(contract: Contract) -> list[str]:
    endpoints = contract.endpoints
    paths = [
        [code(p.path), ", ".join(map(code, p.query)), code(p.type), p.meaning]
        for p in endpoints.paths
    ]
    reasons = []
    for reason in endpoints.reasons:
        test = {"is": "is", "is_not": "is not", "above": "is above"}[reason.test]
        unless = f", and the pool is not {reason.unless}" if reason.unless else ""
        condition = f"{reason.field} {test} {reason.value}{unless}"
        row = [code(reason.name), reason.status, condition, reason.meaning, reason.advice]
        reasons.append(row)
    text = [
        "## Endpoints",
        "",
        "What Go and Python answer over HTTP; [endpoints.md](endpoints.md) describes it.",
        "",
    ]
    lines = text + table(["path", "query", "type", "answer"], paths)
    lines += ["", "Why a pool is not well, the gravest first:", ""]
    titles = ["reason", "status", "when", "meaning", "what to do"]
    return lines + table(titles, reasons)


def outputs(contract: Contract) -> dict[str, str]:
    lines = [f"<!-- {NOTICE}", f"     {LICENCE} -->", "", "# The contract", ""]
    library = contract.library
    lines += [
        f"Version {library.version}, binary interface {library.abi_version}. Sizes are bytes,",
        "durations nanoseconds. Types: u64 and i64 are whole numbers of 64 bits, f64 is a double,",
        "bool32 is 0 or 1, counts[N] holds one number per status at index -code.",
        "",
    ]
    sections = [_statuses(contract), _options(contract), _presets(contract)]
    sections.append(_enums(contract))
    sections += [_snapshot(snapshot) for snapshot in contract.snapshots]
    sections += [_endpoints(contract), _functions(contract)]
    for section in sections:
        lines += [*section, ""]
    return {"docs/contract.md": "\n".join(lines)}
