# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the facts of each function into its comment in slabby.h: the lines from "Statuses:" on."""

from __future__ import annotations

import textwrap

from contract import Contract, Function
from header import HEADER_PATH, Header, HeaderError, Prototype, read

WIDTH = 116
# The header as a whole says so of functions that came with it.
FIRST_VERSION = "0.1.0"
START, MARKER, END = "/*", " * Statuses:", " */"


def spelled_statuses(function: Function) -> str:
    """The statuses in order, each with its case in parentheses."""
    cases = function.when
    named = [f"{name} ({cases[name]})" if name in cases else name for name in function.statuses]
    return ", ".join(named) or "none"


def facts(function: Function) -> list[str]:
    """The lines of a comment that the contract decides."""
    marks = ["Signal-safe."] if function.signal_safe else []
    marks += ["May block."] if function.blocks else []
    marks += [f"Since {function.since}."] if function.since != FIRST_VERSION else []
    text = " ".join([f"Statuses: {spelled_statuses(function)}.", *marks])
    lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f" * {line}" for line in lines]


def _facts_of(prototype: Prototype, entries: dict[str, Function], header: Header) -> list[str]:
    """The facts that stand in the comment of a prototype; all below one comment must have the same."""
    own = facts(entries[prototype.name])
    for other in header.sharing(prototype):
        if other.name in entries and facts(entries[other.name]) != own:
            entry = f"{HEADER_PATH}:{prototype.line}"
            problem = f"{prototype.name} and {other.name} share a comment, but not their facts"
            raise HeaderError(f"{entry}: {problem}; give each a comment of its own")
    return own


def _rewritten(comment: str, lines: list[str], entry: str) -> str:
    """The comment with `lines` in the place of the facts that it has."""
    prose = comment.split("\n")
    if prose[0] != START or prose[-1] != END:
        raise HeaderError(f"{entry}: its comment must begin with a line /* and end with a line */")
    marked = [at for at, line in enumerate(prose) if line.startswith(MARKER)]
    cut = marked[0] if marked else len(prose) - 1
    return "\n".join([*prose[:cut], *lines, END])


def with_facts(contract: Contract, header: Header) -> str:
    """The text of slabby.h as it should be."""
    entries = {function.name: function for function in contract.functions}
    text = header.text
    # From the end on, so that the places of earlier comments stay.
    for prototype in reversed(header.prototypes):
        comment = prototype.comment
        if prototype.name in entries and header.sharing(prototype)[0] is prototype:
            entry = f"{HEADER_PATH}:{prototype.line}: {prototype.name}"
            lines = _facts_of(prototype, entries, header)
            raw = _rewritten(text[comment.start : comment.end], lines, entry)
            text = text[: comment.start] + raw + text[comment.end :]
    return text


def outputs(contract: Contract) -> dict[str, str]:
    return {HEADER_PATH: with_facts(contract, read(contract.root))}
