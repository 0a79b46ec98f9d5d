# SPDX-License-Identifier: GPL-3.0-or-later
"""A core that is older than the package, found first by the loader: an error that says so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAP = Path(__file__).parents[2] / "core" / "slabby.map"
PROGRAM = """
try:
    import slabby
except ImportError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """A library of the same name without the function that was added last, here slabby_wait_take."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make the older library")
    folder = tmp_path_factory.mktemp("older")
    script = MAP.read_text(encoding="utf-8").replace("slabby_wait_take;", "")
    exported = script.split("global:")[1].split("local:")[0].split(";")
    names = {name.strip() for name in exported if name.strip()}
    (folder / "older.map").write_text(script, encoding="utf-8")
    source = folder / "older.c"
    source.write_text("".join(f"int {name}(void) {{ return -27; }}\n" for name in sorted(names)))
    flags = ["-shared", "-fPIC", "-w", "-Wl,-soname,libslabby.so.0"]
    flags.append(f"-Wl,--version-script={folder / 'older.map'}")
    subprocess.run([compiler, *flags, source, "-o", folder / "libslabby.so.0"], check=True)
    return folder


@pytest.mark.parametrize("backend", ["cffi", "swig"])
def test_an_older_library_is_named(older, backend):
    environment = os.environ | {"LD_LIBRARY_PATH": str(older), "SLABBY_BACKEND": backend}
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("AbiMismatchError ")
    assert "libslabby.so.0 that this process loaded is older than the package" in answer.stdout
    assert "it has no slabby_wait_take; " in answer.stdout
    assert f"remove {older}/libslabby.so.0 from LD_LIBRARY_PATH" in answer.stdout
