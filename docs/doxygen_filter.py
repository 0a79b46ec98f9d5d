# SPDX-License-Identifier: GPL-3.0-or-later
"""Doxygen reads the headers through this: `doxygen_filter.py HEADER`.

The headers carry plain comments of one shape (`name: what it does ... Statuses: ...`), which people read
in the file. Here a comment becomes a documentation comment, its name is dropped (Doxygen knows it), the
statuses become the description of the result, and each divider begins a group.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

COMMENT = re.compile(r"^/\*(?!\*)(.*?)\*/", re.MULTILINE | re.DOTALL)
DIVIDER = re.compile(r"^ -{10,} (.*) $")
NAME = re.compile(r"\A(\s*\*?\s*)slabby_\w+: (\w)")
RESULT = re.compile(r"(?:^ \* |(?<=[.;)] ))(?:Returns|Statuses:) (?!none)", re.MULTILINE)


class Filter:
    """One header; remembers whether a group is open and the file's own comment was seen."""

    def __init__(self) -> None:
        self.grouped = False
        self.described = False

    def comment(self, match: re.Match[str]) -> str:
        text = match[1]
        divider = DIVIDER.match(text)
        if divider:
            end = "/** @} */ " if self.grouped else ""
            self.grouped = True
            title = divider[1][0].upper() + divider[1][1:]
            return f"{end}/** @name {title}\n * @{{ */"
        if "SPDX" in text:
            return match[0]
        if not self.described:
            self.described = True
            return f"/** @file\n * @verbatim{text}@endverbatim */"
        text = NAME.sub(lambda name: name[1] + name[2].upper(), text)
        text = RESULT.sub("\n * @return ", text, count=1)
        return f"/**{text}*/"

    def header(self, text: str) -> str:
        text = COMMENT.sub(self.comment, text)
        if not self.grouped:
            return text
        end = text.rindex("#ifdef __cplusplus")
        return f"{text[:end]}/** @}} */\n{text[end:]}"


if __name__ == "__main__":
    sys.stdout.write(Filter().header(Path(sys.argv[1]).read_text(encoding="utf-8")))
