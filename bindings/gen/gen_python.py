# SPDX-License-Identifier: GPL-3.0-or-later
"""Python's share of the contract: enumerations, exceptions, records, options, and the calls of the CFFI backend."""

from __future__ import annotations

import textwrap

import gen_python_calls
import gen_python_init
from calls import calls_of, visible
from contract import (
    LICENCE,
    NOTICE,
    Contract,
    EnumType,
    Option,
    Snapshot,
    camel,
    spelled,
    upper_snake,
)
from entry import ToolError
from header import Struct

# Members of the header's structs that hold an enumerator, or yes or no; snapshots say so in the contract.
ENUM_MEMBERS = {
    ("slabby_live", "state"): "slab_state",
    ("slabby_finding", "state"): "slab_state",
    ("slabby_fault", "state"): "slab_state",
    ("slabby_fault", "kind"): "fault_kind",
    ("slabby_finding", "kind"): "finding_kind",
    ("slabby_event", "level"): "event_level",
    ("slabby_event", "code"): "event_code",
    ("slabby_sample", "part"): "metric_part",
    ("slabby_audit_record", "operation"): "audit_operation",
    ("slabby_audit_record", "binding"): "binding",
    ("slabby_audit_record", "status"): "status",
    ("slabby_fault", "inside"): "bool",
}

# What to do about each error, in one clause.
HINTS = {
    "InvalidArgument": "pass a value within the documented range",
    "InvalidSlabSize": "choose a slab size from 1 byte to 1 GiB",
    "InvalidCapacity": "choose a capacity of at least 1",
    "CapacityExceeded": "lower the capacity, heap_fallback_limit or guard_slots, or raise max_capacity",
    "InvalidOption": "see help(slabby.Options) for names and ranges",
    "OptionConflict": "leave one of the two options off",
    "ColdOption": "pass the option when making the Allocator",
    "InvalidBatchSize": "ask for at least 1 slab, and for many in several batches",
    "OutOfMemory": "release slabs sooner, reclaim() quarantined ones, raise the capacity, or set heap_fallback=True",
    "NoSystemMemory": "lower slab_size or capacity, or raise the limits of the process",
    "InvalidReference": "use a reference only with the pool that issued it",
    "UseAfterFree": "keep no reference or view beyond its release",
    "DoubleDeallocation": "release each reference once, or use `with pool.allocate() as ref:`",
    "InvalidSlabID": "pass only ids of allocate_fast() of this pool",
    "MemoryCorruption": "look for a write beyond the slab; reclaim() puts the slab back",
    "Pinned": "release every memoryview or array over the slab first, or use release_deferred()",
    "TooManyPins": "export fewer views of one slab at a time",
    "TooManyPools": "close and drop pools that are no longer used",
    "InUse": "release the live references first",
    "CircuitBreakerOpen": "wait for circuit_breaker_timeout, or relieve the pool",
    "Timeout": "wait longer, or release slabs sooner",
    "LatencyExceeded": "raise max_alloc_latency, or relieve the pool",
    "WriteFailed": "see that the descriptor takes data, then call again with the same cursor",
    "Closed": "make a new Allocator",
    "Busy": "try again later",
    "BufferTooSmall": "pass a larger buffer",
    "NotSupported": "do without it, or make the pool with the option that it needs",
    "AbiMismatch": "load one libslabby.so.0 in the process, from one installation",
}

C_TO_PYTHON = {"double": "float", "char": "str"}
OPTION_TYPES = {
    "flag": "bool | str",
    "count": "int | str",
    "bytes": "int | str",
    "duration": "float | timedelta | str",
    "percent": "int | str",
    "text": "str",
}


def start(about: str, imports: str) -> str:
    return f'# {NOTICE}\n# {LICENCE}\n"""{about}"""\n\n{imports}'


def wrapped(text: str, indent: str, width: int = 100) -> str:
    lines = textwrap.wrap(text, width - len(indent) - 2)
    return "\n".join(f"{indent}# {line}" for line in lines)


def enum_class(enum: EnumType) -> str:
    lines = [f"class {camel(enum.name)}(IntEnum):", f'    """{capital(enum.meaning)}."""', ""]
    lines += [f"    {each.name.upper()} = {each.value}" for each in enum.enumerators]
    return "\n".join(lines)


def capital(text: str) -> str:
    text = spelled(text, str)
    return text[:1].upper() + text[1:]


def status_enum(contract: Contract) -> str:
    lines = ["class Status(IntEnum):", '    """What a call of the core answers."""', ""]
    lines += [f"    {upper_snake(s.name)} = {s.code}" for s in contract.statuses]
    return "\n".join(lines)


def public(names: list[str]) -> str:
    return "__all__ = [\n" + "".join(f'    "{name}",\n' for name in sorted(names)) + "]"


def status_module(contract: Contract) -> str:
    parts = [start("The statuses, which every import needs.", "from enum import IntEnum\n")]
    parts.append(status_enum(contract))
    names = "".join(f'    "{camel(enum.name)}",\n' for enum in sorted_enums(contract))
    parts.append(f"# Made by slabby._enums when one is used.\nENUMERATIONS = (\n{names})")
    return "\n\n".join(part.rstrip() + "\n" for part in parts)


def sorted_enums(contract: Contract) -> list[EnumType]:
    return sorted(contract.enums, key=lambda enum: camel(enum.name))


def enums_module(contract: Contract) -> str:
    imports = "from enum import IntEnum\n\nfrom slabby._status import Status as Status\n"
    parts = [start("The enumerations of the contract.", imports)]
    parts.append(public(["Status", *(camel(enum.name) for enum in contract.enums)]))
    parts += [
        f'{enum_class(enum)}\n\n\n{camel(enum.name)}.__module__ = "slabby"'
        for enum in contract.enums
    ]
    return "\n\n".join(part.rstrip() + "\n" for part in parts)


def seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:g}"


def option_default(option: Option) -> str:
    if option.kind == "flag":
        return str(bool(option.default))
    if option.enum is not None:
        names = {each.value: each.name for each in option.enum.enumerators}
        return repr(names[int(option.default)])
    if option.kind == "duration":
        return f"{seconds(int(option.default))} s"
    texts = {"cpus": "one a CPU", "cache_line": "a cache line", "capacity": "the capacity"}
    return texts.get(str(option.default), repr(option.default))


def option_range(option: Option) -> str:
    if option.kind == "flag":
        return "True or False"
    if option.enum is not None:
        return ", ".join(repr(each.name) for each in option.enum.enumerators)
    if option.kind == "text":
        return f"at most {option.maximum} bytes"
    if option.kind == "duration":
        return f"{seconds(option.minimum)} to {seconds(option.maximum)} s"
    unit = {"bytes": " bytes", "percent": " %"}.get(option.kind, "")
    return f"{option.minimum} to {option.maximum}{unit}"


def option_limits(option: Option) -> str:
    hot = "; may change while the pool runs" if option.hot else ""
    return (
        f"{option_range(option)}; default {option_default(option)}{hot}. {capital(option.meaning)}."
    )


def option_lines(contract: Contract) -> list[str]:
    """The options as help() shows them."""
    names = ", ".join(repr(preset.name) for preset in contract.presets)
    texts = {"preset": f"{names}. The options of a use case, set before the others."}
    texts |= {option.name: option_limits(option) for option in contract.options}
    lines = []
    for name, text in texts.items():
        lines.append(f"    {name}")
        lines += [f"        {line}" for line in textwrap.wrap(text, 88)]
    return lines


def option_type(option: Option) -> str:
    if option.enum is None:
        return OPTION_TYPES[option.kind]
    names = ", ".join(f'"{each.name}"' for each in option.enum.enumerators)
    return f"_enums.{camel(option.enum.name)} | Literal[{names}]"


READ_TYPES = {"flag": "bool", "duration": "float", "text": "str"}


def _method(name: str, literals: list[str], value: str, result: str) -> str:
    """One overload for these options."""
    listed = "".join(f'            "{literal}",\n' for literal in literals)
    value_line = f"        value: {value},\n" if value else ""
    return (
        f"    @overload\n    def {name}(\n        self,\n        name: Literal[\n{listed}        ],\n"
        f"{value_line}    ) -> {result}: ..."
    )


READ_METHOD = '''
    @overload
    def get_option(self, name: str) -> Any: ...
    def get_option(self, name: str) -> Any:
        """The value in effect, after rounding and defaults; durations in seconds."""
        return read_option(self._core, self, name)
'''
WRITE_METHOD = '''
    def set_option(self, name: str, value: object) -> None:
        """Changes a hot option: True or False, a number, seconds for a duration, an enumerator, or text with its
        unit, such as "250us" or "off"."""
        write_option(self._core, self, name, value)
'''


def option_access_module(contract: Contract) -> str:
    read: dict[str, list[str]] = {}
    hot: dict[str, list[str]] = {}
    for option in contract.options:
        enum = f"_enums.{camel(option.enum.name)}" if option.enum else ""
        read.setdefault(enum or READ_TYPES.get(option.kind, "int"), []).append(option.name)
        if option.hot:
            hot.setdefault(option_type(option), []).append(option.name)
    imports = textwrap.dedent("""\
        from __future__ import annotations

        from slabby._option_values import read_option, write_option
        from slabby._types import Pool

        TYPE_CHECKING = False
        if TYPE_CHECKING:
            from datetime import timedelta
            from typing import Any, Literal, overload

            from slabby import _enums
            from slabby._backend_protocol import Core
        else:

            def overload(method):
                return method


        """)
    lines = [start("get_option and set_option, typed by option.", imports)]
    lines += [
        "class OptionAccess(Pool):",
        '    """A pool whose options are read and changed while it runs."""',
        "",
    ]
    lines += [
        "    @property",
        "    def _core(self) -> Core:",
        "        raise NotImplementedError",
        "",
    ]
    lines += [_method("get_option", names, "", kind) for kind, names in read.items()]
    lines += [READ_METHOD.strip("\n"), ""]
    lines += [_method("set_option", names, kind, "None") for kind, names in hot.items()]
    lines += [WRITE_METHOD.strip("\n")]
    return "\n".join(lines) + "\n"


OPTION_INFO = '''
class OptionInfo:
    """One option: its number, its kind, and the range of its number."""

    __slots__ = ("id", "kind", "_enum", "minimum", "maximum")

    def __init__(self, id: int, kind: str, enum: str | None, minimum: int, maximum: int) -> None:
        self.id = id
        self.kind = kind
        self._enum = enum
        self.minimum = minimum
        self.maximum = maximum

    @property
    def enum(self) -> type[IntEnum] | None:
        """The enumeration of its values."""
        if self._enum is None:
            return None
        found: type[IntEnum] = getattr(enumerations(), self._enum)
        return found
'''


def options_module(contract: Contract) -> str:
    imports = textwrap.dedent("""\
        from __future__ import annotations

        from slabby._enumerations import enumerations

        TYPE_CHECKING = False
        if TYPE_CHECKING:
            from datetime import timedelta
            from enum import IntEnum
            from typing import Literal, TypedDict

            from slabby import _enums
        else:

            class TypedDict:
                # help() shows the options of a class, where it shows the methods of a dict of typing's TypedDict.
                def __init_subclass__(cls, total=True):
                    pass

                def __new__(cls, **options):
                    return options

        """)
    lines = [start("The options of the contract, as keywords.", imports)]
    names = ", ".join(f'"{preset.name}"' for preset in contract.presets)
    lines += ["class Options(TypedDict, total=False):"]
    lines += ['    """Keywords of Allocator. What is left out has its default.', ""]
    lines += [
        "    Flags, numbers (durations in seconds), enumerators by name, or text with a unit:"
    ]
    lines += ['    "30s", "4KiB", "80%".', ""]
    lines += [*option_lines(contract), '    """', ""]
    lines += [f"    preset: Literal[{names}]"]
    lines += [f"    {option.name}: {option_type(option)}" for option in contract.options]
    lines += ["", OPTION_INFO, ""]
    lines += ["OPTIONS: dict[str, OptionInfo] = {"]
    for option in contract.options:
        enum = f'"{camel(option.enum.name)}"' if option.enum else "None"
        limits = f"{option.minimum}, {option.maximum}"
        lines.append(
            f'    "{option.name}": OptionInfo({option.id}, "{option.kind}", {enum}, {limits}),'
        )
    lines += ["}", "", "OPTION_NAMES = {info.id: name for name, info in OPTIONS.items()}"]
    return "\n".join(lines) + "\n"


def error_class(name: str, base: str, message: str, status: str, hint: str) -> str:
    return "\n".join(
        [
            f"class {name}(SlabbyError, builtins.{base}):",
            wrapped(capital(message) + ".", "    ")
            .replace("    # ", '    """', 1)
            .replace("    # ", "    ")
            + '"""',
            "",
            f"    status = Status.{status}",
            f'    hint = "{hint}"',
        ]
    )


def errors_module(contract: Contract) -> str:
    imports = "import builtins\n\nfrom slabby._base_error import SlabbyError\nfrom slabby._status import Status\n"
    parts = [start("One exception for each status of the contract.", imports)]
    errors = [status for status in contract.statuses if status.python_base is not None]
    parts.append(public([status.python_name for status in errors]))
    for status in errors:
        if status.name not in HINTS:
            raise ToolError(
                f"gen_python.py: HINTS has no entry for status {status.name!r}; add one"
            )
        parts.append(
            error_class(
                status.python_name,
                str(status.python_base),
                status.message,
                upper_snake(status.name),
                HINTS[status.name],
            )
        )
    names = "\n".join(f"    {s.code}: {s.python_name}," for s in errors)
    parts.append(f"ERRORS: dict[int, type[SlabbyError]] = {{\n{names}\n}}\n")
    return "\n\n".join(part.rstrip() + "\n" for part in parts)


def snapshot_docs(snapshot: Snapshot) -> dict[str, str]:
    docs = {}
    for field in snapshot.fields:
        unit = f", in {field.unit}" if field.unit in ("ns", "bytes") else ""
        docs[field.name] = f"{capital(field.meaning)}{unit}."
    return docs


def record_class(
    name: str, about: str, struct: Struct, enums: dict[str, str], docs: dict[str, str]
) -> str:
    lines = [f"class {name}(Record):", f'    """{about}"""', "", "    __slots__ = ()"]
    for at, member in enumerate(m for m in struct.members if m.name in visible(struct)):
        kind, convert = C_TO_PYTHON.get(member.type, "int"), ""
        if member.name in enums:
            kind = "bool" if enums[member.name] == "bool" else camel(enums[member.name])
            # An enumeration by its name is loaded when it is used; Status always is.
            convert = f", {kind}" if kind in ("bool", "Status") else f', "{kind}"'
        elif member.length and member.type != "char":
            kind, convert = "dict[Status, int]", ", by_status"
        doc = f', doc="{docs[member.name]}"' if member.name in docs else ""
        line = f"    {member.name}: {kind} = member({at}{convert}{doc})"
        if len(line) > 96 and doc:
            rows = textwrap.wrap(docs[member.name], 80, drop_whitespace=False)
            parts = "".join(f'        "{row}"\n' for row in rows)
            values = f"{at}{convert}".replace(", ", ",\n        ")
            line = f"    {member.name}: {kind} = member(\n        {values},\n        doc="
            line += (
                parts.strip() if len(rows) == 1 else f"(\n{textwrap.indent(parts, '    ')}        )"
            )
            line += ",\n    )"
        lines.append(line)
    return "\n".join(lines)


RECORD_NAMES = {
    "slabby_live": ("Live", "One outstanding slab; ref is 0 for one of allocate_fast()."),
    "slabby_audit_record": ("AuditRecord", "One record of the audit trail."),
    "slabby_event": ("Event", "One event: what a logger is told."),
    "slabby_finding": ("Finding", "One thing that verify() found wrong."),
    "slabby_fault": ("Fault", "What lies at an address."),
    "slabby_pool_info": ("PoolInfo", "One open pool of the process."),
    "slabby_sample": ("Sample", "One number of a metric."),
    "slabby_view_info": ("ViewInfo", "Where the words and slabs of a pool lie."),
    "slabby_stats": ("Stats", "Counters and gauges of one pool."),
    "slabby_health": ("Health", "The state of a pool as an operator asks for it; times in ns."),
    "slabby_memory": ("Memory", "Where the bytes of a pool went."),
}


def records_module(contract: Contract, structs: list[Struct]) -> str:
    used: set[str] = set()
    parts = []
    snapshots = {snapshot.struct: snapshot for snapshot in contract.snapshots}
    for struct in structs:
        own = {key: enum for key, enum in ENUM_MEMBERS.items() if key[0] == struct.name}
        enums = {member: enum for (_, member), enum in own.items()}
        snapshot = snapshots.get(struct.name)
        if snapshot is not None:
            docs = snapshot_docs(snapshot)
            enums |= {f.name: f.enum.name for f in snapshot.fields if f.enum}
            enums |= {f.name: "bool" for f in snapshot.fields if f.type == "bool32"}
        else:
            docs = contract.record(struct.name, visible(struct))
        used |= {camel(enum) for enum in enums.values() if enum not in ("bool", "status")}
        name, about = RECORD_NAMES[struct.name]
        parts.append(record_class(name, about, struct, enums, docs))
    names = "".join(f"    {name},\n" for name in sorted(used))
    imports = (
        "from __future__ import annotations\n\n"
        "from slabby._record import Record, member\nfrom slabby._status import Status\n\n"
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from collections.abc import Sequence\n\n"
        f"    from slabby._enums import (\n{textwrap.indent(names, '    ')}    )\n"
    )
    helper = (
        "def by_status(counts: Sequence[int] | dict[Status, int]) -> dict[Status, int]:\n"
        '    """The counts of an array indexed by -code."""\n'
        "    if isinstance(counts, dict):\n"
        "        return counts\n"
        "    return {status: counts[-status] for status in Status}"
    )
    head = start("What the core reports, as records.", imports)
    exported = public([name for name, _ in RECORD_NAMES.values()])
    return "\n\n".join(part.rstrip() + "\n" for part in [head, exported, helper, *parts])


def version_module(contract: Contract) -> str:
    return start("The version of this package.", f'__version__ = "{contract.library.version}"\n')


def outputs(contract: Contract) -> dict[str, str]:
    calls, structs = calls_of(contract)
    package = "python/slabby"
    errors = [status.python_name for status in contract.statuses if status.python_base is not None]
    public_names = (
        [camel(enum.name) for enum in contract.enums],
        errors,
        [name for name, _ in RECORD_NAMES.values()],
    )
    return {
        f"{package}/__init__.py": gen_python_init.init_module(*public_names),
        f"{package}/_version.py": version_module(contract),
        f"{package}/_status.py": status_module(contract),
        f"{package}/_enums.py": enums_module(contract),
        f"{package}/_options.py": options_module(contract),
        f"{package}/_option_access.py": option_access_module(contract),
        f"{package}/_errors.py": errors_module(contract),
        f"{package}/_records.py": records_module(contract, structs),
        f"{package}/_backend_protocol.py": gen_python_calls.core_protocol(calls),
        f"{package}/_swig.pyi": gen_python_calls.swig_stub(calls),
        f"{package}/_cffi_calls.py": gen_python_calls.cffi_calls(calls, structs),
        "python/cffi_backend/slabby.cdef": gen_python_calls.cdef_text(contract.root, calls),
        "python/cffi_backend/unlocked.h": gen_python_calls.unlocked_wrappers(calls),
    }
