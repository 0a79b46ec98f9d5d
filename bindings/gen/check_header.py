# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares slabby.h with the contract: entries, statuses, names and structs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from contract import Contract, Field, Function, Snapshot
from entry import CONTRACT_PATH
from header import HEADER_PATH, Header, Member, Prototype, Struct

STATUS_TYPE = "slabby_status"
FIELD_TYPES = {"u64": "uint64_t", "i64": "int64_t", "f64": "double", "text": "char",
               "counts": "uint64_t", "bool32": "int32_t", "enum": "int32_t"}  # fmt: skip
# Two humps or more, as the names of most statuses have, and no other word of the comments.
CAMEL_CASE = re.compile(r"\b(?:[A-Z][a-z]+){2,}(?:ID)?\b|\b[A-Z][a-z]+(?:[A-Z][a-z]+)*ID\b")


def _entry(prototype: Prototype) -> str:
    return f"{HEADER_PATH}:{prototype.line}: {prototype.name}"


def _pairs(contract: Contract, header: Header) -> list[tuple[Prototype, Function]]:
    entries = {function.name: function for function in contract.functions}
    return [(found, entries[found.name]) for found in header.prototypes if found.name in entries]


def entries(contract: Contract, header: Header) -> Iterator[str]:
    """Every prototype has a [[function]] entry and the reverse, in one order."""
    declared = [prototype.name for prototype in header.prototypes]
    listed = [function.name for function in contract.functions]
    for prototype in header.prototypes:
        if prototype.name not in listed:
            yield f"{_entry(prototype)} has no [[function]] entry in {CONTRACT_PATH}; add it"
    for name in listed:
        if name not in declared:
            yield f"{CONTRACT_PATH}: function '{name}' is not declared in {HEADER_PATH}; remove it"
    if set(declared) == set(listed) and declared != listed:
        first = next(pair for pair in zip(declared, listed) if pair[0] != pair[1])
        yield f"{CONTRACT_PATH}: function '{first[1]}' stands where the header has '{first[0]}'"


def statuses(contract: Contract, header: Header) -> Iterator[str]:
    """A function that returns a status lists what it may answer, OK first; others list nothing."""
    for prototype, function in _pairs(contract, header):
        listed = ", ".join(function.statuses)
        if prototype.returns != STATUS_TYPE and listed:
            yield f"{_entry(prototype)} returns no status, the contract lists {listed}"
        if prototype.returns == STATUS_TYPE and function.statuses[:1] != ("OK",):
            yield f"{_entry(prototype)} returns a status, but the contract's list does not begin with OK"


def names(contract: Contract, header: Header) -> Iterator[str]:
    """Constants, statuses, functions and types that comments mention exist."""
    known = {status.name for status in contract.statuses}
    constants = {status.c_name for status in contract.statuses} | {"SLABBY_H"}
    constants |= {option.c_name for option in contract.options}
    for enum in contract.enums:
        constants |= {enum.c_name(enumerator) for enumerator in enum.enumerators}
    constants |= set(re.findall(r"^#define (SLABBY_\w+)", header.text, re.MULTILINE))
    declared = {prototype.name for prototype in header.prototypes}
    declared |= set(re.findall(r"\b(slabby_\w+)(?:;|\)\()", header.text))
    for comment in header.comments:
        entry = f"{HEADER_PATH}:{comment.line}: the comment mentions"
        for name in sorted(set(CAMEL_CASE.findall(comment.text)) - known):
            yield f"{entry} {name}, which is no status of {CONTRACT_PATH}"
        for name in sorted(set(re.findall(r"\bSLABBY_\w+", comment.text)) - constants):
            yield f"{entry} {name}, which is no constant of codes.h"
        for name in sorted(set(re.findall(r"\bslabby_\w+", comment.text)) - declared):
            yield f"{entry} {name}, which is not declared"


def _wanted(field: Field) -> Member:
    length = field.length if field.type in ("text", "counts") else 0
    return Member(field.name, FIELD_TYPES[field.type], length)


def _spell_member(member: Member) -> str:
    return f"{member.type} {member.name}" + (f"[{member.length}]" if member.length else "")


def _compare(snapshot: Snapshot, struct: Struct) -> Iterator[str]:
    entry = f"{HEADER_PATH}:{struct.line}: {struct.name}"
    head = (Member("struct_size", "uint32_t", 0), Member("reserved", "uint32_t", 0))
    wanted = [*head, *(_wanted(field) for field in snapshot.fields)]
    for found, due in zip(struct.members, wanted):
        if found != due:
            is_due = f"where the contract has {_spell_member(due)!r}"
            yield f"{entry} has {_spell_member(found)!r} {is_due}"
            return
    for member in struct.members[len(wanted) :]:
        yield f"{entry} ends with {_spell_member(member)!r}, which {CONTRACT_PATH} lacks; add it"
    for member in wanted[len(struct.members) :]:
        yield f"{entry} lacks {_spell_member(member)!r} of {CONTRACT_PATH}; append it"


def structs(contract: Contract, header: Header) -> Iterator[str]:
    """The fields of each snapshot are the struct's members, in order and type."""
    found = {struct.name: struct for struct in header.structs}
    for snapshot in contract.snapshots:
        if snapshot.struct in found:
            yield from _compare(snapshot, found[snapshot.struct])
        else:
            entry = f"{CONTRACT_PATH}: snapshot '{snapshot.name}'"
            yield f"{entry}: struct {snapshot.struct} is not defined in {HEADER_PATH}"


def initialisers(contract: Contract, header: Header) -> Iterator[str]:
    """Each struct that begins with struct_size has its SLABBY_..._INIT."""
    for struct in header.structs:
        macro = f"{struct.name.upper()}_INIT"
        line = f"#define {macro} SLABBY_INIT({struct.name})\n"
        if struct.members[0].name == "struct_size" and line not in header.text:
            yield f"{HEADER_PATH}:{struct.line}: {struct.name} has no {macro}; add it to the others"
