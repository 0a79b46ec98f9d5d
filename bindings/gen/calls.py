# SPDX-License-Identifier: GPL-3.0-or-later
"""What each prototype of slabby.h looks like from a language where results are returned.

Both Python backends offer every function under its C name: in-parameters in the header's order, out-parameters as
the result (None, one value, or a tuple), an exception for every status but OK.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from contract import Contract
from header import HeaderError, Prototype, Struct, read

# Callbacks on foreign threads hang interpreters: Python reads the event cursor instead.
NOT_IN_PYTHON = ("slabby_options_set_logger",)
# Its status stands beside its count, because some references may be released all the same.
STATUS_RETURNED = ("slabby_release_batch",)

SCALARS = {
    "uint64_t": "int",
    "int64_t": "int",
    "uint32_t": "int",
    "int32_t": "int",
    "slabby_ref": "int",
    "slabby_status": "int",
    "double": "float",
}
OPAQUE = ("slabby_options", "slabby_listener")


@dataclass(frozen=True)
class Parameter:
    name: str
    # As in C, without const, "uint64_t *" for a pointer.
    c_type: str
    role: str
    position: int

    @property
    def target(self) -> str:
        """What a pointer points to."""
        return self.c_type.rstrip("* ")

    @property
    def is_input(self) -> bool:
        return self.role in ("pool", "opaque", "scalar", "text", "cursor", "refs")

    @property
    def is_output(self) -> bool:
        return self.role.startswith("out_") or self.role == "cursor"


@dataclass(frozen=True)
class Call:
    name: str
    returns: str
    parameters: tuple[Parameter, ...]
    blocks: bool

    def by_role(self, role: str) -> Parameter | None:
        return next((p for p in self.parameters if p.role == role), None)

    @property
    def inputs(self) -> list[Parameter]:
        return [p for p in self.parameters if p.is_input]

    @property
    def outputs(self) -> list[Parameter]:
        return [p for p in self.parameters if p.is_output]

    @property
    def pool(self) -> Parameter | None:
        return self.by_role("pool")

    @property
    def error(self) -> Parameter | None:
        return self.by_role("error")

    @property
    def capacity(self) -> Parameter | None:
        """The length of the arrays to fill, which the caller chooses."""
        arrays = [p for p in self.parameters if p.role in ("out_records", "out_numbers")]
        return next((p for p in self.parameters if arrays and p.name == "capacity"), None)

    @property
    def returns_status(self) -> bool:
        return self.returns == "slabby_status"

    def status_raises(self) -> bool:
        return self.returns_status and self.name not in STATUS_RETURNED

    def result_type(self) -> str:
        """The Python type of the result."""
        if not self.returns_status:
            return {"const char *": "str", "void": "None"}.get(self.returns, "int")
        types = [python_type(p) for p in self.outputs]
        if not self.status_raises():
            types.append("int")
        if len(types) > 1:
            return f"tuple[{', '.join(types)}]"
        return types[0] if types else "None"


def python_type(parameter: Parameter) -> str:
    fixed = {
        "pool": "Pool",
        "opaque": "Any",
        "text": "str",
        "refs": "Sequence[int]",
        "cursor": "int",
        "out_handle": "int",
        "out_opaque": "Any",
        "out_text": "str",
        "out_struct": "Sequence[Any]",
        "out_records": "list[Sequence[Any]]",
        "out_numbers": "list[int]",
        "out_ref": "SlabRef",
        "out_refs": "list[SlabRef]",
        "out_fast": "tuple[FastSlab, int]",
        "out_scalar": "int",
        "out_pointer": "int",
    }
    return fixed.get(parameter.role) or SCALARS[parameter.c_type]


def _pointer_role(name: str, c_type: str, names: set[str], structs: set[str]) -> str | None:
    target = c_type.rstrip("* ")
    many = "capacity" in names and "out_count" in names
    if c_type == "slabby_allocator **":
        return "out_handle"
    if target in OPAQUE:
        return "out_opaque" if c_type.endswith("**") else "opaque"
    if name in ("out_data", "out_datas"):
        paired = names & {"out_ref", "out_refs", "out_id"}
        return "follower" if paired else "out_pointer"
    if name == "out_refs" and "out_datas" in names:
        return "out_refs"
    if name == "out_ref" and "out_data" in names:
        return "out_ref"
    if name == "out_id" and "out_data" in names:
        return "out_fast"
    if target in structs:
        return "out_records" if many else "out_struct"
    if target in SCALARS and name.startswith("out_"):
        return "out_numbers" if many and name in ("out_tickets", "out_refs") else "out_scalar"
    return None


def _role(name: str, c_type: str, names: set[str], structs: set[str]) -> str:
    fixed = {
        ("slabby_allocator *", "allocator"): "pool",
        ("slabby_error *", "out_error"): "error",
        ("char *", "buffer"): "out_text",
        ("uint64_t *", "out_length"): "text_length",
        ("uint64_t *", "cursor"): "cursor",
        ("slabby_ref *", "refs"): "refs",
    }
    if (c_type, name) in fixed:
        return fixed[c_type, name]
    if name == "capacity" and "buffer" in names:
        return "text_capacity"
    if name == "count" and "refs" in names:
        return "refs_count"
    if c_type == "char *":
        return "text"
    role = "scalar" if c_type in SCALARS else _pointer_role(name, c_type, names, structs)
    if role is None:
        raise HeaderError(f"slabby.h: no rule for parameter `{c_type} {name}`; teach calls.py")
    return role


def _parameters(prototype: Prototype, structs: set[str]) -> tuple[Parameter, ...]:
    if prototype.parameters == "void":
        return ()
    found = []
    for text in prototype.parameters.split(", "):
        match = re.fullmatch(r"(?:const )?(\w+) ?(\**)(?:const \*)?(\w+)", text)
        if match is None:
            raise HeaderError(f"slabby.h:{prototype.line}: cannot read parameter `{text}`")
        found.append((match[3], f"{match[1]} {match[2]}".strip()))
    names = {name for name, _ in found}
    return tuple(
        Parameter(name, c_type, _role(name, c_type, names, structs), at)
        for at, (name, c_type) in enumerate(found, start=1)
    )


def calls_of(contract: Contract) -> tuple[list[Call], list[Struct]]:
    """The functions and the structs of the header that Python reaches."""
    header = read(Path(contract.root))
    structs = {struct.name for struct in header.structs}
    blocking = {function.name for function in contract.functions if function.blocks}
    calls = [
        Call(p.name, p.returns, _parameters(p, structs), p.name in blocking)
        for p in header.prototypes
        if p.name not in NOT_IN_PYTHON
    ]
    return calls, [struct for struct in header.structs if struct.name != "slabby_error"]


def visible(struct: Struct) -> list[str]:
    """The members that Python sees, in order."""
    return [m.name for m in struct.members if m.name not in ("struct_size", "reserved")]
