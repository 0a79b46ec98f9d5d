# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the packages, what they need, and how they install. SLABBY_DIST holds both."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if "SLABBY_DIST" not in os.environ:
    pytest.skip(
        "SLABBY_DIST names no packages; ./dev test python builds them", allow_module_level=True
    )
DIST = Path(os.environ["SLABBY_DIST"])
ROOT = Path(__file__).resolve().parents[3]
FULL = bool(os.environ.get("SLABBY_FULL"))
CORE = "libslabby.so.0"
EXTENSIONS = {"_cffi.abi3.so", "_swig.abi3.so", "_types.abi3.so"}
USE = """
import slabby
from slabby import _backend
assert {_backend.load(name).instance_id for name in _backend.NAMES} == {slabby.instance_id()}
pool = slabby.Allocator(4096, 100)
for name in _backend.NAMES:
    other = slabby.Allocator.adopt(*pool.handle(), backend=name)
    with other.allocate() as ref:
        memoryview(ref)[:2] = b"ok"
maps = {line.split()[-1] for line in open("/proc/self/maps") if "libslabby" in line}
assert len(maps) == 1, maps
print(slabby.__file__)
"""


def only(pattern: str) -> Path:
    (found,) = DIST.glob(pattern)
    return found


def run(*command: object, **extra: object) -> subprocess.CompletedProcess[str]:
    """Runs a command without the variables that would lead it to the checkout."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SLABBY"))}
    environment |= extra.pop("env", {})  # type: ignore[arg-type]
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env=environment,
        **extra,  # type: ignore[arg-type]
    )


def succeed(*command: object, **extra: object) -> str:
    done = run(*command, **extra)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    entry = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(only("*.whl")) as wheel:
        wheel.extractall(entry)
    return entry / "slabby"


@pytest.fixture
def source_tree(tmp_path: Path) -> Iterator[Path]:
    """The sdist unpacked below a path with spaces."""
    entry = tmp_path / "a path with spaces"
    with tarfile.open(only("*.tar.gz")) as archive:
        archive.extractall(entry, filter="data")
    (tree,) = entry.iterdir()
    yield tree


def test_one_wheel_for_every_later_python():
    assert re.fullmatch(r"slabby-[\d.]+-cp311-abi3-linux_\w+\.whl", only("*.whl").name)


def test_the_wheel_holds_what_it_should_and_nothing_stale(unpacked):
    objects = {path.name for path in unpacked.rglob("*.so*")}
    assert objects == EXTENSIONS | {CORE}
    checked_in = subprocess.run(
        ["git", "ls-files", "python/slabby"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    if not checked_in:
        pytest.skip("this checkout is no git repository, nothing to compare with")
    expected = {Path(name).relative_to("python/slabby").as_posix() for name in checked_in}
    found = {
        path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()
    }
    assert found - objects == expected


def test_the_extensions_keep_to_the_limited_api(unpacked):
    """No symbol of the interpreter beyond those its stable ABI promises."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm of binutils is not installed")
    for name in EXTENSIONS:
        symbols = succeed(nm, "-D", "--undefined-only", unpacked / name)
        private = {s for s in re.findall(r"\b(_Py\w+)", symbols)}
        # These are part of the stable ABI although they begin with an underscore.
        assert private <= {
            "_Py_Dealloc",
            "_Py_NoneStruct",
            "_Py_TrueStruct",
            "_Py_FalseStruct",
            "_Py_NotImplementedStruct",
            "_PyObject_GC_New",
            "_PyObject_New",
            "_Py_IncRef",
            "_Py_DecRef",
        }, name


def test_nothing_foreign_is_needed(unpacked):
    """What auditwheel would report: libc, the interpreter's own loader, and our core beside us."""
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf of binutils is not installed")
    system = {"libc.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    for path in unpacked.rglob("*.so*"):
        dynamic = succeed(readelf, "-d", path)
        needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
        links_core = path.name in ("_cffi.abi3.so", "_swig.abi3.so")
        assert needed - system == ({CORE} if links_core else set()), path.name
        assert re.findall(r"RUNPATH.*\[(.*)\]|RPATH.*\[(.*)\]", dynamic) in (
            [("$ORIGIN", "")] if links_core else [],
            [("", "$ORIGIN")] if links_core else [],
        ), path.name
        if path.name == CORE:
            assert f"[{CORE}]" in "".join(re.findall(r"SONAME.*", dynamic))


def test_auditwheel_finds_nothing_foreign():
    pytest.importorskip("auditwheel", reason="auditwheel is not installed")
    reported = " ".join(succeed(sys.executable, "-m", "auditwheel", "show", only("*.whl")).split())
    assert "is consistent with" in reported
    libraries = set(re.findall(r"(lib[\w.+-]+\.so[\d.]*) with versions", reported))
    assert libraries == {"libc.so.6", CORE}


def test_no_directory_of_the_build_is_named(unpacked):
    for path in unpacked.rglob("*.so*"):
        content = path.read_bytes()
        for entry in (ROOT, Path(sys.base_prefix)):
            if len(entry.parts) > 2:
                assert str(entry).encode() not in content, path.name


def test_the_core_exports_the_header_and_no_more(unpacked):
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm of binutils is not installed")
    header = (ROOT / "core/include/slabby/slabby.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^[\w ]+[ *](slabby_\w+)\(", header, flags=re.MULTILINE))
    symbols = succeed(nm, "-D", "--defined-only", unpacked / CORE)
    exported = set(re.findall(r" T (\w+)", symbols))
    assert exported == declared


def test_the_sdist_is_clean():
    with tarfile.open(only("*.tar.gz")) as archive:
        names = archive.getnames()
    wrong = [n for n in names if n.endswith((".so", ".o", ".pyc", ".a")) or ".so." in n]
    assert wrong == []
    packed = {name.partition("/")[2] for name in names}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "core").rglob("*.[ch]")}
    assert sources and sources <= packed
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/python").rglob("*.py")}
    assert tests and tests | {"bindings/contract.toml"} <= packed


def test_without_a_compiler_it_says_what_to_install(source_tree):
    """setup.py in this interpreter's environment: what pip would show."""
    if not build_tools():
        pytest.skip("setuptools, cffi and swig are not importable from the tools' environment")
    done = run(
        tools_python(), "setup.py", "build_ext", cwd=source_tree, env={"CC": "no-such-compiler"}
    )
    assert done.returncode != 0
    assert "no working C compiler was found" in done.stderr
    assert "apt-get install gcc" in done.stderr and "no-such-compiler" in done.stderr


def test_a_free_threaded_build_is_refused_by_name(source_tree):
    """The configuration says so; no such Python needs to be here."""
    if not build_tools():
        pytest.skip("setuptools, cffi and swig are not importable from the tools' environment")
    pretend = (
        "import runpy, sys, sysconfig\n"
        "real = sysconfig.get_config_var\n"
        "sysconfig.get_config_var = lambda name: 1 if name == 'Py_GIL_DISABLED' else real(name)\n"
        "sys.argv = ['setup.py', 'build_ext']\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    done = run(tools_python(), "-c", pretend, cwd=source_tree)
    assert done.returncode != 0
    assert "does not support free-threaded builds" in done.stderr


@pytest.mark.skipif(not FULL, reason="builds twice; ./dev test --full runs it")
def test_an_edited_core_is_never_stale(source_tree):
    """Built again in place after an edit, the package has the edit; a path with spaces is no obstacle."""
    if not build_tools():
        pytest.skip("setuptools, cffi and swig are not importable from the tools' environment")
    build = (tools_python(), "setup.py", "-q", "build_ext", "--inplace")
    succeed(*build, cwd=source_tree)
    package = source_tree / "python"
    says = (sys.executable, "-c", "import slabby; print(slabby.core_version())")
    version = succeed(*says, env={"PYTHONPATH": str(package)}).strip()
    contract = source_tree / "core/src/slabby_contract.h"
    text = contract.read_text(encoding="utf-8")
    assert f'"{version}"' in text
    contract.write_text(text.replace(f'"{version}"', '"9.9.9"'), encoding="utf-8")
    succeed(*build, cwd=source_tree)
    assert succeed(*says, env={"PYTHONPATH": str(package)}).strip() == "9.9.9"
    # Nothing is left that a later build could pick up.
    assert not (source_tree / "build").exists()
    assert list(source_tree.rglob("*.o")) == []


def tools_python() -> Path:
    """The interpreter that has the build requirements."""
    return ROOT / ".venv/bin/python"


def build_tools() -> bool:
    return run(tools_python(), "-c", "import setuptools, cffi, swig").returncode == 0


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """An empty environment; returns its interpreter."""
    succeed(sys.executable, "-m", "venv", tmp_path / "clean environment")
    return tmp_path / "clean environment/bin/python"


@pytest.mark.skipif(not FULL, reason="downloads and builds; ./dev test --full runs it")
@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
def test_installed_into_a_clean_environment(clean, tmp_path, pattern):
    succeed(clean, "-m", "pip", "install", only(pattern))
    empty = tmp_path / "empty"
    empty.mkdir()
    for backend in ("cffi", "swig"):
        where = succeed(clean, "-c", USE, cwd=empty, env={"SLABBY_BACKEND": backend})
        assert "clean environment" in where
    succeed(clean, "-m", "pip", "uninstall", "-y", "slabby")
    left = [p for p in clean.parents[1].rglob("*") if "slabby" in p.name]
    assert left == []


@pytest.mark.skipif(not FULL, reason="downloads; ./dev test --full runs it")
@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_one_binary_on_each_python(tmp_path, minor):
    python = shutil.which(f"python3.{minor}")
    if python is None or run(python, "-c", "import ensurepip, venv").returncode != 0:
        pytest.skip(f"no python3.{minor} on PATH")
    succeed(python, "-m", "venv", tmp_path / "later")
    later = tmp_path / "later/bin/python"
    succeed(later, "-m", "pip", "install", only("*.whl"), "pytest", "hypothesis", "numpy")
    tests = (ROOT / "tests/python", "--ignore", ROOT / "tests/python/packaging")
    for backend in ("cffi", "swig"):
        command = (later, "-X", "dev", "-m", "pytest", "-q", "-p", "no:cacheprovider")
        succeed(*command, *tests, cwd=tmp_path, env={"SLABBY_BACKEND": backend})


FROZEN = """
import os, sys
os.environ["SLABBY_BACKEND"] = sys.argv[1]
import slabby
with slabby.Allocator(4096, 4, name="frozen") as pool:
    with pool.acquire(timeout=1) as ref, pool.allocate_batch(2):
        ref[:2] = b"ok"
        print(slabby.backend(), ref.tobytes()[:2], slabby.Trend(0).name, pool.health_check().recent_trend)
"""


@pytest.mark.skipif(not FULL, reason="downloads and freezes; ./dev test --full runs it")
def test_frozen_by_pyinstaller(clean, tmp_path):
    succeed(clean, "-m", "pip", "install", only("*.whl"), "pyinstaller")
    program = tmp_path / "program.py"
    program.write_text(FROZEN, encoding="utf-8")
    options = ("--onedir", "--noconfirm", "--log-level", "ERROR")
    succeed(clean, "-m", "PyInstaller", *options, program, cwd=tmp_path)
    for backend in ("cffi", "swig"):
        said = succeed(tmp_path / "dist/program/program", backend, cwd=tmp_path)
        assert said.startswith(f"{backend} b'ok' STABLE"), said


@pytest.mark.skipif(not FULL, reason="downloads and builds; ./dev test --full runs it")
def test_editable_installation(clean, source_tree, tmp_path):
    succeed(clean, "-m", "pip", "install", "--editable", source_tree)
    for backend in ("cffi", "swig"):
        where = succeed(clean, "-c", USE, cwd=tmp_path, env={"SLABBY_BACKEND": backend})
        assert str(source_tree) in where
