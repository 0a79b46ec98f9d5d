# SPDX-License-Identifier: GPL-3.0-or-later
"""The C half of the Python package has Python.h through refcounts.h alone, which leaves immortal objects alone."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    *(ROOT / "python" / "src").glob("*.[ch]"),
    *(ROOT / "swig").glob("*python*.i"),
    ROOT / "python" / "cffi_backend" / "build.py",
]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_python_comes_by_refcounts(file: Path) -> None:
    included = re.findall(r"#include [<\"](Python.h|refcounts.h)[>\"]", file.read_text("utf-8"))
    if file.name == "refcounts.h":
        assert included == ["Python.h"]
    elif file.name in ("build.py", "slabby_python.i", "types.h"):
        assert included == ["refcounts.h"]
    else:
        assert "Python.h" not in included
