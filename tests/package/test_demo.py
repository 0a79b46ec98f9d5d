# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's C program on files that are easy to get wrong."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

SLAB = 4096


@pytest.fixture(scope="session")
def hash_files(library_build: Path) -> Path:
    return library_build / "examples/hash_files"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    for name, size in (
        ("empty", 0),
        ("one slab", SLAB),
        ("one more", SLAB + 1),
        ("sub/many slabs", 100 * SLAB),
        ("back\\slash", 10),
        ("line\nend", 10),
        ("carriage\rreturn", 10),
    ):
        (tree / name).write_bytes(bytes(i % 251 for i in range(size)))
    (tree / os.fsdecode(b"not \xff text")).write_bytes(b"x")
    (tree / "link").symlink_to("empty")
    (tree / "loop").symlink_to(".")
    os.mkfifo(tree / "pipe")
    return tree


def call(program: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "--slab-size", str(SLAB), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("slabs", ["1", "2", "32"])
def test_list_is_what_sha256sum_writes(
    hash_files: Path, tree: Path, tmp_path: Path, slabs: str
) -> None:
    """Whatever the size of the pool: regular files only, each once, sorted by bytes."""
    output, stats = tmp_path / "list", tmp_path / "stats"
    arguments: list[str | Path] = ["--output", output, "--stats-json", stats, "--slabs", slabs]
    result = call(hash_files, *arguments, tree, f"{tree}/sub/", tree / "empty")
    assert result.returncode == 0, result.stderr
    files = (p for p in tree.rglob("*") if p.is_file() and not p.is_symlink())
    paths = sorted(map(os.fsencode, files))
    wanted = subprocess.run([b"sha256sum", *paths], capture_output=True, check=True).stdout
    assert output.read_bytes() == wanted
    totals = json.loads(stats.read_text())
    assert (totals["binding"], totals["files"], totals["unreadable"]) == ("c", len(paths), 0)
    assert totals["bytes"] == sum(os.path.getsize(path) for path in paths)
    assert totals["stats"]["used_slabs"] == 0
    assert totals["stats"]["total_allocations"] == totals["stats"]["total_deallocations"] > 100


def test_unreadable_files_are_named_and_counted(
    hash_files: Path, tree: Path, tmp_path: Path
) -> None:
    unreadable = Path("/proc/self/mem")
    if not unreadable.is_file():
        pytest.skip("no /proc/self/mem, which even root cannot read from its start")
    output, stats = tmp_path / "list", tmp_path / "stats"
    result = call(hash_files, "--output", output, "--stats-json", stats, unreadable, tree / "empty")
    assert result.returncode == 0, result.stderr
    assert f"unreadable: {unreadable}: " in result.stderr
    totals = json.loads(stats.read_text())
    assert (totals["files"], totals["unreadable"]) == (1, 1)
    assert result.stdout.startswith("1 file, 1 unreadable, 0.0 MB in ")
    assert len(output.read_bytes().splitlines()) == 1


def test_no_files_is_an_error_that_says_so(hash_files: Path, tmp_path: Path) -> None:
    (tmp_path / "empty directory").mkdir()
    result = call(hash_files, "--output", tmp_path / "list", tmp_path / "empty directory")
    assert (result.returncode, "no files" in result.stderr) == (1, True)
    assert not (tmp_path / "list").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/no/such/place"], "/no/such/place: No such file or directory"),
        (["/dev/null"], "/dev/null: neither a file nor a directory"),
        (["--slabs", "0", "/"], '--slabs: "0" is not a number between 1 and'),
        (["--readers", "many", "/"], '--readers: "many" is not a number between 1 and 64'),
        ([], "at least one path"),
    ],
)
def test_bad_arguments_are_refused(
    hash_files: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    result = call(hash_files, "--output", tmp_path / "list", *words)
    assert (result.returncode, message in result.stderr) == (2, True), result.stderr


def test_output_that_cannot_be_written(hash_files: Path, tree: Path, tmp_path: Path) -> None:
    result = call(hash_files, "--output", tmp_path / "no directory/list", tree)
    assert result.returncode == 1
    assert f"cannot write {tmp_path}/no directory/list" in result.stderr
