# SPDX-License-Identifier: GPL-3.0-or-later
"""What each prototype of slabby.h looks like from a language where results are returned.

Both Python backends offer every function under its C name: in-parameters in the header's order, out-parameters as
the result (None, one value, or a tuple), an exception for every status but OK.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from contract import Contract, Function
from entry import CONTRACT_PATH
from header import HEADER_PATH, Header, HeaderError, Prototype, Struct, read

SCALARS = {
    "uint64_t": "int",
    "int64_t": "int",
    "uint32_t": "int",
    "int32_t": "int",
    "slabby_ref": "int",
    "slabby_status": "int",
    "double": "float",
}
NUMBERS = tuple(SCALARS)
STORED_NUMBERS = tuple(f"{name} *" for name in SCALARS)

# What a parameter is to a binding, as the contract says of each, and the C types that it may have (without const).
# None: any struct of the header that begins with struct_size.
ROLES: dict[str, tuple[str, ...] | None] = {
    # What the caller gives.
    "pool": ("slabby_allocator *",),
    "options": ("slabby_options *",),
    "listener": ("slabby_listener *",),
    # Null: no pool in particular.
    "pool_or_null": ("slabby_allocator *",),
    "number": NUMBERS,
    "ref": ("slabby_ref",),
    "text": ("char *",),
    # Where something lies; a number in languages without pointers.
    "address": ("void *",),
    # Memory that a binding's own compiled code works on.
    "lease": ("uint64_t",),
    "out_lease": ("uint64_t *",),
    "callback": ("slabby_log_function",),
    "context": ("void *",),
    # An array and its length.
    "refs": ("slabby_ref *",),
    "refs_count": ("uint64_t",),
    # How many slabs are asked for: the length of out_refs and paired_datas.
    "count": ("uint64_t",),
    # How many records or numbers the caller has room for; out_count tells how many there are.
    "capacity": ("uint64_t",),
    # Moved on by the call.
    "cursor": ("uint64_t *",),
    # A text that the call stores: the three stand together.
    "text_buffer": ("char *",),
    "text_capacity": ("uint64_t",),
    "text_length": ("uint64_t *",),
    # What was wrong with a cold call.
    "error": ("slabby_error *",),
    # Results.
    "out_pool": ("slabby_allocator **",),
    "out_options": ("slabby_options **",),
    "out_listener": ("slabby_listener **",),
    "out_number": STORED_NUMBERS,
    "out_count": ("uint64_t *",),
    "out_numbers": ("uint64_t *", "slabby_ref *"),
    "out_struct": None,
    "out_records": None,
    "out_data": ("void **",),
    # An allocation: bindings make one object of the reference or id and the address beside it, paired_data.
    "out_ref": ("slabby_ref *",),
    "out_refs": ("slabby_ref *",),
    "out_id": ("uint32_t *",),
    "paired_data": ("void **",),
    "paired_datas": ("void **",),
}
OPAQUE_INPUTS = ("options", "listener")
OPAQUE_RESULTS = ("out_options", "out_listener")
INPUTS = (
    "pool",
    "pool_or_null",
    *OPAQUE_INPUTS,
    "number",
    "ref",
    "text",
    "address",
    "cursor",
    "refs",
    "capacity",
    "count",
)
RESULTS = (
    "out_pool", *OPAQUE_RESULTS, "out_number", "out_count", "out_numbers", "out_struct", "out_records", "out_data",
    "out_ref", "out_refs", "out_id", "cursor", "text_buffer",
)  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    name: str
    # As in C, without const, "uint64_t *" for a pointer.
    c_type: str
    is_const: bool
    role: str
    position: int

    @property
    def target(self) -> str:
        """What a pointer points to."""
        return self.c_type.rstrip("* ")

    @property
    def is_input(self) -> bool:
        return self.role in INPUTS

    @property
    def is_output(self) -> bool:
        return self.role in RESULTS


@dataclass(frozen=True)
class Call:
    name: str
    returns: str
    parameters: tuple[Parameter, ...]
    blocks: bool
    # The status stands beside the results, because part of the work may be done all the same.
    partial: bool
    pool_method: bool

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
        return self.by_role("capacity")

    @property
    def returns_status(self) -> bool:
        return self.returns == "slabby_status"

    def status_raises(self) -> bool:
        return self.returns_status and not self.partial

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
        "pool_or_null": "Pool | None",
        "options": "Any",
        "listener": "Any",
        "text": "str",
        "refs": "Sequence[int]",
        "out_options": "Any",
        "out_listener": "Any",
        "text_buffer": "str",
        "out_struct": "Sequence[Any]",
        "out_records": "list[Sequence[Any]]",
        "out_numbers": "list[int]",
        "out_ref": "SlabRef",
        "out_refs": "list[SlabRef]",
        "out_id": "tuple[FastSlab, int]",
    }
    return fixed.get(parameter.role) or SCALARS.get(parameter.c_type, "int")


def _checked_role(entry: str, name: str, c_type: str, role: str, structs: set[str]) -> str:
    if role not in ROLES:
        raise HeaderError(f"{entry}: role {role!r} of `{name}` is none of {', '.join(ROLES)}")
    types = ROLES[role] or tuple(f"{struct} *" for struct in sorted(structs))
    if c_type not in types:
        raise HeaderError(
            f"{entry}: `{name}` has the role {role!r} and the type `{c_type}`; choose the role that fits"
        )
    return role


def _parameters(
    prototype: Prototype, function: Function, structs: set[str]
) -> tuple[Parameter, ...]:
    entry = f"{HEADER_PATH}:{prototype.line}: {prototype.name}"
    texts = [] if prototype.parameters == "void" else prototype.parameters.split(", ")
    found = []
    for text in texts:
        match = re.fullmatch(r"(const )?(\w+) ?(\**)(?:const \*)?(\w+)", text)
        if match is None:
            raise HeaderError(f"{entry}: cannot read parameter `{text}`")
        found.append((match[4], f"{match[2]} {match[3]}".strip(), match[1] is not None))
    names = [name for name, _, _ in found]
    if names != list(function.roles):
        listed = ", ".join(function.roles) or "none"
        raise HeaderError(
            f"{entry} has the parameters {', '.join(names) or 'none'}; its `roles` in {CONTRACT_PATH} are of {listed}"
        )
    return tuple(
        Parameter(
            name,
            c_type,
            is_const,
            _checked_role(entry, name, c_type, function.roles[name], structs),
            at,
        )
        for at, (name, c_type, is_const) in enumerate(found, start=1)
    )


def all_calls(contract: Contract, header: Header) -> list[Call]:
    """Every function of the header that has an entry in the contract."""
    structs = {struct.name for struct in header.structs}
    functions = {function.name: function for function in contract.functions}
    calls = []
    for prototype in header.prototypes:
        function = functions.get(prototype.name)
        if function is not None:
            parameters = _parameters(prototype, function, structs)
            calls.append(
                Call(
                    prototype.name,
                    prototype.returns,
                    parameters,
                    function.blocks,
                    function.partial,
                    function.pool_method,
                )
            )
    return calls


def is_bound(call: Call) -> bool:
    """A callback on a foreign thread hangs interpreters: they read the event cursor instead. Leases are for compiled
    code."""
    return not any(call.by_role(role) for role in ("callback", "lease", "out_lease"))


def calls_of(contract: Contract) -> tuple[list[Call], list[Struct]]:
    """The functions and the structs of the header that interpreters reach."""
    header = read(Path(contract.root))
    calls = [call for call in all_calls(contract, header) if is_bound(call)]
    return calls, [struct for struct in header.structs if struct.name != "slabby_error"]


def unbound(contract: Contract) -> list[str]:
    """The functions that interpreters do not reach."""
    calls = all_calls(contract, read(Path(contract.root)))
    return [call.name for call in calls if not is_bound(call)]


def visible(struct: Struct) -> list[str]:
    """The members that Python sees, in order."""
    return [m.name for m in struct.members if m.name not in ("struct_size", "reserved")]
