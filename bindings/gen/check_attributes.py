# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares .gitattributes with the files that ./dev gen writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

ENTRY = ".gitattributes"
GENERATED = "linguist-generated"
# Too long for anybody to read a difference of it.
WITHOUT_DIFF = ("go/slabby_core.c",)


def _attributes(text: str) -> dict[str, list[str]]:
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {path: attributes for path, *attributes in rows}


def marks(root: Path, generated: Iterable[str]) -> Iterator[str]:
    """Each generated file is marked, and nothing else is."""
    path = root / ENTRY
    if not path.exists():
        yield f"{ENTRY}: missing; it marks each generated file {GENERATED}"
        return
    given = _attributes(path.read_text(encoding="utf-8"))
    marked = {name for name, attributes in given.items() if GENERATED in attributes}
    wanted = set(generated)
    for name in sorted(wanted - marked):
        yield f"{ENTRY}: {name} is generated; add the line `{name} {GENERATED}`"
    for name in sorted(marked - wanted):
        yield f"{ENTRY}: {name} is no output of ./dev gen; remove its mark"
    for name in WITHOUT_DIFF:
        if "-diff" not in given.get(name, []):
            yield f"{ENTRY}: {name} needs the attribute -diff as well"
