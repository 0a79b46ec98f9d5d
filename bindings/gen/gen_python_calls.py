# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions of the core as Python calls them: the common protocol, SWIG's stub, and CFFI's bodies."""

from __future__ import annotations

from pathlib import Path

from calls import Call, Parameter, python_type, visible
from contract import LICENCE, NOTICE
from header import HeaderError, Struct, cdef

# What stands beside the header in the CFFI module.
BESIDE = "uintptr_t slabby_table_address(void);\n"
TYPE_IMPORTS = "from collections.abc import Sequence\nfrom typing import Any{protocol}\n\n"
TYPES = "from slabby._types import FastSlab, Pool, SlabRef\n"


def signature(call: Call, first: str = "", indent: str = "") -> str:
    parameters = [first] if first else []
    parameters += [f"{p.name}: {python_type(p)}" for p in call.inputs]
    opening, result = f"{indent}def {call.name}(", f") -> {call.result_type()}:"
    line = opening + ", ".join(parameters) + result
    if len(line) < 96:
        return line
    rows = "".join(f"{indent}    {parameter},\n" for parameter in parameters)
    return f"{opening}\n{rows}{indent}{result}"


def head(about: str) -> str:
    return f'# {NOTICE}\n# {LICENCE}\n"""{about}"""\n\n'


def core_protocol(calls: list[Call]) -> str:
    lines = [
        head(
            "What both backends offer: the functions of slabby.h, results returned, errors raised."
        )
    ]
    lines += [TYPE_IMPORTS.format(protocol=", Protocol") + TYPES]
    lines += ["", "class Core(Protocol):", '    """A backend."""', ""]
    for call in calls:
        lines.append(signature(call, "self", "    ") + " ...")
    return "\n".join(lines) + "\n"


def swig_stub(calls: list[Call]) -> str:
    lines = [head("The SWIG backend.") + TYPE_IMPORTS.format(protocol="") + TYPES]
    lines += [signature(call) + " ..." for call in calls]
    lines += ["def slabby_table_address() -> int: ...", ""]
    return "\n".join(lines)


def unlocked(call: Call) -> str:
    return call.name.replace("slabby_", "slabby_unlocked_", 1)


def unlocked_prototype(call: Call) -> str:
    parameters = ",\n    ".join(_spelled(p) for p in call.parameters)
    return f"int32_t {unlocked(call)}(\n    {parameters})"


def _spelled(parameter: Parameter) -> str:
    const = "const " if parameter.is_const else ""
    space = "" if parameter.c_type.endswith("*") else " "
    return f"{const}{parameter.c_type}{space}{parameter.name}"


def cdef_text(root: Path, calls: list[Call]) -> str:
    note = f"/* {NOTICE}\n * {LICENCE} */\n"
    extra = "".join(f"{unlocked_prototype(c)};\n" for c in calls if c.blocks)
    return note + cdef(root) + BESIDE + extra


def unlocked_wrappers(calls: list[Call]) -> str:
    lines = [f"/* {NOTICE}", f" * {LICENCE} */"]
    lines += ["/* Functions that may block, with the GIL released around them. */"]
    for call in calls:
        if not call.blocks:
            continue
        names = ", ".join(p.name for p in call.parameters)
        lines += [
            "",
            f"static {unlocked_prototype(call)}",
            "{",
            "    PyThreadState *state = PyEval_SaveThread();",
            f"    int32_t status = {call.name}({names});",
            "",
            "    PyEval_RestoreThread(state);",
            "    return status;",
            "}",
        ]
    return "\n".join(lines) + "\n"


def struct_reader(struct: Struct) -> str:
    lines = [f"def _{struct.name}(record: Any) -> Sequence[Any]:", "    return ("]
    for member in struct.members:
        if member.name not in visible(struct):
            continue
        value = f"record.{member.name}"
        if member.type == "char":
            value = f'ffi.string({value}).decode("utf-8", "replace")'
        elif member.length:
            value = f"tuple({value})"
        lines.append(f"        {value},")
    return "\n".join([*lines, "    )"])


def _local(call: Call, name: str) -> str:
    """The name of a local variable, which must not be that of an argument: `status_` beside an argument `status`."""
    taken = {p.name for p in call.parameters if not p.role.startswith("text_")}
    while name in taken:
        name += "_"
    return name


def _checked(call: Call) -> Call:
    """HeaderError if an argument would hide a function or a module that the body uses."""
    for p in call.inputs:
        if p.name in GLOBALS:
            raise HeaderError(f"{call.name}: rename the parameter {p.name}, a name of CFFI_HEAD")
    return call


def _prepare(call: Call) -> list[str]:
    """The statements that make room for the results."""
    lines = []
    asked = call.capacity or call.by_role("count")
    length = asked.name if asked else ""
    for p in call.parameters:
        name, target = p.name, p.target
        if p.role in ("out_struct", "error"):
            lines.append(f'{name} = ffi.new("{target} *", (ffi.sizeof("{target}"),))')
        elif p.role == "out_records":
            lines += [f'{name} = ffi.new("{target}[]", max(1, {length}))']
            lines += [f'{name}[0].struct_size = ffi.sizeof("{target}")']
        elif p.role in ("out_numbers", "out_refs"):
            lines.append(f'{name} = ffi.new("{target}[]", {length})')
        elif p.role == "paired_datas":
            lines.append(f'{name} = ffi.new("void *[]", {length})')
        elif p.role == "cursor":
            lines.append(f'{_local(call, name + "_cell")} = ffi.new("{p.c_type}", {name})')
        elif p.role == "refs":
            lines.append(f'{_local(call, name + "_array")} = ffi.new("slabby_ref[]", {name})')
        elif p.is_output or p.role == "paired_data":
            lines.append(f'{name} = ffi.new("{p.c_type}")')
    return lines


def _argument(call: Call, parameter: Parameter) -> str:
    refs = call.by_role("refs")
    fixed = {
        "pool": f"_pool({parameter.name})",
        "pool_or_null": f"_pool_or_null({parameter.name})",
        "text": f"_bytes({parameter.name})",
        "address": f'ffi.cast("void *", {parameter.name})',
        "cursor": _local(call, f"{parameter.name}_cell"),
        "refs": _local(call, f"{parameter.name}_array"),
        "refs_count": f"len({refs.name if refs else ''})",
        "options": f"_pointer({parameter.name})",
        "listener": f"_pointer({parameter.name})",
        "text_buffer": _local(call, "buffer"),
        "text_capacity": _local(call, "size"),
        "text_length": _local(call, "length"),
    }
    return fixed.get(parameter.role, parameter.name)


def _result(call: Call, p: Parameter) -> str:
    def name(role: str) -> str:
        found = call.by_role(role)
        return found.name if found else ""

    pool = name("pool")
    filled = f"min({name('out_count')}[0], {name('capacity')})"
    datas = f"_address({name('paired_datas')})"
    fixed = {
        "out_pool": f"_address({p.name}[0])",
        "out_struct": f"_{p.target}({p.name})",
        "out_records": f"[_{p.target}({p.name}[at]) for at in range({filled})]",
        "out_numbers": f"list({p.name}[0:{filled}])",
        "out_ref": f"{pool}._wrap({p.name}[0], _address({name('paired_data')}[0]), True)",
        "out_refs": f"{pool}._wrap_all(_address({p.name}), {datas}, {name('count')})",
        "out_data": f"_address({p.name}[0])",
        "out_options": f"{p.name}[0]",
        "out_listener": f"{p.name}[0]",
        "cursor": f"int({_local(call, f'{p.name}_cell')}[0])",
    }
    return fixed.get(p.role, f"int({p.name}[0])")


def _check(call: Call) -> list[str]:
    if not call.status_raises():
        return []
    reference = call.by_role("ref")
    ref = reference.name if reference else "0"
    pool = call.pool.name if call.pool else "None"
    error = f", {call.error.name}" if call.error else ""
    status = _local(call, "status")
    return [f"if {status}:", f"    fail({status}, {pool}, {ref}{error})"]


def _text_body(call: Call) -> list[str]:
    arguments = ", ".join(_argument(call, p) for p in call.parameters)
    buffer, size, length, status = (
        _local(call, name) for name in ("buffer", "size", "length", "status")
    )
    return [
        f'{length} = ffi.new("uint64_t *")',
        f"{size} = TEXT_SIZE",
        "while True:",
        f'    {buffer} = ffi.new("char[]", {size})',
        f"    {status} = lib.{call.name}({arguments})",
        f"    if {status} != Status.BUFFER_TOO_SMALL:",
        "        break",
        f"    {size} = max(2 * {size}, {length}[0] + 1)",
        *_check(call),
        f"return _text({buffer})",
    ]


def _folded(opening: str, items: list[str], closing: str) -> list[str]:
    """One line where it fits, else one line an item."""
    line = opening + ", ".join(items) + closing
    if len(line) < 92:
        return [line]
    return [opening, *(f"    {item}," for item in items), closing]


def _returned(results: list[str]) -> list[str]:
    line = f"return {', '.join(results)}"
    return [line] if len(line) < 92 else _folded("return (", results, ")")


def cffi_body(call: Call) -> list[str]:
    if call.by_role("text_buffer"):
        return _text_body(call)
    if call.pool and call.pool_method:
        # The method makes the object that the call returns, and saves a detour.
        return [f"return {call.pool.name}.{call.name.removeprefix('slabby_')}()"]
    arguments = [_argument(call, p) for p in call.parameters]
    function = unlocked(call) if call.blocks else call.name
    invocation = f"lib.{function}({', '.join(arguments)})"
    if call.returns == "const char *":
        return [f"return _text({invocation})"]
    if call.returns == "void":
        return [invocation]
    if not call.returns_status:
        return [f"return int({invocation})"]
    results = [_result(call, p) for p in call.outputs]
    if not call.status_raises():
        results.append(f"int({_local(call, 'status')})")
    tail = _returned(results) if results else []
    crossing = _folded(f"{_local(call, 'status')} = lib.{function}(", arguments, ")")
    return [*_prepare(call), *crossing, *_check(call), *tail]


CFFI_HEAD = """\
from __future__ import annotations

from slabby._cffi import ffi, lib
from slabby._cffi_support import (
    TEXT_SIZE,
    _address,
    _bytes,
    _pointer,
    _pool,
    _pool_or_null,
    _text,
    fail,
)
from slabby._status import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from slabby._types import FastSlab, Pool, SlabRef
"""


# The names of it that a body uses.
GLOBALS = {
    *("ffi", "lib", "TEXT_SIZE", "fail", "Status", "int", "len", "list", "max", "min", "range"),
    *("_address", "_bytes", "_pointer", "_pool", "_pool_or_null", "_text"),
}


def cffi_calls(calls: list[Call], structs: list[Struct]) -> str:
    parts = [head("The functions of slabby.h over CFFI.") + CFFI_HEAD]
    parts += [struct_reader(struct) for struct in structs]
    for call in calls:
        parts.append(
            "\n".join([signature(call), *("    " + line for line in cffi_body(_checked(call)))])
        )
    return "\n\n".join(part.rstrip() + "\n" for part in parts)
