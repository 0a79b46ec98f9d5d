# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/architecture.md is true: the files it names exist, and public functions are where it says."""

from __future__ import annotations

import re

from conftest import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
HEADER = (ROOT / "core/include/slabby/slabby.h").read_text(encoding="utf-8")
API = ROOT / "core/src/api"

RULE = (
    "Every public function stands in `core/src/api`, in the file of the thing it acts on. The sections"
    " of `slabby.h` name these files."
)
SECTION = re.compile(r"^/\* -+ .*\(core/src/api: ([\w., ]+)\) \*/$", re.MULTILINE)
DECLARATION = re.compile(r"^(?:SLABBY_CHECK )?[a-z][\w *]*\b(slabby_\w+)\(", re.MULTILINE)
DEFINITION = re.compile(r"^(?:SLB_\w+ )*SLB_PUBLIC[^;{]*?\b(slabby_\w+)\(", re.MULTILINE)


def questions() -> dict[str, str]:
    """The table "Where to look": each question, and the file that answers it."""
    rows = re.findall(r"^\| (Where [^|]*\?) \| `([^`]+)` \|$", PAGE, re.MULTILINE)
    return dict(rows)


def sections() -> dict[str, set[str]]:
    """Each function of the header, and the files that its section names."""
    declared: dict[str, set[str]] = {}
    parts = SECTION.split(HEADER)
    for files, text in zip(parts[1::2], parts[2::2]):
        for name in DECLARATION.findall(text):
            declared[name] = set(files.split(", "))
    return declared


def defined() -> dict[str, str]:
    """Each public function, and the file of core/src that defines it."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "core/src").rglob("*.c")):
        for name in DEFINITION.findall(path.read_text(encoding="utf-8")):
            found[name] = path.relative_to(ROOT / "core/src").as_posix()
    return found


def test_the_page_answers_ten_questions() -> None:
    assert len(questions()) >= 10


def test_each_file_of_an_answer_exists() -> None:
    missing = {each for each in questions().values() if not (ROOT / each).is_file()}
    assert not missing


def test_each_layer_of_the_drawing_is_a_folder_of_the_core() -> None:
    drawn = set(re.findall(r"^  \| (\w+)/ ", PAGE, re.MULTILINE))
    folders = {each.name for each in (ROOT / "core/src").iterdir() if each.is_dir()}
    assert drawn == folders


def test_the_page_states_the_rule_for_public_functions() -> None:
    assert RULE in " ".join(PAGE.split())


def test_public_functions_are_in_the_files_that_their_section_names() -> None:
    declared, where = sections(), defined()
    assert set(declared) == set(where)
    assert len(declared) > 60
    astray = {
        name: where[name]
        for name, files in declared.items()
        if where[name] not in {f"api/{file}" for file in files}
    }
    assert not astray


def test_each_file_that_a_section_names_defines_one_of_its_functions() -> None:
    where = defined()
    parts = SECTION.split(HEADER)
    for files, text in zip(parts[1::2], parts[2::2]):
        used = {where[name] for name in DECLARATION.findall(text)}
        assert used == {f"api/{file}" for file in files.split(", ")}
