# SPDX-License-Identifier: GPL-3.0-or-later
"""check.py passes on the tree as it is and names the place of everything that is broken in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import LAST_STATUS, LISTED, NEXT_CODE, Tree, first_to_answer, status_entry

CONTRACT = "bindings/contract.toml"
HEADER = "core/include/slabby/slabby.h"
CODES = "core/include/slabby/codes.h"
MAP = "core/slabby.map"
ATTRIBUTES = ".gitattributes"
# The end of struct slabby_memory.
LAST_MEMBER = "uint64_t huge_page_bytes"  # of slabby_memory


def entry(function: str) -> str:
    """Where the contract's entry of a function begins."""
    return f'[[function]]\nname = "{function}"\n'


IS_VALID = entry("slabby_is_valid") + 'roles = { allocator = "pool", ref = "ref" }\n'
GET_MEMORY = (
    entry("slabby_get_memory") + 'roles = { out_memory = "out_struct", allocator = "pool" }\n'
)
# What ./dev gen writes at the end of a comment.
PIN_FACTS = (
    " * Statuses: OK, InvalidArgument, InvalidReference, UseAfterFree, TooManyPins (4,095 are held),"
    " Closed (destroyed)."
)


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


# The tree that is checked in has not drifted, by the judgement of every tool at hand.
def test_clean_tree_passes(checked_in: Tree) -> None:
    outcome = checked_in.check(bare=False)
    assert outcome.status == 0, outcome.text
    assert "ok      generated files are up to date" in outcome.text


# With Python alone each missing tool costs one line with the reason, and nothing else.
def test_missing_tools_are_skipped_with_the_reason(tree: Tree) -> None:
    outcome = tree.check(bare=True)
    assert outcome.status == 0, outcome.text
    for program in ("gcc", "g++", "clang", "clang++", "swig"):
        assert f"{program} is not installed" in outcome.text
    assert "skip    cffi parses the header: cffi is not installed" in outcome.text


# (what is broken, file, old text, new text, what the check must say)
BREAKAGES = [
    (
        "a statistic is renamed in the contract",
        CONTRACT,
        'name = "fast_deallocations"',
        'name = "fast_releases"',
        "slabby_stats has 'uint64_t fast_deallocations' where the contract has 'uint64_t fast_releases'",
    ),
    (
        "a reason reads a field that does not exist",
        CONTRACT,
        'field = "stats.awaited_slabs"\nis_not',
        'field = "stats.wanted_slabs"\nis_not',
        "endpoints.reason 'shrinking': field 'stats.wanted_slabs' does not exist",
    ),
    (
        "a reason compares with what no JSON is",
        CONTRACT,
        "is = '\"half_open\"'",
        "is = 'half_open'",
        "endpoints.reason 'half_open': the value 'half_open' is no JSON text",
    ),
    (
        "a check names a reason that does not exist",
        CONTRACT,
        'reasons = ["corruption"]',
        'reasons = ["decay"]',
        "endpoints.check 'unacknowledged_corruptions': reason 'decay' does not exist",
    ),
    (
        "a refusal has a status without a title",
        CONTRACT,
        "ColdOption = 409",
        "ColdOption = 418",
        "endpoints.refusals: 418 has no title",
    ),
    (
        "one copy of the page differs",
        "go/slabbyhttp/page.html",
        "<title>Slabby</title>",
        "<title>Other</title>",
        "go/slabbyhttp/page.html:",
    ),
    (
        "a metric reads a field that does not exist",
        CONTRACT,
        'field = "stats.waiters"\nhelp',
        'field = "stats.queue"\nhelp',
        "metric 'slabby_waiters': 'stats.queue' is no number of the snapshot",
    ),
    (
        "a metric reads a status that does not exist",
        CONTRACT,
        'timeout = "stats.errors.Timeout"',
        'timeout = "stats.errors.TooLate"',
        "metric 'slabby_allocation_failures_total': 'stats.errors.TooLate': there is no status 'TooLate'",
    ),
    (
        "a gauge reads a counter",
        CONTRACT,
        'field = "stats.peak_used"',
        'field = "stats.shard_hits"',
        "metric 'slabby_peak_slabs': 'stats.shard_hits' is a counter, the metric a gauge",
    ),
    (
        "a metric's number is taken",
        CONTRACT,
        'name = "slabby_waiters"\nid = 19',
        'name = "slabby_waiters"\nid = 18',
        "metric 'slabby_waiters': id 18 where 19 is due",
    ),
    (
        "a statistic is renamed in the header",
        HEADER,
        "    uint64_t heap_fallbacks;\n",
        "    uint64_t heap_falls;\n",
        "slabby_stats has 'uint64_t heap_falls' where the contract has 'uint64_t heap_fallbacks'",
    ),
    (
        "a field of the header has another type",
        HEADER,
        "    double error_rate;\n",
        "    int64_t error_rate;\n",
        "slabby_health has 'int64_t error_rate' where the contract has 'double error_rate'",
    ),
    (
        "the header has a field more",
        HEADER,
        f"    {LAST_MEMBER};\n}} slabby_memory;",
        f"    {LAST_MEMBER};\n    uint64_t spare;\n}} slabby_memory;",
        "slabby_memory ends with 'uint64_t spare', which bindings/contract.toml lacks",
    ),
    (
        "the header has a field less",
        HEADER,
        f"    {LAST_MEMBER};\n}} slabby_memory;",
        "} slabby_memory;",
        f"slabby_memory lacks '{LAST_MEMBER}' of bindings/contract.toml",
    ),
    (
        "a status is removed from the end",
        CONTRACT,
        status_entry(LAST_STATUS),
        "",
        f"'{first_to_answer(LAST_STATUS)}': status '{LAST_STATUS['name']}' does not exist",
    ),
    (
        "a status is renumbered",
        CONTRACT,
        "code = -24\n",
        f"code = {NEXT_CODE}\n",
        f"status 'Busy': code {NEXT_CODE} where -24 is due",
    ),
    (
        "two statuses share a code",
        CONTRACT,
        "code = -24\n",
        "code = -23\n",
        "status 'Busy': code -23 is taken by 'Closed'",
    ),
    (
        "an option's default is out of range",
        CONTRACT,
        "default = 16\nminimum = 1\nmaximum = 4096\n",
        "default = 5000\nminimum = 1\nmaximum = 4096\n",
        "option 'guard_slots': default 5000 is outside 1 to 4096",
    ),
    (
        "an option's limits are swapped",
        CONTRACT,
        "default = 1\nminimum = 1\nmaximum = 1000\n",
        "default = 1\nminimum = 1000\nmaximum = 1\n",
        "option 'circuit_breaker_probes': minimum 1000 is above maximum 1",
    ),
    (
        "an option's number is taken",
        CONTRACT,
        'name = "prefault"\nid = 33\n',
        'name = "prefault"\nid = 32\n',
        "option 'prefault': id 32 is taken by 'huge_pages'",
    ),
    (
        "an option's enumeration does not exist",
        CONTRACT,
        'enum = "corruption_policy"\n',
        'enum = "policy"\n',
        "option 'corruption_policy': enum 'policy' does not exist",
    ),
    (
        "an option has a flag in the place of a number",
        CONTRACT,
        'name = "prefault"\nid = 33\n',
        'name = "prefault"\nid = true\n',
        "option 'prefault': `id` is True and must be a whole number",
    ),
    (
        "an entry has a key that nobody reads",
        CONTRACT,
        'name = "prefault"\nid = 33\n',
        'name = "prefault"\nid = 33\nwarm = 1\n',
        "option 'prefault': unknown key `warm`",
    ),
    (
        "a member of a record has no meaning",
        CONTRACT,
        'metric = "The number of the metric in docs/metrics.md."\n',
        "",
        "records.slabby_sample: its lines and the struct's members differ: metric",
    ),
    (
        "a conflict names an option that does not exist",
        CONTRACT,
        'options = ["guard_pages", "huge_pages"]',
        'options = ["guard_pages", "big_pages"]',
        "option 'big_pages' does not exist",
    ),
    (
        "a conflict names an enumerator that does not exist",
        CONTRACT,
        'options = ["guard_pages", "huge_pages"]',
        'options = ["guard_pages", "cpu_cache_backend=magic"]',
        "'magic' is no enumerator of option 'cpu_cache_backend' other than its 0",
    ),
    (
        "a prototype loses its entry",
        CONTRACT,
        entry("slabby_trim"),
        entry("slabby_prune"),
        "slabby_trim has no [[function]] entry in bindings/contract.toml",
    ),
    (
        "an entry loses its prototype",
        HEADER,
        "slabby_status slabby_trim(uint64_t *out_bytes, slabby_allocator *allocator);\n",
        "",
        "function 'slabby_trim' is not declared in core/include/slabby/slabby.h",
    ),
    (
        "a comment loses a status",
        HEADER,
        ", TooManyPins (4,095 are held), Closed (destroyed).",
        ", Closed (destroyed).",
        f"UseAfterFree, Closed (destroyed).', should be '{PIN_FACTS}'",
    ),
    (
        "a comment gains a status",
        HEADER,
        "TooManyPins (4,095 are held), Closed",
        "TooManyPins (4,095 are held), Timeout, Closed",
        f"(4,095 are held), Timeout, Closed (destroyed).', should be '{PIN_FACTS}'",
    ),
    (
        "a comment mentions a status that does not exist",
        HEADER,
        "Never aborts, never pins;",
        "Never aborts, never pins, never TooManySlabs;",
        "the comment mentions TooManySlabs, which is no status of bindings/contract.toml",
    ),
    (
        "an entry lists a status that does not exist",
        CONTRACT,
        '"UseAfterFree", "TooManyPins", "Closed"]',
        '"UseAfterFree", "TooManyPegs", "Closed"]',
        "function 'slabby_pin': status 'TooManyPegs' does not exist",
    ),
    (
        "an entry explains a status that it does not list",
        CONTRACT,
        'when = { TooManyPins = "4,095 are held", ',
        'when = { Timeout = "4,095 are held", ',
        "function 'slabby_pin': `when` explains Timeout, which `statuses` does not list",
    ),
    (
        "a function that returns a status lists no success",
        CONTRACT,
        'statuses = ["OK", "InvalidArgument", "InvalidReference", "UseAfterFree", "TooManyPins", ',
        'statuses = ["InvalidArgument", "InvalidReference", "UseAfterFree", "TooManyPins", ',
        "slabby_pin returns a status, but the contract's list does not begin with OK",
    ),
    (
        "a function that returns a number lists a status",
        CONTRACT,
        f"{IS_VALID}blocks = false\nsignal_safe = true\nstatuses = []\n",
        f'{IS_VALID}blocks = false\nsignal_safe = true\nstatuses = ["OK"]\n',
        "slabby_is_valid returns no status, the contract lists OK",
    ),
    (
        "a function is of no version",
        CONTRACT,
        f'{IS_VALID}blocks = false\nsignal_safe = true\nstatuses = []\nsince = "0.1.0"\n',
        f'{IS_VALID}blocks = false\nsignal_safe = true\nstatuses = []\nsince = "soon"\n',
        "function 'slabby_is_valid': `since` is 'soon' and must look like 1.2.3",
    ),
    (
        "a parameter has a role that does not exist",
        CONTRACT,
        IS_VALID,
        IS_VALID.replace('"pool"', '"pond"'),
        "slabby_is_valid: role 'pond' of `allocator` is none of pool, options,",
    ),
    (
        "a parameter has a role that its type does not fit",
        CONTRACT,
        IS_VALID,
        IS_VALID.replace('"pool"', '"text"'),
        "slabby_is_valid: `allocator` has the role 'text' and the type `slabby_allocator *`",
    ),
    (
        "a parameter has no role",
        CONTRACT,
        IS_VALID,
        IS_VALID.replace(', ref = "ref"', ""),
        "slabby_is_valid has the parameters allocator, ref; its `roles` in bindings/contract.toml are of allocator",
    ),
    (
        "two functions share a comment and not their facts",
        CONTRACT,
        f"{GET_MEMORY}blocks = false\n",
        f"{GET_MEMORY}blocks = true\n",
        "slabby_get_stats and slabby_get_memory share a comment, but not their facts",
    ),
    (
        "a comment ends beside its last word",
        HEADER,
        f"{PIN_FACTS}\n * Signal-safe.\n */",
        f"{PIN_FACTS}\n * Signal-safe. */",
        "slabby_pin: its comment must begin with a line /* and end with a line */",
    ),
    (
        "a generated file is not marked",
        ATTRIBUTES,
        "core/slabby.map linguist-generated\n",
        "",
        ".gitattributes: core/slabby.map is generated; add the line `core/slabby.map linguist-generated`",
    ),
    (
        "a file is marked that nothing generates",
        ATTRIBUTES,
        "core/slabby.map linguist-generated\n",
        "core/slabby.map linguist-generated\nREADME.md linguist-generated\n",
        ".gitattributes: README.md is no output of ./dev gen; remove its mark",
    ),
    (
        "the core in one file shows its differences",
        ATTRIBUTES,
        "go/slabby_core.c linguist-generated -diff\n",
        "go/slabby_core.c linguist-generated\n",
        ".gitattributes: go/slabby_core.c needs the attribute -diff as well",
    ),
    (
        "a comment mentions a function that does not exist",
        HEADER,
        "one more owner; each owner calls slabby_destroy or slabby_abandon once",
        "one more owner; each owner calls slabby_finish once",
        "the comment mentions slabby_finish, which is not declared",
    ),
    (
        "a function is called signal-safe in one place only",
        CONTRACT,
        f"{IS_VALID}blocks = false\nsignal_safe = true\n",
        f"{IS_VALID}blocks = false\nsignal_safe = false\n",
        "is ' * Statuses: none. Signal-safe.', should be ' * Statuses: none.'; run ./dev gen",
    ),
    (
        "a generated file is edited by hand",
        CODES,
        "    SLABBY_CLOSED = -23,",
        "    SLABBY_CLOSED = -99,",
        "is '    SLABBY_CLOSED = -99,', should be '    SLABBY_CLOSED = -23,'",
    ),
    (
        "a symbol is missing from the linker's list",
        MAP,
        "    slabby_release;\n",
        "",
        "core/slabby.map: slabby_release is declared in core/include/slabby/slabby.h but missing",
    ),
    (
        "the linker's list exports everything",
        MAP,
        "local:\n    *;\n",
        "",
        "core/slabby.map: is not one node SLABBY_0",
    ),
]


# Each drift is found, and the message names the place.
@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [case[1:] for case in BREAKAGES],
    ids=[case[0] for case in BREAKAGES],
)
def test_breakage_is_named(tree: Tree, path: str, old: str, new: str, expected: str) -> None:
    tree.replace(path, old, new)
    outcome = tree.check()
    assert outcome.status == 1, outcome.text
    assert any(expected in line for line in outcome.failed()), outcome.text


# A place in the header is file:line of the prototype, so that an editor can jump there.
def test_message_carries_the_line_of_the_prototype(tree: Tree) -> None:
    tree.replace(CONTRACT, entry("slabby_trim"), entry("slabby_prune"))
    line = tree.line_of(HEADER, "slabby_status slabby_trim(")
    assert f"{HEADER}:{line}: slabby_trim has no" in tree.check().text


# What is valid C but not C++ must not enter the header.
def test_header_must_compile_as_cplusplus(tree: Tree) -> None:
    need("g++")
    tree.replace(
        HEADER,
        "slabby_retain(slabby_allocator *allocator)",
        "slabby_retain(slabby_allocator *this)",
    )
    outcome = tree.check(bare=False)
    assert outcome.status == 1
    assert "FAILED  g++ compiles the header alone as c++17" in outcome.text


# cffi knows the types of stdint.h and no others.
def test_header_must_parse_with_cffi(tree: Tree) -> None:
    pytest.importorskip("cffi")
    tree.replace(HEADER, "uint64_t slabby_instance_id(void);", "time_t slabby_instance_id(void);")
    outcome = tree.check(bare=False)
    assert outcome.status == 1
    assert "FAILED  cffi parses the header" in outcome.text


# SWIG would leave out what it does not understand; the check finds that.
def test_header_must_parse_with_swig(tree: Tree) -> None:
    need("swig")
    tree.replace(
        HEADER,
        "uint64_t slabby_instance_id(void);",
        "#ifndef SWIG\nuint64_t slabby_instance_id(void);\n#endif",
    )
    outcome = tree.check(bare=False)
    assert outcome.status == 1
    assert "SWIG does not wrap slabby_instance_id" in outcome.text


# An attribute, or whatever else the tools cannot read as a prototype, is not passed over.
def test_unreadable_prototype_is_an_error(tree: Tree) -> None:
    tree.replace(
        HEADER,
        "uint32_t slabby_abi_version(void);",
        "uint32_t slabby_abi_version(void) __attribute__((const));",
    )
    outcome = tree.check()
    assert outcome.status == 1
    declared = len(LISTED["function"])
    problem = f"{declared} lines look like prototypes, {declared - 1} could be read"
    assert f"{HEADER}: {problem}" in outcome.text


def build_library(tree: Tree, path: Path, names: list[str]) -> None:
    """A shared library that exports `names`; what they do is of no concern here."""
    code = "".join(f"int {name}(void); int {name}(void) {{ return 0; }}\n" for name in names)
    command = ["cc", "-shared", "-fPIC", "-nostdlib", "-x", "c", "-", "-o", str(path)]
    subprocess.run(command, input=code, text=True, check=True, cwd=tree.root)


# --library compares what a built library exports with what the header declares.
def test_library_exports_equal_the_header(tree: Tree, tmp_path: Path) -> None:
    need("cc", "nm")
    text = (tree.root / MAP).read_text(encoding="utf-8").split("global:")[1].split("local:")[0]
    names = [name.strip(" ;") for name in text.split("\n") if name.strip()]
    library = tmp_path / "library.so"
    build_library(tree, library, names)
    assert tree.check("--library", str(library), bare=False).status == 0
    names.remove("slabby_pin")
    build_library(tree, library, [*names, "slabby_secret"])
    outcome = tree.check("--library", str(library), bare=False)
    assert outcome.status == 1
    assert f"{library}: slabby_pin is declared in {HEADER} but missing here" in outcome.text
    assert f"{library}: slabby_secret stands here but is not declared in {HEADER}" in outcome.text
