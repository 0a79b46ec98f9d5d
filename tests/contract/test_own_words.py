# SPDX-License-Identifier: GPL-3.0-or-later
"""Go's and Python's documentation names their own functions, not C's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
C_NAME = re.compile(r"\bslabby_[a-z_]+")
# Build tags and modules of the binding, and what code really is of C.
OF_GO = {"slabby_system", "slabby_core"}
GO = [p for p in sorted((ROOT / "go").glob("*.go")) if not p.name.endswith("_test.go")]
RECORDS = ("_records.py", "_enums.py", "_options.py", "_status.py", "_errors.py")


def exported_comments(text: str) -> list[str]:
    """What go doc shows: comments of exported names and of their fields."""
    block: list[str] = []
    found: list[str] = []
    for line in text.splitlines():
        if line.strip().startswith("//"):
            block.append(line.strip())
            continue
        if re.match(r"\s*(func (\(\w+ \*?[A-Z]\w*\) )?|type |var |const )?[A-Z]\w*", line):
            found += block
        block = []
    return found


@pytest.mark.parametrize("path", GO, ids=lambda path: path.name)
def test_go_doc_speaks_go(path: Path) -> None:
    comments = "\n".join(exported_comments(path.read_text(encoding="utf-8")))
    assert set(C_NAME.findall(comments)) - OF_GO == set()


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_python_speak_python(name: str) -> None:
    """Docstrings and what `doc=` gives a field."""
    tree = ast.parse((ROOT / "python/slabby" / name).read_text(encoding="utf-8"))
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in texts if " " in text and C_NAME.search(text)]
