# SPDX-License-Identifier: GPL-3.0-or-later
"""generate.py writes what is missing, says so, and compares without writing."""

from __future__ import annotations

from conftest import LAST_STATUS, LISTED, NEXT_CODE, Tree, status_entry

CODES = "core/include/slabby/codes.h"
HEADER = "core/include/slabby/slabby.h"
CONTRACT = "bindings/contract.toml"


# Writing puts an edited and a missing file right, and leaves the others alone.
def test_generate_repairs_and_reports(tree: Tree) -> None:
    wanted = (tree.root / CODES).read_bytes()
    tree.replace(CODES, "SLABBY_PINNED = -16", "SLABBY_PINNED = -61")
    (tree.root / "docs/contract.md").unlink()
    outcome = tree.run("generate.py", "c", "docs")
    assert outcome.status == 0, outcome.text
    assert f"wrote     {CODES}" in outcome.text
    assert "wrote     docs/contract.md" in outcome.text
    assert "unchanged core/slabby.map" in outcome.text
    assert (tree.root / CODES).read_bytes() == wanted
    assert tree.run("generate.py", "--check").status == 0


# The facts of a function are put back into its comment, and the rest of the header stays as it was written.
def test_facts_return_to_the_header(tree: Tree) -> None:
    wanted = (tree.root / HEADER).read_bytes()
    tree.replace(
        HEADER,
        "TooManyPins (4,095 are held), Closed (destroyed).\n * Signal-safe.\n",
        "whatever.\n",
    )
    tree.replace(HEADER, " * Statuses: OK, InvalidArgument, Closed (destroyed). Signal-safe.\n", "")
    assert (tree.root / HEADER).read_bytes() != wanted
    outcome = tree.run("generate.py", "header")
    assert outcome.status == 0, outcome.text
    assert f"wrote     {HEADER}" in outcome.text
    assert (tree.root / HEADER).read_bytes() == wanted


# --check names the file and the first line that differs, and writes nothing.
def test_check_names_the_line(tree: Tree) -> None:
    tree.replace(CODES, "    SLABBY_PINNED = -16,", "    SLABBY_PINNED = -61,")
    edited = (tree.root / CODES).read_bytes()
    line = tree.line_of(CODES, "    SLABBY_PINNED = -61,")
    outcome = tree.run("generate.py", "--check", "c")
    assert outcome.status == 1
    assert f"{CODES}:{line}: is '    SLABBY_PINNED = -61,'" in outcome.text
    assert (tree.root / CODES).read_bytes() == edited


# A lost final newline is a difference too.
def test_check_sees_a_missing_final_newline(tree: Tree) -> None:
    file = tree.root / CODES
    file.write_bytes(file.read_bytes().removesuffix(b"\n"))
    outcome = tree.run("generate.py", "--check", "c")
    assert outcome.status == 1
    assert f"{CODES}:" in outcome.text


# What the contract says reaches C and the documentation.
def test_new_status_reaches_the_outputs(tree: Tree) -> None:
    added = {"name": "TooWarm", "code": NEXT_CODE, "python": "OSError", "message": "cool it"}
    last = status_entry(LAST_STATUS)
    tree.replace(CONTRACT, last, f"{last}\n{status_entry(added)}")
    assert tree.run("generate.py", "c", "docs").status == 0
    codes = (tree.root / CODES).read_text(encoding="utf-8")
    assert f"    SLABBY_TOO_WARM = {NEXT_CODE}\n" in codes
    source = (tree.root / "core/src/slabby_contract.c").read_text(encoding="utf-8")
    assert '{SLABBY_TOO_WARM, "TooWarm",' in source
    page = (tree.root / "docs/contract.md").read_text(encoding="utf-8")
    assert "| `SLABBY_TOO_WARM` | `TooWarmError` (OSError) | `ErrTooWarm` | cool it |" in page


# A broken contract is refused before anything is written.
def test_broken_contract_writes_nothing(tree: Tree) -> None:
    before = (tree.root / CODES).read_bytes()
    free = LISTED["option"][-1]["id"] + 1
    tree.replace(CONTRACT, 'name = "prefault"\nid = 33\n', f'name = "prefault"\nid = {free}\n')
    outcome = tree.run("generate.py")
    assert outcome.status == 1
    assert f"option 'prefault': id {free} where 33 is due" in outcome.text
    assert (tree.root / CODES).read_bytes() == before


# Names that do not exist are refused with those that do.
def test_unknown_output_is_refused(tree: Tree) -> None:
    outcome = tree.run("generate.py", "cobol")
    assert outcome.status == 2
    assert "no output is called 'cobol'; there are: header, c, docs" in outcome.text


# A listed module that is not there is an error that names it.
def test_missing_module_is_named(tree: Tree) -> None:
    tree.replace(
        "bindings/gen/generate.py", '    "gen_docs",\n', '    "gen_docs",\n    "gen_ada",\n'
    )
    outcome = tree.run("generate.py", "ada")
    assert outcome.status == 1
    assert "there is no bindings/gen/gen_ada.py" in outcome.text
