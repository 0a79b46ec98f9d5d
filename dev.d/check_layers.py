# SPDX-License-Identifier: GPL-3.0-or-later
"""Includes of the core point one way: `check_layers.py [SOURCES]`.

    base < os < data < tiers < observe < protect < resilience < pool < api

docs/architecture.md draws the layers. A file may include its own layer and those below it. Headers that end with
_state.h hold only data. In any folder they belong to the layer "data", because a pool embeds them. Only os/ asks
which system it is built for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

LAYERS = ("base", "os", "data", "tiers", "observe", "protect", "resilience", "pool", "api")

# Files directly in core/src: what everything starts from; the rest of them is "data".
BASE = {
    "base.h",
    "os/system.h",
    "test_hooks.h",
    "test_hooks.c",
    "slabby_contract.h",
    "slabby_contract.c",
}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
PLATFORM = re.compile(
    r"\b(__linux__|__gnu_linux__|__APPLE__|__MACH__|_WIN32|_WIN64|__MINGW32__|_MSC_VER|__FreeBSD__"
    r"|__GLIBC__|SLB_OS_(LINUX|DARWIN|FREEBSD|WINDOWS))\b"
)


def layer(path: str) -> str:
    """The layer of a file, by its path in core/src."""
    if path in BASE:
        return "base"
    if path.endswith("_state.h"):
        return "data"
    folder, _, name = path.rpartition("/")
    if not folder:
        return "data"
    return folder


def target(sources: Path, path: Path, name: str) -> str:
    """The included file's path in core/src, as the compiler finds it."""
    beside = path.parent / name
    found = beside if beside.is_file() else sources / name
    return found.relative_to(sources).as_posix()


def faults(sources: Path) -> Iterator[str]:
    for path in sorted(sources.rglob("*.[ch]")):
        here = path.relative_to(sources).as_posix()
        own = layer(here)
        if own not in LAYERS:
            yield f"{here}: the folder {own} is no layer; add it to dev.d/check_layers.py"
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if not here.startswith("os/") and PLATFORM.search(line):
                yield f"{here}:{number}: asks which system this is; only os/ may"
            match = INCLUDE.match(line)
            if match is None or not (sources / target(sources, path, match[1])).is_file():
                continue
            other = layer(target(sources, path, match[1]))
            if other in LAYERS and LAYERS.index(other) > LAYERS.index(own):
                yield (
                    f"{here}:{number}: {own} includes {match[1]} of the layer {other}, which is above"
                    " it; own an interface in the lower layer instead"
                )


def main(sources: Path) -> int:
    found = list(faults(sources))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "core/src").resolve()))
