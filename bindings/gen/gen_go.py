# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the Go side: words, sentinels, options, snapshots, and the core as one file to compile."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import amalgamate
from contract import LICENCE, NOTICE, Contract, EnumType, Field, Option, Snapshot

WIDTH = 96
ACRONYMS = {"cpu": "CPU", "gc": "GC", "id": "ID", "api": "API", "os": "OS", "json": "JSON"}
# Flags whose function takes the value, beside those that are on by default.
SWITCHES = ("health_checks",)
# One function sets both: WithCircuitBreaker(threshold, timeout), written by hand.
BY_HAND = ("circuit_breaker_threshold", "circuit_breaker_timeout")
ARGUMENTS = {
    "count": ("count", "int"),
    "bytes": ("size", "int"),
    "duration": ("duration", "time.Duration"),
    "percent": ("percent", "int"),
    "text": ("text", "string"),
}
NATURAL_TYPES = {
    "u64": "uint64",
    "i64": "int64",
    "f64": "float64",
    "text": "string",
    "counts": "ErrorCounts",
    "bool32": "bool",
}
# Build constraints reach C files too: with the system's library the core in the folder stays out.
CORE_HEAD = f"// {amalgamate.NOTICE}\n//go:build cgo && !slabby_system\n\n"
STRUCTS = {"stats": "AllocatorStats", "health": "HealthMetrics", "memory": "MemoryUsage"}


def go_camel(name: str) -> str:
    """cpu_cache_backend -> CPUCacheBackend."""
    return "".join(ACRONYMS.get(part, part[:1].upper() + part[1:]) for part in name.split("_"))


def go_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def comment(text: str, indent: str = "") -> list[str]:
    return [f"{indent}// {line}" for line in textwrap.wrap(text, WIDTH - len(indent) - 3)]


def _head(imports: list[str], preamble: list[str]) -> list[str]:
    lines = [f"// {NOTICE}", f"// {LICENCE}", "", "//go:build cgo", "", "package slabby", ""]
    if preamble:
        lines += [*preamble, 'import "C"', ""]
    if len(imports) == 1:
        lines += [f'import "{imports[0]}"', ""]
    elif imports:
        lines += ["import (", *(f'\t"{name}"' for name in imports), ")", ""]
    return lines


def _columns(rows: Sequence[tuple[str, ...]], indent: str = "\t") -> list[str]:
    """Cells of a block in gofmt's columns; the last one is not padded."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]) - 1)]
    return [
        indent + " ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]])
        for row in rows
    ]


def _statuses(contract: Contract) -> list[str]:
    lines = [
        "// Status is what a call of the core answered: 0, or one of the negative values below.",
        "type Status int32",
        "",
        "// The statuses of the core.",
        "const (",
    ]
    rows = [(f"Status{s.name}", "Status", f"= {s.code}") for s in contract.statuses]
    lines += [*_columns(rows), ")", "", "// Sentinels for errors.Is, one for each status.", "var ("]
    errors = contract.statuses[1:]
    for status in errors:
        # Blank lines keep gofmt from aligning one entry with the next.
        lines += [""] if status is not errors[0] else []
        lines += comment(f"{status.go_name}: {status.message}.", "\t")
        lines.append(f"\t{status.go_name} error = &sentinels[-Status{status.name}]")
    lines += [")", "", "var sentinels = [...]Error{"]
    for status in errors:
        lines.append(f'\t-Status{status.name}: {{Status: Status{status.name}, Text: "" +')
        pieces = textwrap.wrap(status.message, WIDTH - 16, drop_whitespace=False)
        lines += [f"\t\t{go_string(piece)} +" for piece in pieces[:-1]]
        lines.append(f"\t\t{go_string(pieces[-1])}}},")
    return [*lines, "}", "", *_names("statusNames", [(s.name, s.name) for s in contract.statuses])]


def _names(variable: str, rows: list[tuple[str, str]]) -> list[str]:
    lines = [f"var {variable} = [...]string{{"]
    cells = [(f"-Status{key}:", f"{go_string(text)},") for key, text in rows]
    return [*lines, *_columns(cells), "}", ""]


def _enum(enum: EnumType) -> list[str]:
    name = go_camel(enum.name)
    receiver = name[:1].lower()
    lines = comment(f"{name} says {enum.meaning}.")
    lines += [f"type {name} int32", "", f"// The words of {name}.", "const ("]
    rows = [(name + go_camel(w.name), name, f"= {w.value}") for w in enum.words]
    lines += [*_columns(rows), ")", ""]
    lines += [
        f"// String returns the word as the options spell it, or {name}(n) for an unknown number.",
        f"func ({receiver} {name}) String() string {{",
        f"\tswitch {receiver} {{",
    ]
    for word in enum.words:
        lines.append(f"\tcase {name}{go_camel(word.name)}:")
        lines.append(f"\t\treturn {go_string(word.name)}")
    lines += [
        "\t}",
        f'\treturn "{name}(" + strconv.Itoa(int({receiver})) + ")"',
        "}",
        "",
        "// MarshalText gives JSON the word.",
        f"func ({receiver} {name}) MarshalText() ([]byte, error) {{",
        f"\treturn []byte({receiver}.String()), nil",
        "}",
        "",
        "// UnmarshalText reads what MarshalText writes.",
        f"func ({receiver} *{name}) UnmarshalText(text []byte) error {{",
        "\tswitch string(text) {",
    ]
    for word in enum.words:
        lines.append(f"\tcase {go_string(word.name)}:")
        lines.append(f"\t\t*{receiver} = {name}{go_camel(word.name)}")
    lines += [
        "\tdefault:",
        f'\t\treturn unmarshalNumber((*int32)({receiver}), "{name}", text)',
        "\t}",
        "\treturn nil",
        "}",
        "",
    ]
    return lines


def _option_ids(contract: Contract) -> list[str]:
    lines = [
        "// OptionID numbers an option, for SetOption, GetOption and WithOption.",
        "type OptionID int32",
        "",
        "// The options of a pool.",
        "const (",
    ]
    rows = [("Option" + go_camel(o.name), "OptionID", f"= {o.id}") for o in contract.options]
    presets = [("Preset" + go_camel(p.name), f'= "{p.name}"') for p in contract.presets]
    lines += [*_columns(rows), ")", "", "// The presets, for WithPreset.", "const ("]
    return [*lines, *_columns(presets), ")", ""]


def _range_text(option: Option) -> str:
    if option.kind == "flag" or option.kind == "enum":
        return ""
    if option.kind == "text":
        return f" At most {option.maximum} bytes."
    unit = {"duration": " ns", "bytes": " bytes", "percent": " %"}.get(option.kind, "")
    default = str(option.default).replace("_", " ")
    tail = ", a power of two" if option.power_of_two else ""
    return f" {option.minimum} to {option.maximum}{unit}{tail}; default {default}."


def _with(option: Option, name: str) -> list[str]:
    identifier = "Option" + go_camel(option.name)
    if option.kind == "flag":
        takes_value = option.default == 1 or option.name in SWITCHES
        arguments = "enabled bool" if takes_value else ""
        value = "flagValue(enabled)" if takes_value else "1"
    elif option.enum is not None:
        arguments = f"word {go_camel(option.enum.name)}"
        value = "int64(word)"
    else:
        argument, kind = ARGUMENTS[option.kind]
        arguments = f"{argument} {kind}"
        value = f"int64({argument})"
    text = f"{name} sets `{option.name}`: {option.meaning}.{_range_text(option)}"
    if option.hot:
        text += " Hot: SetOption changes it in a running pool."
    if not option.ready:
        text += " Not available yet: anything but the default makes New answer ErrNotSupported."
    lines = comment(text)
    lines.append(f"func {name}({arguments}) AllocatorOption {{")
    if option.kind == "text":
        lines.append(f"\treturn textOption({go_string(option.name)}, text)")
    else:
        lines.append(f"\treturn numberOption({identifier}, {value})")
    return [*lines, "}", ""]


def _options(contract: Contract) -> list[str]:
    lines = _option_ids(contract)
    for option in contract.options:
        if option.name in BY_HAND:
            continue
        for name in (option.go_name, option.go_alias):
            if name is not None:
                lines += _with(option, name)
    return lines


def contract_file(contract: Contract) -> str:
    lines = _head(["strconv"], [])
    lines += _statuses(contract)
    for enum in contract.enums:
        lines += _enum(enum)
    return "\n".join(lines).rstrip("\n") + "\n"


def options_file(contract: Contract) -> str:
    lines = [*_head(["time"], []), *_options(contract)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _field_type(field: Field) -> str:
    if field.go_type is not None:
        return field.go_type
    if field.enum is not None:
        return go_camel(field.enum.name)
    return NATURAL_TYPES[field.type]


def _load(field: Field) -> str:
    source = f"raw.{field.name}"
    kind = _field_type(field)
    if field.type == "text":
        return f"C.GoString(&{source}[0])"
    if field.type == "bool32":
        return f"{source} != 0"
    if field.type == "counts":
        return f"errorCounts({source}[:])"
    if field.enum is not None and kind == "string":
        return f"{go_camel(field.enum.name)}({source}).String()"
    return f"{kind}({source})"


def _snapshot(snapshot: Snapshot) -> list[str]:
    name = STRUCTS[snapshot.name]
    lines = comment(f"{name} is the snapshot that {snapshot.function} takes.")
    lines.append(f"type {name} struct {{")
    for field in snapshot.fields:
        unit = f" ({field.unit})" if field.unit else ""
        lines += [""] if field is not snapshot.fields[0] else []
        lines += comment(f"{field.go_name}: {field.meaning}{unit}.", "\t")
        kind = "" if field.kind == "gauge" else f' slabby:"{field.kind}"'
        lines.append(f'\t{field.go_name} {_field_type(field)} `json:"{field.name}"{kind}`')
    lines += ["}", "", f"func (s *{name}) load(raw *C.{snapshot.struct}) {{"]
    lines += [f"\ts.{field.go_name} = {_load(field)}" for field in snapshot.fields]
    return [*lines, "}", ""]


def snapshots_file(contract: Contract) -> str:
    uses_time = any(
        (field.go_type or "").startswith("time.") for s in contract.snapshots for field in s.fields
    )
    lines = _head(["time"] if uses_time else [], ['// #include "shim.h"'])
    for snapshot in contract.snapshots:
        lines += _snapshot(snapshot)
    return "\n".join(lines).rstrip("\n") + "\n"


def readiness_file(contract: Contract) -> str:
    """What the contract calls ready, for the tests."""
    lines = [f"// {NOTICE}", f"// {LICENCE}", "", "//go:build cgo", "", "package slabby_test", ""]
    lines += ['import slabby "github.com/slabby/slabby/go"', ""]
    lines += ["// waitingOptions answer ErrNotSupported for anything but the default."]
    start = "var waitingOptions = map[slabby.OptionID]string{"
    rows = [
        (f"slabby.Option{go_camel(option.name)}:", f"{go_string(option.name)},")
        for option in contract.options
        if not option.ready
    ]
    lines += [start, *_columns(rows), "}", ""] if rows else [start + "}", ""]
    lines += [
        "// hotOptions says of each option with a number that works whether a running pool takes a change."
    ]
    lines += ["var hotOptions = map[slabby.OptionID]bool{"]
    rows = [
        (f"slabby.Option{go_camel(option.name)}:", f"{str(option.hot).lower()},")
        for option in contract.options
        if option.ready and option.kind != "text"
    ]
    lines += [*_columns(rows), "}", ""]
    lines += ["// readyFunctions says which functions of the core work; the others answer"]
    lines += ["// ErrNotSupported.", "var readyFunctions = map[string]bool{"]
    rows = [(f"{go_string(f.name)}:", f"{str(f.ready).lower()},") for f in contract.functions]
    return "\n".join([*lines, *_columns(rows), "}"]) + "\n"


def conformance_enums(contract: Contract) -> str:
    """Options by name, for the Go runner of the conformance programs."""
    lines = [f"// {NOTICE}", f"// {LICENCE}", "", "package main", ""]
    lines += ['import slabby "github.com/slabby/slabby/go"', ""]
    lines += ["var optionIDs = map[string]slabby.OptionID{"]
    width = max(len(option.name) for option in contract.options) + 3
    for option in contract.options:
        name = f"{go_string(option.name)}:"
        lines.append(f"\t{name:{width}} slabby.Option{go_camel(option.name)},")
    return "\n".join([*lines, "}"]) + "\n"


def outputs(contract: Contract) -> dict[str, str]:
    """The generated files of the Go module, the core included."""
    texts = {
        "go/zz_contract.go": contract_file(contract),
        "go/zz_options.go": options_file(contract),
        "go/zz_snapshots.go": snapshots_file(contract),
        "go/zz_readiness_test.go": readiness_file(contract),
        "tests/conformance/go/zz_enums.go": conformance_enums(contract),
    }
    header, source = amalgamate.texts(contract.root)
    texts["go/slabby.h"] = header
    texts["go/slabby_core.c"] = CORE_HEAD + source
    return texts
