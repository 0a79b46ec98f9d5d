# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads core/include/slabby/slabby.h: prototypes, the comments that bind them, and structs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from entry import ToolError

CODES_PATH = "core/include/slabby/codes.h"
HEADER_PATH = "core/include/slabby/slabby.h"

# Marks prototypes whose status nobody should drop.
CHECKED = "SLABBY_CHECK"
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
PROTOTYPE = re.compile(r"^([\w ]+?[ *]+)(slabby_\w+)\(([^()]*)\);", re.MULTILINE)
STRUCT = re.compile(r"^typedef struct (\w+) \{\n(.*?)^\} \1;", re.MULTILINE | re.DOTALL)
MEMBER = re.compile(r"^\s*(\w+(?: \*)?) ?(\w+)(?:\[(\d+)\])?;$", re.MULTILINE)


class HeaderError(ToolError):
    """The header cannot be read; the text names the line."""


@dataclass(frozen=True)
class Comment:
    """A comment as one line of text, the line it begins on, and where it stands in the file."""

    text: str
    line: int
    start: int
    end: int


@dataclass(frozen=True)
class Prototype:
    name: str
    returns: str
    parameters: str
    line: int
    comment: Comment


@dataclass(frozen=True)
class Member:
    name: str
    type: str
    # Elements of an array, 0 where it is none.
    length: int


@dataclass(frozen=True)
class Struct:
    name: str
    line: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Header:
    text: str
    comments: tuple[Comment, ...]
    prototypes: tuple[Prototype, ...]
    structs: tuple[Struct, ...] = field(default=())

    def sharing(self, prototype: Prototype) -> list[Prototype]:
        """The prototypes below the same comment, itself included."""
        return [other for other in self.prototypes if other.comment is prototype.comment]


def first_sentence(text: str) -> str:
    """The text up to the first full stop outside of parentheses, without it."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "." and depth == 0 and text[at + 1 : at + 2] in ("", " "):
            return text[:at]
    return text


def summary(prototype: Prototype) -> str:
    """The first sentence of the comment, without the names before it."""
    return first_sentence(re.sub(r"^slabby_\w+(?:, slabby_\w+)*: ", "", prototype.comment.text))


def _comment_text(raw: str) -> str:
    lines = [line.strip().removeprefix("*").strip() for line in raw[2:-2].splitlines()]
    return " ".join(line for line in lines if line)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _prototypes(text: str, comments: tuple[Comment, ...]) -> list[Prototype]:
    blanked = COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    found = []
    for match in PROTOTYPE.finditer(blanked):
        before = [comment for comment in comments if comment.end <= match.start()]
        line = _line(text, match.start(2))
        if not before:
            raise HeaderError(f"{HEADER_PATH}:{line}: {match[2]} has no comment above it")
        returns = match[1].strip().removeprefix(f"{CHECKED} ")
        found.append(Prototype(match[2], returns, " ".join(match[3].split()), line, before[-1]))
    declared = len(re.findall(r"^[\w ]+[ *]slabby_\w+\(", blanked, re.MULTILINE))
    if declared != len(found):
        problem = f"{declared} lines look like prototypes, {len(found)} could be read"
        raise HeaderError(f"{HEADER_PATH}: {problem}")
    return found


def structs_of(text: str) -> list[Struct]:
    found = []
    for match in STRUCT.finditer(text):
        rows = [(name, kind, int(size or 0)) for kind, name, size in MEMBER.findall(match[2])]
        if len(rows) != match[2].count(";"):
            line = _line(text, match.start())
            raise HeaderError(f"{HEADER_PATH}:{line}: a member of {match[1]} cannot be read")
        members = tuple(Member(*row) for row in rows)
        found.append(Struct(match[1], _line(text, match.start()), members))
    return found


def read(root: Path) -> Header:
    return _parsed((root / HEADER_PATH).read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> Header:
    comments = tuple(
        Comment(_comment_text(match[0]), _line(text, match.start()), *match.span())
        for match in COMMENT.finditer(text)
    )
    return Header(text, comments, tuple(_prototypes(text, comments)), tuple(structs_of(text)))


def cdef(root: Path) -> str:
    """Both headers as cffi reads them: without lines of the preprocessor, without extern "C"."""
    texts = [(root / path).read_text(encoding="utf-8") for path in (CODES_PATH, HEADER_PATH)]
    # The extern "C" block is guarded, so its braces stand alone between #ifdef and #endif.
    guarded = re.compile(r"^#ifdef __cplusplus\n.*?^#endif\n", re.MULTILINE | re.DOTALL)
    bare = "\n".join(guarded.sub("", text) for text in texts)
    bare = bare.replace(f"{CHECKED} ", "")
    return "\n".join(line for line in bare.splitlines() if not line.startswith("#")) + "\n"
