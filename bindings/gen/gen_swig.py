# SPDX-License-Identifier: GPL-3.0-or-later
"""What SWIG is told of slabby.h's parameters: names, types and positions for the maps of the Python backend
(swig/slabby_python_maps.i), and the list of results for the languages of the flat binding (swig/slabby_flat.i)."""

from __future__ import annotations

from calls import Call, Parameter, calls_of, unbound, visible
from contract import LICENCE, NOTICE, Contract
from header import HEADER_PATH, HeaderError, Member, Struct

MAKERS = {
    "uint64_t": "PyLong_FromUnsignedLongLong",
    "slabby_ref": "PyLong_FromUnsignedLongLong",
    "uint32_t": "PyLong_FromUnsignedLong",
    "int64_t": "PyLong_FromLongLong",
    "int32_t": "PyLong_FromLong",
    "double": "PyFloat_FromDouble",
}


def member_value(member: Member, source: str) -> str:
    value = f"{source}->{member.name}"
    if member.type == "char":
        return f"decode({value})"
    if member.length:
        return f"counts_tuple({value}, {member.length})"
    return f"{MAKERS[member.type]}({value})"


def struct_tuple(struct: Struct) -> str:
    members = [m for m in struct.members if m.name in visible(struct)]
    lines = [f"static PyObject *{struct.name}_values(const {struct.name} *record)", "{"]
    lines += [f"    PyObject *values = PyList_New({len(members)});", ""]
    lines += ["    if (values == NULL)", "        return NULL;"]
    for at, member in enumerate(members):
        value = member_value(member, "record")
        lines.append(f"    PyList_SetItem(values, {at}, {value});")
    return "\n".join([*lines, "    return complete_values(values);", "}"])


def arg(parameter: Parameter | None) -> str:
    """The variable of a parameter in SWIG's wrapper."""
    return f"arg{parameter.position}" if parameter else "NULL"


def filling(call: Call) -> list[str]:
    """Statements before the call that make room for arrays whose length is another argument."""
    lines = []
    length = arg(call.capacity or call.by_role("count"))
    for p in call.parameters:
        space = arg(p)
        if p.role in ("out_records", "out_numbers", "out_refs", "paired_datas"):
            lines += [f"    {space} = make_space({length}, sizeof *{space});"]
            lines += [f"    if ({space} == NULL)", "        SWIG_fail;"]
        if p.role == "out_records":
            lines.append(f"    {space}->struct_size = sizeof *{space};")
    return lines


def action(call: Call) -> list[str]:
    if call.by_role("text_buffer"):
        space, size = arg(call.by_role("text_buffer")), arg(call.by_role("text_capacity"))
        length = arg(call.by_role("text_length"))
        return [
            f"    for ({size} = 512;; {size} = *{length} + 1) {{",
            f"        free({space});",
            f"        {space} = make_space({size}, 1);",
            f"        if ({space} == NULL)",
            "            SWIG_fail;",
            "        $action",
            "        if (result != SLABBY_BUFFER_TOO_SMALL)",
            "            break;",
            "    }",
        ]
    if call.blocks:
        return ["    Py_BEGIN_ALLOW_THREADS", "    $action", "    Py_END_ALLOW_THREADS"]
    return ["    $action"]


def input_object(call: Call, parameter: Parameter) -> str:
    """The Python object of an input in SWIG's wrapper."""
    return f"swig_obj[{call.inputs.index(parameter)}]"


def exception(call: Call) -> str:
    lines = [f"%exception {call.name} {{", *filling(call), *action(call)]
    if call.status_raises():
        pool = input_object(call, call.pool) if call.pool else "NULL"
        reference = call.by_role("ref")
        ref = arg(reference) if reference else "0"
        lines += ["    if (result != SLABBY_OK) {"]
        lines += [f"        types_api->fail({pool}, {ref}, result, {arg(call.error)});"]
        lines += ["        SWIG_fail;", "    }"]
    return "\n".join([*lines, "}"])


def array_results(call: Call) -> list[str]:
    """Each name of an array belongs to one function, so that the positions of its lengths are known."""
    lines = []
    for p in call.outputs:
        if p.role == "out_refs":
            lines.append(f"REFS_RESULT({arg(call.by_role('count'))})")
        elif p.role in ("out_records", "out_numbers"):
            macro = "RECORDS_RESULT" if p.role == "out_records" else "NUMBERS_RESULT"
            lengths = f"{arg(call.by_role('out_count'))}, {arg(call.capacity)}"
            lines.append(f"{macro}({p.target}, {p.name}, {lengths})")
    return lines


def number_results(calls: list[Call]) -> list[str]:
    """A line for each name and type of a number that a function stores."""
    numbers: dict[tuple[str, str], bool] = {}
    for call in calls:
        for p in call.parameters:
            if p.role in ("out_number", "out_count"):
                key = p.name, p.target
                numbers[key] = numbers.get(key, False) or not call.status_raises()
    lines = []
    for (name, c_type), with_status in sorted(numbers.items()):
        macro = "NUMBER_AND_STATUS_RESULT" if with_status else "NUMBER_RESULT"
        lines.append(f"{macro}({c_type}, {name}, {MAKERS[c_type]})")
    return lines


def typemaps(contract: Contract) -> str:
    calls, structs = calls_of(contract)
    parameters = [p for call in calls for p in call.parameters]
    records = {(p.target, p.name) for p in parameters if p.role == "out_struct"}
    # Their members arrive as tuples: nothing needs an object around a struct.
    hidden = [*(struct.name for struct in structs), "slabby_error"]
    parts = [
        f"/* {NOTICE}\n * {LICENCE} */",
        "%{\n" + "\n\n".join(struct_tuple(struct) for struct in structs) + "\n%}",
        "\n".join(f"RECORD_RESULT({c_type}, {name})" for c_type, name in sorted(records)),
        "\n".join(number_results(calls)),
        "\n".join(line for call in calls for line in array_results(call)),
        "\n".join(f"%ignore {name};" for name in [*unbound(contract), *hidden]),
    ]
    return "\n\n".join(parts + [exception(call) for call in calls]) + "\n"


def results(contract: Contract) -> str:
    """Which parameters are results, in macros that slabby_flat.i defines for every language."""
    calls, structs = calls_of(contract)
    parameters = [p for call in calls for p in call.parameters]
    # Where Python makes one object of a number and the address beside it, the flat binding has two results.
    stored = ("out_number", "out_count", "out_ref", "out_id")
    numbers = sorted({(p.name, p.target) for p in parameters if p.role in stored})
    lines = [f"/* {NOTICE}\n * {LICENCE} */", "/* Numbers that a function stores. */"]
    for name, c_type in numbers:
        append = "APPEND_SIGNED" if c_type.startswith("int") else "APPEND_UNSIGNED"
        lines.append(f"NUMBER_RESULT({c_type}, {name}, {append})")
    arrays = {p.name for p in parameters if p.role in ("out_numbers", "out_refs")}
    if clashes := arrays & {name for name, _ in numbers}:
        names = ", ".join(sorted(clashes))
        raise HeaderError(f"{HEADER_PATH}: {names} is one number here and many there; rename one")
    lines += ["", "/* Texts. */"]
    lines += [f"TEXT_RESULT({call.name})" for call in calls if call.by_role("text_buffer")]
    lines += ["", "/* Structs, and arrays of those that a cursor fills. */"]
    lines += [f"RECORD({struct.name})" for struct in structs] + ["RECORD(slabby_error)"]
    records = sorted({(p.target, p.name) for p in parameters if p.role == "out_records"})
    lines += [f"RECORDS({c_type}, {name.removeprefix('out_')})" for c_type, name in records]
    lines += [""] + [f"%ignore {name};" for name in unbound(contract)]
    return "\n".join(lines) + "\n"


def outputs(contract: Contract) -> dict[str, str]:
    return {
        "swig/slabby_typemaps.i": typemaps(contract),
        "swig/slabby_results.i": results(contract),
    }
