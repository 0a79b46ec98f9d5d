# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives every file-scope name of the single file the core's prefix.

A program may include slabby.c into a file of its own, beside names of its own: `give`, `open_block`, `struct drain`. In
the source tree such a name is static and needs no prefix; in the single file it becomes slb_give. The whole token is
renamed wherever it stands, so a member or a variable with the same name keeps its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

OURS = re.compile(r"_*(slb|slabby)_", re.IGNORECASE)
# Names that the core gives to what a system or a tool lacks, or by which it asks the system's headers for more.
THEIRS = re.compile(
    r"_|SYS_|WIN32_LEAN_AND_MEAN$|NOMINMAX$|RUNNING_ON_VALGRIND$"
    r"|VALGRIND_(CREATE|DESTROY|MEMPOOL|MAKE|DISABLE|ENABLE)_"
)
# A comment, a literal, the line of an include, or a word.
TOKEN = re.compile(
    r"""(?P<skip>/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|^[ ]*\#[ ]*include[^\n]*)
    |(?P<number>\b[0-9][0-9A-Za-z.]*)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<other>[^\sA-Za-z0-9_])""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
MACRO = re.compile(r"^[ ]*#[ ]*define[ ]+([A-Za-z_]\w*)", re.MULTILINE)
# Defined only where the system has none: the name is the system's.
STANDS_IN = re.compile(
    r"^[ ]*#[ ]*if(?:ndef[ ]+|[ ]+!defined\()([A-Za-z_]\w*)[^\n]*\n[ ]*#[ ]*define[ ]+\1\b",
    re.MULTILINE,
)
DIRECTIVE = re.compile(r"^[ ]*#(?:[^\n]*\\\n)*[^\n]*$", re.MULTILINE)
STATIC = {"static", "SLB_INLINE", "SLB_PRIVATE", "SLB_SHARED_DATA"}
TAGGED = {"struct", "union", "enum"}
NO_NAME = TAGGED | {"static", "const", "void", "int", "char", "long", "bool", "double"}


def _words(text: str) -> list[str]:
    return [match[0] for match in TOKEN.finditer(text) if match.lastgroup != "skip"]


def _declarator(tokens: list[str]) -> Iterator[str]:
    """The names that a file-scope declaration without its initialiser gives."""
    depth, last = 0, ""
    attribute = False
    for index, token in enumerate(tokens):
        if token in "([":
            if depth == 0 and last in NO_NAME:  # a pointer to a function
                yield next(word for word in tokens[tokens.index("*") :] if word.isidentifier())
                return
            if depth == 0 and last and not attribute:
                yield last
                last = ""
                if token == "(":
                    return
            depth += 1
        elif token in ")]":
            depth -= 1
            attribute = attribute and depth > 0
        # The type's members begin.
        elif depth == 0 and token == "{" and TAGGED & set(tokens[max(index - 2, 0) : index]):
            last = ""
        elif depth == 0 and token in ("=", ",", ";", "{"):
            if last:
                yield last
            last = ""
            if token != ",":
                return
        elif depth == 0 and re.match(r"[A-Za-z_]", token):
            attribute = token in ("__attribute__", "_Alignas", "_Atomic")
            last = "" if attribute else token


def _declarations(tokens: list[str]) -> Iterator[list[str]]:
    """What stands at file scope, without what stands between braces."""
    depth = 0
    current: list[str] = []
    for token in tokens:
        if depth == 0:
            current.append(token)
        depth += (token == "{") - (token == "}")
        of_function = token == "}" and current[-2:] == [")", "{"]
        if depth == 0 and (token == ";" or of_function):
            yield current
            current = []


def _enumerators(tokens: list[str], start: int) -> Iterator[str]:
    """Of the list that begins at a brace."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += (tokens[index] in "{(") - (tokens[index] in "})")
        if depth == 0:
            return
        if depth == 1 and tokens[index] in ("{", ",") and tokens[index + 1] != "}":
            yield tokens[index + 1]


def _tags(tokens: list[str]) -> Iterator[str]:
    """Tags that are defined, and enumerators."""
    for index, token in enumerate(tokens[:-2]):
        if token not in TAGGED:
            continue
        tagged = re.match(r"[A-Za-z_]", tokens[index + 1]) is not None
        if tagged and tokens[index + 2] == "{":
            yield tokens[index + 1]
        brace = index + 1 + tagged
        if token == "enum" and tokens[brace] == "{":
            yield from _enumerators(tokens, brace)


def file_scope(text: str) -> set[str]:
    """Every name at file scope that does not begin with the prefix yet."""
    names = set(MACRO.findall(text)) - set(STANDS_IN.findall(text))
    tokens = _words(DIRECTIVE.sub("", text))
    names |= set(_tags(tokens))
    for declaration in _declarations(tokens):
        if STATIC & set(declaration) or declaration[0] == "typedef":
            names |= set(_declarator(declaration))
    return {name for name in names if not OURS.match(name) and not THEIRS.match(name)}


# The name of an operand of inline assembly, which stands in the assembly's text too.
OPERAND = re.compile(r'\]\s*"')


def prefixed(text: str, header: str) -> str:
    """The text with slb_ or SLB_ before each of these names. A function or a tag may be called like a member of a
    struct in the public header; then only calls and uses as a tag are renamed."""
    matches = list(TOKEN.finditer(text))
    words = {match[0] for match in matches if match.lastgroup == "word"}
    public = set(_words(header))
    new = {}
    for name in file_scope(text):
        prefix = "SLB_" if name.isupper() else "slb_"
        new[name] = prefix + name if prefix + name not in words else f"{prefix}own_{name}"
    parts: list[str] = []
    at, before, last = 0, "", ""
    for match in matches:
        if match.lastgroup == "skip":
            continue
        token = match[0]
        if token in new:
            start, end = match.span()
            # The name of a trace point is no name of C.
            other = (before == "SLB_TRACE" and last == "(") or (
                text[start - 1] == "[" and OPERAND.match(text, end)
            )
            if not other and (token not in public or text[end] == "(" or last in TAGGED):
                parts += [text[at:start], new[token]]
                at = end
        before, last = last, token
    return "".join([*parts, text[at:]])
