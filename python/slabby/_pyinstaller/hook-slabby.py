# SPDX-License-Identifier: GPL-3.0-or-later
"""For PyInstaller: the modules that are chosen when the program runs, and the core that they link."""

from PyInstaller.utils.hooks import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    collect_dynamic_libs,
    collect_submodules,
    get_package_paths,
)

# Adapters import libraries that a program may not have.
OPTIONAL = ("slabby._pyinstaller", "slabby.prometheus", "slabby.otel", "slabby._top_screen")


def is_needed(name: str) -> bool:
    return not name.startswith(OPTIONAL)


hiddenimports = [*collect_submodules("slabby", filter=is_needed), "_cffi_backend"]
_, folder = get_package_paths("slabby")
binaries = [
    *collect_dynamic_libs("slabby"),
    (f"{folder}/libslabby.so.0", "slabby"),
]
datas = [(f"{folder}/_page.html", "slabby")]
