# SPDX-License-Identifier: GPL-3.0-or-later
"""What SWIG is told of slabby.h's parameters: the typemaps of the Python backend, and the list of results
for the languages of the flat binding (swig/slabby_flat.i)."""

from __future__ import annotations

from calls import NOT_IN_PYTHON, Call, Parameter, calls_of, visible
from contract import LICENCE, NOTICE, Contract
from header import Member, Struct

FIXED = """\
/* The pool: any Allocator, whichever backend opened it. */
%typemap(in) slabby_allocator *allocator {
    $1 = types_api->handle($input);
    if ($1 == NULL)
        SWIG_fail;
}

/* A status was handled by the %exception of its function. */
%typemap(out) slabby_status {
    $result = Py_NewRef(Py_None);
}

%typemap(in, numinputs=0) slabby_error *out_error (slabby_error record) {
    memset(&record, 0, sizeof record);
    record.struct_size = sizeof record;
    $1 = &record;
}

%typemap(in, numinputs=0) slabby_allocator **out_allocator (slabby_allocator *handle = NULL) {
    $1 = &handle;
}
%typemap(argout) slabby_allocator **out_allocator {
    $result = add_result($result, PyLong_FromVoidPtr(*$1));
}

/* The results that need the pool take it along, as consecutive parameters. */
%typemap(in) (slabby_ref *out_ref, void **out_data, slabby_allocator *allocator)
    (slabby_ref reference = 0, void *data = NULL) {
    $1 = &reference;
    $2 = &data;
    $3 = types_api->handle($input);
    if ($3 == NULL)
        SWIG_fail;
}
%typemap(argout) (slabby_ref *out_ref, void **out_data, slabby_allocator *allocator) {
    $result = add_result($result, types_api->make_ref($input, *$1, *$2));
}
%typemap(in) (void **out_data, uint32_t *out_id, slabby_allocator *allocator)
    (void *data = NULL, uint32_t number = 0) {
    $1 = &data;
    $2 = &number;
    $3 = types_api->handle($input);
    if ($3 == NULL)
        SWIG_fail;
}
%typemap(argout) (void **out_data, uint32_t *out_id, slabby_allocator *allocator) {
    $result = add_result($result, types_api->make_fast($input, *$1, *$2));
}
%typemap(in) (slabby_ref *out_refs, void **out_datas, slabby_allocator *allocator) {
    $1 = NULL;
    $2 = NULL;
    $3 = types_api->handle($input);
    if ($3 == NULL)
        SWIG_fail;
}
%typemap(freearg) (slabby_ref *out_refs, void **out_datas, slabby_allocator *allocator) {
    free($1);
    free($2);
}

%typemap(in, numinputs=0) void **out_data (void *data = NULL) {
    $1 = &data;
}
%typemap(argout) void **out_data {
    $result = add_result($result, PyLong_FromVoidPtr(*$1));
}

/* Text grows in the %exception of its function until it fits. */
%typemap(in, numinputs=0) (char *buffer, uint64_t capacity, uint64_t *out_length)
    (uint64_t length = 0) {
    $1 = NULL;
    $2 = 0;
    $3 = &length;
}
%typemap(argout) (char *buffer, uint64_t capacity, uint64_t *out_length) {
    $result = add_result($result, decode($1));
}
%typemap(freearg) (char *buffer, uint64_t capacity, uint64_t *out_length) {
    free($1);
}

%typemap(in) uint64_t *cursor (uint64_t position) {
    position = PyLong_AsUnsignedLongLong($input);
    if (position == (uint64_t)-1 && PyErr_Occurred())
        SWIG_fail;
    $1 = &position;
}
%typemap(argout) uint64_t *cursor {
    $result = add_result($result, PyLong_FromUnsignedLongLong(*$1));
}

%typemap(in) (const slabby_ref *refs, uint64_t count) {
    $1 = numbers_from($input, &$2);
    if ($1 == NULL)
        SWIG_fail;
}
%typemap(freearg) (const slabby_ref *refs, uint64_t count) {
    free($1);
}

%typemap(in) slabby_options *options, const slabby_options *options, slabby_listener *listener {
    $1 = opaque_from($input, "$1_basetype");
    if (PyErr_Occurred())
        SWIG_fail;
}
%typemap(in, numinputs=0) slabby_options **out_options (slabby_options *made = NULL) {
    $1 = &made;
}
%typemap(in, numinputs=0) slabby_listener **out_listener (slabby_listener *made = NULL) {
    $1 = &made;
}
%typemap(argout) slabby_options **out_options, slabby_listener **out_listener {
    $result = add_result($result, PyCapsule_New(*$1, "$1_basetype", NULL));
}
"""

MAKERS = {
    "uint64_t": "PyLong_FromUnsignedLongLong",
    "slabby_ref": "PyLong_FromUnsignedLongLong",
    "uint32_t": "PyLong_FromUnsignedLong",
    "int64_t": "PyLong_FromLongLong",
    "int32_t": "PyLong_FromLong",
    "double": "PyFloat_FromDouble",
}
TAKERS = {
    "uint64_t": ("unsigned long long", "PyLong_AsUnsignedLongLong", "UINT64_MAX"),
    "slabby_ref": ("unsigned long long", "PyLong_AsUnsignedLongLong", "UINT64_MAX"),
    "uint32_t": ("unsigned long", "PyLong_AsUnsignedLong", "UINT32_MAX"),
    "int64_t": ("long long", "PyLong_AsLongLong", ""),
    "int32_t": ("long", "PyLong_AsLong", ""),
    "slabby_status": ("long", "PyLong_AsLong", ""),
}


def scalar_in(c_type: str) -> str:
    """Whole numbers in full width: a 64-bit reference never passes through a double."""
    wide, function, _ = TAKERS[c_type]
    return "\n".join(
        [
            f"%typemap(in) {c_type} {{",
            f"    {wide} wide = {function}($input);",
            "    if (PyErr_Occurred())",
            "        SWIG_fail;",
            f"    if (wide != ({wide})({c_type})wide) {{",
            f'        PyErr_SetString(PyExc_OverflowError, "$1_name does not fit {c_type}");',
            "        SWIG_fail;",
            "    }",
            f"    $1 = ({c_type})wide;",
            "}",
        ]
    )


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


def struct_maps(struct: Struct, parameters: set[tuple[str, str]]) -> list[str]:
    parts = []
    for name, role in sorted(parameters):
        if role == "out_struct":
            parts += [
                f"%typemap(in, numinputs=0) {struct.name} *{name} ({struct.name} record) {{",
                "    memset(&record, 0, sizeof record);",
                "    record.struct_size = sizeof record;",
                "    $1 = &record;",
                "}",
                f"%typemap(argout) {struct.name} *{name} {{",
                f"    $result = add_result($result, {struct.name}_values($1));",
                "}",
            ]
        else:
            parts += [
                f"%typemap(in, numinputs=0) {struct.name} *{name} {{",
                "    $1 = NULL;",
                "}",
                f"%typemap(freearg) {struct.name} *{name} {{",
                "    free($1);",
                "}",
            ]
    return parts


def scalar_out(parameter: Parameter, with_status: bool) -> list[str]:
    target = parameter.target
    status = ["    $result = add_result($result, PyLong_FromLong(result));"] if with_status else []
    return [
        f"%typemap(in, numinputs=0) {target} *{parameter.name} ({target} number = 0) {{",
        "    $1 = &number;",
        "}",
        f"%typemap(argout) {target} *{parameter.name} {{",
        f"    $result = add_result($result, {MAKERS[target]}(*$1));",
        *status,
        "}",
    ]


def arg(parameter: Parameter | None) -> str:
    return f"arg{parameter.position}" if parameter else "NULL"


def filling(call: Call) -> list[str]:
    """Statements before the call that make room for arrays whose length is another argument."""
    lines = []
    length = arg(call.capacity) if call.capacity else "arg4"
    for p in call.parameters:
        if p.role in ("out_records", "out_numbers", "out_refs") or p.name == "out_datas":
            size = f"sizeof *arg{p.position}"
            lines += [f"    arg{p.position} = make_space({length}, {size});"]
            lines += [f"    if (arg{p.position} == NULL)", "        SWIG_fail;"]
        if p.role == "out_records":
            lines.append(f"    arg{p.position}->struct_size = sizeof *arg{p.position};")
    return lines


def action(call: Call) -> list[str]:
    text = call.by_role("out_text")
    if text is not None:
        length = next(p for p in call.parameters if p.role == "text_length")
        capacity = next(p for p in call.parameters if p.role == "text_capacity")
        space, size = arg(text), arg(capacity)
        return [
            f"    for ({size} = 512;; {size} = *{arg(length)} + 1) {{",
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
    if len(call.inputs) == 1:
        return "swig_obj[0]"
    return f"swig_obj[{call.inputs.index(parameter)}]"


def exception(call: Call) -> str:
    lines = [f"%exception {call.name} {{", *filling(call), *action(call)]
    if call.status_raises():
        pool = input_object(call, call.pool) if call.pool else "NULL"
        refs = [p for p in call.parameters if p.role == "scalar" and p.c_type == "slabby_ref"]
        ref = arg(refs[0]) if refs else "0"
        lines += ["    if (result != SLABBY_OK) {"]
        lines += [f"        types_api->fail({pool}, {ref}, result, {arg(call.error)});"]
        lines += ["        SWIG_fail;", "    }"]
    return "\n".join([*lines, "}"])


def array_maps(call: Call) -> list[str]:
    """Arrays of results. Each name belongs to one function, so that the positions of its length are known."""
    parts: list[str] = []
    count = next((q for q in call.parameters if q.name in ("out_count", "count")), None)
    for p in call.outputs:
        if p.role == "out_refs":
            value = f"types_api->make_refs($input, $1, $2, {arg(count)})"
            pattern = "(slabby_ref *out_refs, void **out_datas, slabby_allocator *allocator)"
        elif p.role in ("out_records", "out_numbers"):
            maker = f"{p.target}_list" if p.role == "out_records" else "numbers_list"
            value = f"{maker}($1, smaller(*{arg(count)}, {arg(call.capacity)}))"
            pattern = f"{p.target} *{p.name}"
        else:
            continue
        if p.role == "out_numbers":
            parts += [f"%typemap(in, numinputs=0) {pattern} {{", "    $1 = NULL;", "}"]
            parts += [f"%typemap(freearg) {pattern} {{", "    free($1);", "}"]
        parts += [f"%typemap(argout) {pattern} {{"]
        parts += [f"    $result = add_result($result, {value});", "}"]
    return parts


def struct_list(struct: Struct) -> str:
    return "\n".join(
        [
            f"static PyObject *{struct.name}_list(const {struct.name} *records, uint64_t count)",
            "{",
            "    PyObject *list = PyList_New((Py_ssize_t)count);",
            "",
            "    for (uint64_t at = 0; list != NULL && at < count; at++) {",
            f"        PyObject *record = {struct.name}_values(&records[at]);",
            "        if (record == NULL)",
            "            Py_CLEAR(list);",
            "        else",
            "            PyList_SetItem(list, (Py_ssize_t)at, record);",
            "    }",
            "    return list;",
            "}",
        ]
    )


def typemaps(contract: Contract) -> str:
    calls, structs = calls_of(contract)
    uses: dict[str, set[tuple[str, str]]] = {struct.name: set() for struct in structs}
    scalars: dict[tuple[str, str], Parameter] = {}
    with_status: set[tuple[str, str]] = set()
    for call in calls:
        for p in call.parameters:
            if p.role in ("out_struct", "out_records"):
                uses[p.target].add((p.name, p.role))
            if p.role == "out_scalar":
                scalars[p.name, p.target] = p
                if not call.status_raises():
                    with_status.add((p.name, p.target))
    parts = [f"/* {NOTICE}\n * {LICENCE} */"]
    lists = [s for s in structs if any(role == "out_records" for _, role in uses[s.name])]
    readers = [struct_tuple(s) for s in structs] + [struct_list(s) for s in lists]
    parts.append("%{\n" + "\n\n".join(readers) + "\n%}")
    parts.append(FIXED.rstrip())
    parts += [scalar_in(c_type) for c_type in TAKERS]
    parts += ["\n".join(struct_maps(s, uses[s.name])) for s in structs]
    parts += ["\n".join(scalar_out(scalars[key], key in with_status)) for key in sorted(scalars)]
    parts += ["\n".join(maps) for call in calls if (maps := array_maps(call))]
    parts += [f"%ignore {name};" for name in NOT_IN_PYTHON]
    parts += [exception(call) for call in calls]
    return "\n\n".join(parts) + "\n"


def results(contract: Contract) -> str:
    """Which parameters are results, in words that slabby_flat.i defines for every language."""
    calls, structs = calls_of(contract)
    parameters = {(p.target, p.name, p.role) for call in calls for p in call.parameters}
    parameters |= {(p.target, p.name, "out_scalar") for p in paired(calls)}
    numbers = sorted((name, t) for t, name, role in parameters if role == "out_scalar")
    lines = [f"/* {NOTICE}\n * {LICENCE} */", "/* Numbers that a function stores. */"]
    for name, c_type in numbers:
        append = "APPEND_SIGNED" if c_type.startswith("int") else "APPEND_UNSIGNED"
        lines.append(f"NUMBER_RESULT({c_type}, {name}, {append})")
    arrays = {(name, t) for t, name, role in parameters if role in ("out_numbers", "out_refs")}
    clashes = {name for name, _ in arrays} & {name for name, _ in numbers}
    if clashes:
        raise ValueError(f"slabby.h: {', '.join(clashes)} is one number here and many there")
    lines += ["", "/* Texts. */"]
    lines += [f"TEXT_RESULT({call.name})" for call in calls if call.by_role("out_text")]
    lines += ["", "/* Structs, and arrays of those that a cursor fills. */"]
    lines += [f"RECORD({struct.name})" for struct in structs] + ["RECORD(slabby_error)"]
    records = sorted({(t, name) for t, name, role in parameters if role == "out_records"})
    lines += [f"RECORDS({t}, {name.removeprefix('out_')})" for t, name in records]
    lines += [""] + [f"%ignore {name};" for name in NOT_IN_PYTHON]
    return "\n".join(lines) + "\n"


def paired(calls: list[Call]) -> list[Parameter]:
    """The number beside a pointer: one result where Python makes an object of both."""
    return [p for call in calls for p in call.parameters if p.role in ("out_ref", "out_fast")]


def outputs(contract: Contract) -> dict[str, str]:
    return {
        "swig/slabby_typemaps.i": typemaps(contract),
        "swig/slabby_results.i": results(contract),
    }
