# SPDX-License-Identifier: GPL-3.0-or-later
"""For PyInstaller: the modules that are chosen when the program runs, and the core that they link."""

from pathlib import Path

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
# On Linux the core's name ends with a number, which the collector of libraries does not expect.
binaries = [
    *collect_dynamic_libs("slabby"),
    *((str(core), "slabby") for core in Path(folder).glob("libslabby.so.*")),
]
datas = [(f"{folder}/_page.html", "slabby")]
