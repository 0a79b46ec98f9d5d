# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python blocks of the documentation: `docs_examples.py FOLDER` writes those of each page as one program there, for
type checkers; test_docs.py runs them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("python.md", "python-buffers.md", "sizing.md")
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[int, str]]:
    """(first line, text) of each block of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start()) + 2, found[1]) for found in BLOCK.finditer(text)]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        name = page.removesuffix(".md").replace("-", "_") + "_examples.py"
        (folder / name).write_text("\n".join(text for _, text in blocks(page)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
