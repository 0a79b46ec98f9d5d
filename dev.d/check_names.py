# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in the field's own terms: `check_names.py [ROOT]`, over git's files.

docs/glossary.md says which terms the project uses. The terms below were once its own invention; none may come back as
a whole segment of an identifier or of a file name (`slb_os_bell`, `bellRings` and `bell.c` are hits; `label` and
prose are none). Prose may use any ordinary word, except those that leave open who acts.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from check_style import is_generated, tracked

# invented term: what to say instead
TERMS = {
    "absence": "closed status",
    "attend": "poll",
    "become": "set",
    "bell": "notifier",
    "book": "metadata",
    "chores": "background load",
    "crew": "threads",
    "crowd": "contended",
    "dress": "configure",
    "face": "binding",
    "faces": "bindings",
    "furnish": "initialise",
    "gone": "closed",
    "house": "source tree",
    "kept": "quarantined, stored",
    "look": "check",
    "looks": "checks",
    "nap": "sleep",
    "nobody": "revoking",
    "origin": "stack",
    "origins": "stacks",
    "owned": "biased",
    "patience": "attempts left",
    "place": "entry",
    "places": "entries",
    "quieten": "quiesce",
    "rests": "backs off",
    "room": "space",
    "rooms": "modules",
    "settle": "run deferred work",
    "shares": "revokes the bias",
    "story": "diagnostic",
    "tell": "notify",
    "telling": "pending notification",
    "told": "notified, reported",
    "trail": "audit",
    "trails": "audit",
    "weather": "disturbance",
    "wish": "pending flag",
    "wishes": "pending flags",
}

# Names that others gave: importlib's ModuleSpec.origin.
FOREIGN = {("setup.py", "origin")}

# Words that prose must not use, because a sentence names who acts. They are split, so that this file does not
# contain them.
VAGUE = re.compile(r"\b(" + "|".join(("who" + "ever", "whom" + "ever")) + r")\b", re.IGNORECASE)

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SEGMENT = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+")
# Where prose begins in languages without a tokenizer here; names inside of double quotes of the shell are names.
HASH_PROSE = re.compile(r"(?:^|(?<=\s))#[^\n]*|'[^'\n]*'", re.MULTILINE)
QUOTED_PROSE = re.compile(
    r"\"{3}(?s:.*?)\"{3}|'{3}(?s:.*?)'{3}|" + HASH_PROSE.pattern + r"|\"(?:\\.|[^\"\\\n])*\"",
    re.MULTILINE,
)
LUA_PROSE = re.compile(r"--[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'")
# Comments, strings and characters of C and Go.
C_PROSE = re.compile(
    r"/\*.*?\*/|//[^\n]*|`[^`]*`|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)
PROSE = {
    **dict.fromkeys((".c", ".h", ".cpp", ".hpp", ".go", ".i", ".js", ".s", ".S"), C_PROSE),
    ".sh": HASH_PROSE,
    **dict.fromkeys((".cmake", ".perl", ".toml"), QUOTED_PROSE),
    ".lua": LUA_PROSE,
}


def prose_of(path: Path, text: str) -> re.Pattern[str] | None:
    """A pattern for the parts of such a file that are no code; None if files of this kind are not checked."""
    if not path.suffix and text.startswith("#!/bin/sh"):
        return HASH_PROSE
    return PROSE.get(path.suffix)


def without_prose(match: re.Match[str]) -> str:
    """Blanks of the same shape, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match.group())


def identifiers(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Line number and name of each identifier in the code of a file."""
    prose = prose_of(path, text)
    if prose is not None:
        for number, line in enumerate(prose.sub(without_prose, text).splitlines(), start=1):
            for match in IDENTIFIER.finditer(line):
                yield number, match.group()
    elif path.suffix in {".py", ".pyi"}:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                yield token.start[0], token.string


def old_terms(name: str) -> Iterator[str]:
    for segment in SEGMENT.findall(name):
        if segment.lower() in TERMS:
            yield segment.lower()


def faults(root: Path) -> Iterator[str]:
    for path in tracked(root):
        name = path.relative_to(root)
        for term in old_terms(str(name)):
            yield f'{name}: the file name says "{term}"; say {TERMS[term]}'
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        lines = text.splitlines()
        if is_generated(lines):
            continue  # its source is checked
        for number, line in enumerate(lines, start=1):
            for match in VAGUE.finditer(line):
                yield f'{name}:{number}: a sentence says "{match.group()}"; name who acts'
        for number, identifier in identifiers(path, text):
            if (str(name), identifier) in FOREIGN:
                continue
            for term in old_terms(identifier):
                yield f'{name}:{number}: {identifier} says "{term}"; say {TERMS[term]}'


def main(root: Path) -> int:
    found = list(faults(root))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
