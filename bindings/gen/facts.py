# SPDX-License-Identifier: GPL-3.0-or-later
"""What the header's comments say about a function, in the terms of the contract."""

from __future__ import annotations

import re

from header import HEADER_PATH, Header, HeaderError, Prototype


def _items(clause: str) -> list[str]:
    """The parts of "A (why, when), B, C" without what stands in parentheses."""
    bare = clause
    while (shorter := re.sub(r"\([^()]*\)", "", bare)) != bare:
        bare = shorter
    return [item.strip() for item in bare.split(",") if item.strip()]


def _find(header: Header, name: str, prototype: Prototype) -> Prototype:
    for other in header.prototypes:
        if other.name == name:
            return other
    entry = f"{HEADER_PATH}:{prototype.comment.line}"
    raise HeaderError(
        f"{entry}: the comment of {prototype.name} cites {name}, which does not exist"
    )


def _cited(header: Header, prototype: Prototype) -> list[str]:
    """Statuses of the functions that a comment names, for "the first error met"."""
    names = re.findall(r"slabby_\w+", prototype.comment.text)
    own = [other.name for other in header.sharing(prototype)]
    others = [_find(header, name, prototype) for name in names if name not in own]
    return [status for other in others for status in statuses(header, other)]


def statuses(header: Header, prototype: Prototype) -> list[str]:
    """The statuses that the comment names, in its order; a shared comment speaks for all."""
    clause = prototype.comment.returns_clause()
    found: list[str] = []
    removed: set[str] = set()
    for item in _items(clause or ""):
        if match := re.fullmatch(r"as (slabby_\w+)", item):
            found += statuses(header, _find(header, match[1], prototype))
        elif item == "or the first error met":
            found += _cited(header, prototype)
        elif match := re.fullmatch(r"never (\w+)", item):
            removed.add(match[1])
        else:
            found.append(item.removeprefix("and ").removeprefix("or "))
    if prototype.comment.partly_unsupported():
        found.append("NotSupported")
    return [name for name in dict.fromkeys(found) if name not in removed]
