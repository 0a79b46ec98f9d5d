# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the C side: codes.h for everybody, the core's tables, and the list of exported symbols."""

from __future__ import annotations

import textwrap

from contract import LICENCE, NOTICE, Contract, EnumType, Field, Option, Snapshot

WIDTH = 100
FIELD_TYPES = {
    "u64": "SLB_FIELD_U64",
    "i64": "SLB_FIELD_I64",
    "f64": "SLB_FIELD_F64",
    "text": "SLB_FIELD_TEXT",
    "counts": "SLB_FIELD_COUNTS",
    "bool32": "SLB_FIELD_BOOL32",
    "enum": "SLB_FIELD_ENUM",
}


def c_comment(text: str, indent: str = "") -> str:
    """A comment that stays within the width."""
    lines = textwrap.wrap(text, WIDTH - len(indent) - 6)
    return indent + "/* " + f"\n{indent} * ".join(lines) + " */"


def c_string(text: str) -> str:
    """A C literal. Other than quotes and backslashes the contract holds plain ASCII."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def c_strings(text: str, indent: str) -> str:
    """A literal split over lines, joined by the compiler, each after `indent`."""
    space = WIDTH - len(indent) - 6
    lines = textwrap.wrap(text, space, drop_whitespace=False, break_long_words=False)
    return f"\n{indent}".join(c_string(line) for line in lines)


def c_number(value: int) -> str:
    """A constant that fits int64_t whatever the width of int."""
    return str(value) if -(2**31) < value < 2**31 else f"INT64_C({value})"


def _head() -> list[str]:
    return [f"/* {NOTICE}", f" * {LICENCE} */"]


def _enumeration(name: str, meaning: str, rows: list[tuple[str, int, str | None]]) -> list[str]:
    lines = ["", c_comment(meaning), f"enum {name} {{"]
    for at, (constant, value, comment) in enumerate(rows):
        end = "" if at + 1 == len(rows) else ","
        if comment is not None:
            lines.append(c_comment(comment, "    "))
        lines.append(f"    {constant} = {value}{end}")
    return [*lines, "};"]


def _enumerator_comment(enum: EnumType, name: str) -> str:
    return f'{enum.name} "{name}"'


def _version_macros(contract: Contract) -> list[str]:
    """What the header says of itself; slabby_version and slabby_abi_version say it of the library."""
    major, minor, patch = contract.library.version.split(".")
    return [
        c_comment("The version of this header; the number compares as versions do."),
        f'#define SLABBY_VERSION "{contract.library.version}"',
        f"#define SLABBY_VERSION_MAJOR {major}",
        f"#define SLABBY_VERSION_MINOR {minor}",
        f"#define SLABBY_VERSION_PATCH {patch}",
        f"#define SLABBY_VERSION_NUMBER {int(major) * 10000 + int(minor) * 100 + int(patch)}",
        f"#define SLABBY_ABI_VERSION {contract.library.abi_version}",
    ]


def codes_header(contract: Contract) -> str:
    lines = _head() + ["#ifndef SLABBY_CODES_H", "#define SLABBY_CODES_H", ""]
    lines += _version_macros(contract)
    lines += _enumeration(
        "slabby_status_code",
        "What a call answers: 0 or one of these. Values are never reused.",
        [(status.c_name, status.code, status.message) for status in contract.statuses],
    )
    lines += _enumeration(
        "slabby_option_id",
        "The options by number; docs/contract.md has their units, defaults and limits.",
        [(option.c_name, option.id, option.meaning) for option in contract.options],
    )
    for enum in contract.enums:
        rows = [
            (enum.c_name(each), each.value, _enumerator_comment(enum, each.name))
            for each in enum.enumerators
        ]
        lines += _enumeration(f"slabby_{enum.name}", enum.meaning, list(rows))
    return "\n".join([*lines, "", "#endif", ""])


HEADER_TYPES = """\
/* An enumerator: its text and its number. A list of them ends with a null text. */
struct slb_enumerator {
    const char *text;
    int64_t value;
};

struct slb_status_info {
    int32_t code;
    const char *name;
    const char *message;
};

enum slb_option_kind {
    SLB_KIND_FLAG,
    SLB_KIND_COUNT,
    SLB_KIND_BYTES,
    SLB_KIND_DURATION,
    SLB_KIND_PERCENT,
    SLB_KIND_ENUM,
    SLB_KIND_TEXT
};

/* Where an option's default comes from: a number, or something known only when the pool is made. */
enum slb_default_rule {
    SLB_DEFAULT_NUMBER,
    SLB_DEFAULT_CPUS,
    SLB_DEFAULT_CACHE_LINE,
    SLB_DEFAULT_CAPACITY
};

/* default_value is 0 where default_rule is not SLB_DEFAULT_NUMBER. The limits of a text are lengths
 * in bytes, without the NUL. enumerators is null where the option is no enumeration. */
struct slb_option_info {
    const char *name;
    int64_t default_value;
    int64_t minimum;
    int64_t maximum;
    const struct slb_enumerator *enumerators;
    const char *meaning;
    uint8_t kind;
    uint8_t default_rule;
    uint8_t hot;
    uint8_t power_of_two;
};

/* Two options that cannot both be on, or at a value where that is not 0. */
struct slb_conflict {
    struct {
        int32_t option;
        int64_t value;
        const char *text;
    } sides[2];
    const char *reason;
};

/* The options of a use case, ended by option 0; "default" has none and sets every option back. */
struct slb_preset_value {
    int32_t option;
    int64_t value;
};

struct slb_preset {
    const char *name;
    const struct slb_preset_value *values;
};

/* How a field lies in its struct: COUNTS is one uint64_t per status, at index -code; BOOL32 and
 * ENUM are int32_t. */
enum slb_field_type {
    SLB_FIELD_U64,
    SLB_FIELD_I64,
    SLB_FIELD_F64,
    SLB_FIELD_TEXT,
    SLB_FIELD_COUNTS,
    SLB_FIELD_BOOL32,
    SLB_FIELD_ENUM
};

/* offset is in bytes from the start of the struct; enumerators is null but for SLB_FIELD_ENUM. */
struct slb_field {
    const char *name;
    const struct slb_enumerator *enumerators;
    uint16_t offset;
    uint8_t type;
};

/* The tables are generated whole, whether or not this version of the core reads every one. In the
 * single-file build they are static: C allows to declare those ahead when the size is known. */
#define SLB_TABLE SLB_SHARED_DATA __attribute__((unused)) const
"""


def _tables(contract: Contract) -> list[tuple[str, str, str]]:
    """(struct, table, size macro) of each table that other files see."""
    tables = [
        ("slb_status_info", "slb_statuses", "SLB_STATUS_COUNT"),
        ("slb_option_info", "slb_options_table", "SLB_OPTION_COUNT"),
        ("slb_conflict", "slb_conflicts", "SLB_CONFLICT_COUNT"),
        ("slb_preset", "slb_presets", "SLB_PRESET_COUNT"),
    ]
    for snapshot in contract.snapshots:
        macro = f"SLB_{snapshot.name.upper()}_FIELD_COUNT"
        tables.append(("slb_field", f"slb_{snapshot.name}_fields", macro))
    return tables


def contract_header(contract: Contract) -> str:
    counts = {
        "SLB_STATUS_COUNT": len(contract.statuses),
        "SLB_OPTION_COUNT": len(contract.options),
        "SLB_CONFLICT_COUNT": len(contract.plain_conflicts),
        "SLB_PRESET_COUNT": len(contract.presets),
    }
    for snapshot in contract.snapshots:
        counts[f"SLB_{snapshot.name.upper()}_FIELD_COUNT"] = len(snapshot.fields)
    lines = _head() + ["/* The contract as tables, for the core alone. */"]
    lines += ["#ifndef SLB_CONTRACT_H", "#define SLB_CONTRACT_H", ""]
    lines += ["#include <stdint.h>", "", '#include "base.h"', '#include "slabby/slabby.h"', ""]
    lines.append(f"#define SLB_VERSION_TEXT {c_string(contract.library.version)}")
    lines.append(f"#define SLB_ABI_VERSION {contract.library.abi_version}")
    lines += [f"#define {macro} {count}" for macro, count in counts.items()]
    lines += [
        "",
        HEADER_TYPES,
        "/* Index: -code, id - 1, and the order of the struct's members. */",
    ]
    lines += [f"SLB_TABLE struct {kind} {name}[{size}];" for kind, name, size in _tables(contract)]
    for enum in contract.enums:
        if enum.in_core:
            size = len(enum.enumerators) + 1
            lines.append(f"SLB_TABLE struct slb_enumerator slb_enum_{enum.name}[{size}];")
    return "\n".join([*lines, "", "#endif", ""])


def _enums(enum: EnumType) -> list[str]:
    prefix = "SLB_PRIVATE" if enum.in_core else "static"
    size = len(enum.enumerators) + 1
    lines = [f"{prefix} const struct slb_enumerator slb_enum_{enum.name}[{size}] = {{"]
    for each in enum.enumerators:
        lines.append(f"    {{{c_string(each.name)}, {enum.c_name(each)}}},")
    return [*lines, "    {NULL, 0},", "};", ""]


def _used_enums(contract: Contract) -> list[EnumType]:
    fields = [field for snapshot in contract.snapshots for field in snapshot.fields]
    used = {option.enum for option in contract.options} | {field.enum for field in fields}
    return [enum for enum in contract.enums if enum in used or enum.in_core]


def _option_row(option: Option) -> list[str]:
    rule = option.default_rule
    default = option.default if isinstance(option.default, int) else 0
    facts = [f".default_value = {c_number(default)}", f".minimum = {c_number(option.minimum)}"]
    facts.append(f".maximum = {c_number(option.maximum)}")
    kinds = [f".kind = SLB_KIND_{option.kind.upper()}"]
    kinds.append(f".default_rule = SLB_DEFAULT_{(rule or 'number').upper()}")
    flags = [f".hot = {int(option.hot)}"]
    flags.append(f".power_of_two = {int(option.power_of_two)}")
    indent = " " * 8
    return [
        f"    [{option.c_name} - 1] = {{",
        f"{indent}.name = {c_string(option.name)},",
        f"{indent}{', '.join(facts)},",
        f"{indent}.enumerators = {f'slb_enum_{option.enum.name}' if option.enum else 'NULL'},",
        f"{indent}.meaning = {c_strings(option.meaning, indent + ' ' * 11)},",
        f"{indent}{', '.join(kinds)},",
        f"{indent}{', '.join(flags)},",
        "    },",
    ]


def _field_row(snapshot: Snapshot, field: Field) -> str:
    enumerators = f"slb_enum_{field.enum.name}" if field.enum else "NULL"
    offset = f"offsetof({snapshot.struct}, {field.name})"
    row = f"    {{{c_string(field.name)}, {enumerators}, {offset}, {FIELD_TYPES[field.type]}}},"
    return row if len(row) <= WIDTH else row.replace(" offsetof", "\n        offsetof")


def _presets(contract: Contract) -> list[str]:
    lines, rows = [], []
    for preset in contract.presets:
        table = f"slb_preset_{preset.name}"
        lines.append(f"static const struct slb_preset_value {table}[{len(preset.values) + 1}] = {{")
        lines += [f"    {{{option.c_name}, {c_number(value)}}}," for option, value in preset.values]
        lines += ["    {0, 0},", "};", ""]
        rows.append(f"    {{{c_string(preset.name)}, {table}}},")
    lines.append("SLB_PRIVATE const struct slb_preset slb_presets[SLB_PRESET_COUNT] = {")
    return [*lines, *rows, "};"]


def contract_source(contract: Contract) -> str:
    lines = _head() + ['#include "slabby_contract.h"', "", "#include <stddef.h>", ""]
    for enum in _used_enums(contract):
        lines += _enums(enum)
    lines.append("SLB_PRIVATE const struct slb_status_info slb_statuses[SLB_STATUS_COUNT] = {")
    for status in contract.statuses:
        message = c_strings(status.message, " " * 8)
        lines.append(f"    [-{status.c_name}] = {{{status.c_name}, {c_string(status.name)},")
        lines.append(f"        {message}}},")
    lines += ["};", ""]
    lines.append("SLB_PRIVATE const struct slb_option_info slb_options_table[SLB_OPTION_COUNT] = {")
    for option in contract.options:
        lines += _option_row(option)
    lines += ["};", ""]
    lines.append("SLB_PRIVATE const struct slb_conflict slb_conflicts[SLB_CONFLICT_COUNT] = {")
    for conflict in contract.plain_conflicts:
        sides = [
            f"{{{contract.option(side.option).c_name}, {side.enumerator.value if side.enumerator else 0}, "
            f"{c_string(side.text)}}}"
            for side in conflict.sides
        ]
        lines.append(f"    {{{{{sides[0]},")
        lines.append(f"      {sides[1]}}},")
        lines.append(f"        {c_strings(conflict.reason, ' ' * 8)}}},")
    lines.append("};")
    lines += ["", *_presets(contract)]
    for snapshot in contract.snapshots:
        macro = f"SLB_{snapshot.name.upper()}_FIELD_COUNT"
        lines.append("")
        lines.append(f"SLB_PRIVATE const struct slb_field slb_{snapshot.name}_fields[{macro}] = {{")
        lines += [_field_row(snapshot, field) for field in snapshot.fields]
        lines.append("};")
    return "\n".join([*lines, ""])


def symbol_map(contract: Contract) -> str:
    """The linker's version script. The node's number is the library's soname."""
    lines = [*_head(), "SLABBY_0 {", "global:"]
    lines += [f"    {function.name};" for function in contract.functions]
    return "\n".join([*lines, "local:", "    *;", "};", ""])


def outputs(contract: Contract) -> dict[str, str]:
    return {
        "core/include/slabby/codes.h": codes_header(contract),
        "core/src/slabby_contract.h": contract_header(contract),
        "core/src/slabby_contract.c": contract_source(contract),
        "core/slabby.map": symbol_map(contract),
    }
