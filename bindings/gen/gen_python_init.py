# SPDX-License-Identifier: GPL-3.0-or-later
"""python/slabby/__init__.py: type checkers and help() want every public name in one literal list."""

from __future__ import annotations

import textwrap

from contract import LICENCE, NOTICE

# Module -> what it makes public beside the generated lists.
MODULES = {
    "_allocator": ("Allocator",),
    "_base_error": ("SlabbyError",),
    "_batch": ("Batch",),
    "_library": (
        "abi_version",
        "backend",
        "classify_fault",
        "core_version",
        "install_fault_handler",
        "instance_id",
        "platform_text",
        "suggest_capacity",
        "suggest_slab_size",
    ),
    "_listener": ("Grant", "Listener"),
    "_metrics": ("METRICS_CONTENT_TYPE", "metrics_text", "pool_label", "pools"),
    "_options": ("Options",),
    "_status": ("Status",),
    "_types": ("TRACEMALLOC_DOMAIN", "Acquisition", "FastSlab", "SlabRef"),
    "_version": ("__version__",),
}
# The same, but imported when one is used: these bring modules of the standard library that few programs need.
LATER = {
    "_event_feed": ("EventFeed", "start_event_logging", "stop_event_logging"),
    "_files": ("copyfileobj",),
    "_protocol": ("Chunk", "SlabProtocol"),
    "_statistics": ("BlockStatistics", "statistics"),
}
ABOUT = '''\
"""Slabby: a pool of equally sized memory blocks ("slabs") with checked references.

>>> import slabby
>>> pool = slabby.Allocator(4096, 1000)
>>> with pool.allocate() as ref:
...     ref[:5] = b"hello"
"""
'''
LAZY = '''\
# The modules they are in are no part of the interface.
for _name in __all__:
    if getattr(globals().get(_name), "__module__", "").startswith("slabby._"):
        globals()[_name].__module__ = "slabby"
del _name

if not TYPE_CHECKING:

    def __getattr__(name):
        """Most programs use no enumeration but Status, and making them takes as long as all the rest."""
        if name in _status.ENUMERATIONS:
            made = _enumerations.enumerations()
            globals().update({each: getattr(made, each) for each in _status.ENUMERATIONS})
            return globals()[name]
        if name in _LATER:
            found = getattr(__import__("slabby." + _LATER[name], fromlist=(name,)), name)
            found.__module__ = "slabby"
            return globals().setdefault(name, found)
        raise AttributeError(f"module 'slabby' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})


# A backend that cannot work is found at import, not at the first pool.
backend()
'''


def imports(module: str, names: list[str], indent: str = "") -> str:
    line = f"{indent}from slabby.{module} import {', '.join(names)}"
    if len(line) <= 100:
        return line
    rows = "".join(f"{indent}    {name},\n" for name in names)
    return f"{indent}from slabby.{module} import (\n{rows}{indent})"


def init_module(enums: list[str], errors: list[str], records: list[str]) -> str:
    modules = {**MODULES, "_errors": tuple(errors), "_records": tuple(records)}
    names = sorted([*(name for group in modules.values() for name in group), *enums])
    later = {name: module for module, group in LATER.items() for name in group}
    names = sorted([*names, *later])
    lines = [f"# {NOTICE}", f"# {LICENCE}", ABOUT, "from __future__ import annotations", ""]
    lines += ["from slabby import _enumerations, _status"]
    lines += [imports(module, sorted(group)) for module, group in sorted(modules.items())]
    lines += [
        "",
        "TYPE_CHECKING = False",
        "if TYPE_CHECKING:",
        imports("_enums", sorted(enums), "    "),
        *(imports(module, sorted(group), "    ") for module, group in sorted(LATER.items())),
    ]
    listed = "".join(f'    "{name}",\n' for name in names)
    rows = "".join(f'    "{name}": "{module}",\n' for name, module in sorted(later.items()))
    lines += ["", f"__all__ = [\n{listed}]", "", f"_LATER = {{\n{rows}}}", "", LAZY]
    return textwrap.dedent("\n".join(lines)).rstrip() + "\n"
