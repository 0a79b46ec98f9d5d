# SPDX-License-Identifier: GPL-3.0-or-later
"""What the header gives beside its functions: initialisers, versions, warnings about dropped statuses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import WARNINGS, run
from test_package import pkg_config

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "records.c"
STANDARDS = [
    ("gcc", "c11", "c"),
    ("gcc", "gnu17", "c"),
    ("clang", "c11", "c"),
    ("g++", "c++11", "c++"),
    ("g++", "c++20", "c++"),
    ("clang++", "c++17", "c++"),
]
standards = pytest.mark.parametrize(("compiler", "standard", "language"), STANDARDS)


def command(compiler: str, standard: str, language: str) -> list[str]:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing")
    return [compiler, f"-std={standard}", "-x", language]


@standards
def test_records_and_versions(
    prefix: Path, tmp_path: Path, compiler: str, standard: str, language: str
) -> None:
    program = tmp_path / "records"
    build: list[str | Path] = [
        *command(compiler, standard, language),
        *WARNINGS,
        "-Werror",
        RECORDS,
        "-x",
        "none",
    ]
    library = [*pkg_config(prefix, "--cflags", "--libs"), f"-Wl,-rpath,{prefix}/lib"]
    run([*build, "-o", program, *library])
    assert run([program]) == "OK\n"


DROPPED = [
    "slabby_create(&pool, 64, 10, 0, 0)",
    "slabby_allocate(&ref, &data, pool)",
    "slabby_data(&data, pool, ref)",
    "slabby_pin(pool, ref)",
    "slabby_wait_begin(&ref, 0, 0)",
]


@standards
def test_a_dropped_status_is_a_warning(
    prefix: Path, tmp_path: Path, compiler: str, standard: str, language: str
) -> None:
    source = tmp_path / "dropped.c"
    calls = "".join(f"    {call};\n" for call in DROPPED)
    variables = "    slabby_allocator *pool = 0; slabby_ref ref = 0; void *data = 0;\n"
    end = "    return !(pool || ref || data);\n"
    text = f"#include <slabby/slabby.h>\nint main(void) {{\n{variables}{calls}{end}}}\n"
    source.write_text(text, encoding="utf-8")
    build: list[str | Path] = [
        *command(compiler, standard, language),
        "-c",
        source,
        "-o",
        tmp_path / "dropped.o",
    ]
    found = subprocess.run(
        [*build, *pkg_config(prefix, "--cflags")], capture_output=True, text=True, check=False
    )
    assert found.stderr.count("-Wunused-result]") == len(DROPPED), found.stderr
