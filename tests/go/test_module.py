# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Go programmer does outside of the checkout: get, build, vendor, build again, and the rest.

The module comes from a file tree laid out like a module proxy, so no network is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

Variables = dict[str, str] | None
ROOT = Path(__file__).resolve().parents[2]
MODULE = "github.com/slabby/slabby/go"
VERSION = "v0.1.0"
NEEDS_CGO = "slabby_needs_cgo_set_CGO_ENABLED_1_and_install_a_C_compiler"
PROGRAM = """\
package main

import (
	"fmt"
	"os"

	slabby "github.com/slabby/slabby/go"
)

func main() {
	pool, err := slabby.New(4096, 16)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ref, err := pool.Allocate()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(slabby.Version(), len(ref.GetBytes()), ref.Release(), pool.Close())
}
"""
LIBRARY = """\
package main

import "C"

import slabby "github.com/slabby/slabby/go"

//export program_core
func program_core() uint64 { return slabby.InstanceID() }

func main() {}
"""


def module_files(folder: Path) -> list[Path]:
    """What a module's zip holds: the regular files of its folder, but for those of modules inside it."""
    nested = [path.parent for path in folder.rglob("go.mod") if path.parent != folder]
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if not any(path.is_relative_to(each) for each in nested))


def make_proxy(proxy: Path, below: str = "") -> None:
    """Puts the module in go/, or in a folder below it, into a file tree like a module proxy's."""
    folder, module = ROOT / "go" / below, f"{MODULE}/{below}".rstrip("/")
    versions = proxy / module / "@v"
    versions.mkdir(parents=True)
    (versions / "list").write_text(VERSION + "\n")
    (versions / f"{VERSION}.info").write_text('{"Version": "%s"}\n' % VERSION)
    shutil.copy(folder / "go.mod", versions / f"{VERSION}.mod")
    with zipfile.ZipFile(versions / f"{VERSION}.zip", "w") as archive:
        for path in module_files(folder):
            archive.write(path, f"{module}@{VERSION}/{path.relative_to(folder).as_posix()}")
        # The go command adds the repository's licence to a module below its root.
        archive.write(ROOT / "LICENSE", f"{module}@{VERSION}/LICENSE")


class Program:
    """A user's program in a folder of its own, with module and build caches of its own."""

    def __init__(self, scratch: Path) -> None:
        self.folder = scratch / "a user's program"
        self.folder.mkdir()
        make_proxy(scratch / "proxy")
        self.environment = os.environ | {
            "GOPROXY": (scratch / "proxy").as_uri(),
            "GOSUMDB": "off",
            "GONOSUMDB": "*",
            "GOFLAGS": "-modcacherw -buildvcs=false",
            "GOWORK": "off",
            "GOTOOLCHAIN": "local",
            "GOMODCACHE": str(scratch / "modules"),
            "CGO_ENABLED": "1",
        }
        (self.folder / "main.go").write_text(PROGRAM)

    def run(self, *command: str, fails: bool = False, environment: Variables = None) -> str:
        """The output of a command in the program's folder, which must end as expected."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)}: {done.stdout}"
        return done.stdout

    def built(self, *flags: str) -> str:
        self.run("go", "build", "-o", "program", *flags, ".")
        return self.run("./program").strip()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program that got the module."""
    if shutil.which("go") is None:
        pytest.skip("go is not on PATH")
    made = Program(tmp_path_factory.mktemp("go with a space"))
    made.run("go", "mod", "init", "example.org/program")
    made.run("go", "get", f"{MODULE}@{VERSION}")
    return made


@pytest.fixture(scope="module")
def vendored(program: Program) -> Program:
    """The same program after `go mod vendor`, which can reach no module any more."""
    program.run("go", "mod", "vendor")
    program.environment |= {"GOPROXY": "off", "GOMODCACHE": str(program.folder / "nothing")}
    return program


def test_get_and_build(program: Program) -> None:
    assert program.built() == "0.1.0 4096 <nil> <nil>"


def test_readme_example(program: Program) -> None:
    """The Go program of the README prints what the README says."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```go\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    folder = program.folder / "readme"
    folder.mkdir()
    (folder / "main.go").write_text(text)
    assert program.run("gofmt", "-l", "readme") == ""
    printed = program.run("go", "run", "./readme").splitlines()
    assert printed == re.findall(r"// prints: (.*)", text)


def test_race_build(program: Program) -> None:
    """As the part's own tests are built, so that Go's library is built once for both."""
    program.run(
        "go", "build", "-race", "-o", "program", ".", environment={"GOEXPERIMENT": "cgocheck2"}
    )
    assert program.run("./program").strip() == "0.1.0 4096 <nil> <nil>"


def test_without_cgo_the_error_says_what_to_do(program: Program) -> None:
    without = {"CGO_ENABLED": "0"}
    output = program.run("go", "build", "-o", "none", ".", fails=True, environment=without)
    assert NEEDS_CGO in output
    assert "exclude all Go files" not in output and "C source files" not in output


def test_a_library_keeps_the_core_to_itself(program: Program) -> None:
    folder = program.folder / "library"
    folder.mkdir()
    (folder / "main.go").write_text(LIBRARY)
    program.run("go", "build", "-buildmode=c-shared", "-o", "library.so", "./library")
    symbols = [line.split()[-1] for line in program.run("nm", "-D", "library.so").splitlines()]
    assert "program_core" in symbols
    assert [name for name in symbols if name.startswith(("slabby_", "slb_"))] == []


def test_vendor_and_build(vendored: Program) -> None:
    assert vendored.built("-mod=vendor") == "0.1.0 4096 <nil> <nil>"


def test_an_edit_of_the_core_is_rebuilt(vendored: Program) -> None:
    core = vendored.folder / "vendor" / MODULE / "slabby_core.c"
    text = core.read_text()
    assert text.count('"0.1.0"') == 1
    core.chmod(0o644)
    # Twice without the optimiser takes a third of the time of once with it.
    settings = core.with_name("build_bundled.go")
    settings.chmod(0o644)
    settings.write_text(settings.read_text().replace(" -O2 ", " -O0 "))
    core.write_text(text.replace('"0.1.0"', '"9.8.7"'))
    assert vendored.built("-mod=vendor") == "9.8.7 4096 <nil> <nil>"
    core.write_text(text)
    assert vendored.built("-mod=vendor") == "0.1.0 4096 <nil> <nil>"


def test_installed_library(vendored: Program) -> None:
    """With the tag slabby_system the program runs on the library that pkg-config names."""
    folder = os.environ.get("SLABBY_PREFIX")
    if folder is None:
        pytest.skip("SLABBY_PREFIX names no installed library; run ./dev test go")
    prefix = Path(folder)
    library = next(prefix.rglob("libslabby.so.0")).parent
    environment = {
        "PKG_CONFIG_PATH": str(library / "pkgconfig"),
        "LD_LIBRARY_PATH": str(library),
    }
    build = ("go", "build", "-tags", "slabby_system", "-o", "shared", ".")
    vendored.run(*build, environment=environment)
    output = vendored.run("./shared", environment=environment)
    assert output.strip() == "0.1.0 4096 <nil> <nil>"
    needed = vendored.run("ldd", "shared", environment=environment)
    assert str(library / "libslabby.so.0") in needed
    # The core in the folder stays out: what the library defines is only referred to.
    defined = vendored.run("nm", "shared").splitlines()
    assert [line for line in defined if line.split()[-2:] == ["T", "slabby_create"]] == []


def test_an_older_installed_library_is_named(vendored: Program, tmp_path: Path) -> None:
    """The loader finds a library without a function that the package calls."""
    folder, compiler = os.environ.get("SLABBY_PREFIX"), shutil.which("cc")
    if folder is None or compiler is None:
        pytest.skip("SLABBY_PREFIX names no installed library; run ./dev test go")
    library = next(Path(folder).rglob("libslabby.so.0")).parent
    script = (ROOT / "core/slabby.map").read_text(encoding="utf-8").replace("slabby_wait_take;", "")
    names = {name.strip() for name in script.split("global:")[1].split("local:")[0].split(";")}
    (tmp_path / "older.map").write_text(script, encoding="utf-8")
    source = "".join(f"int {name}(void) {{ return -27; }}\n" for name in sorted(names - {""}))
    (tmp_path / "older.c").write_text(source, encoding="utf-8")
    flags = [
        "-shared",
        "-fPIC",
        "-w",
        "-Wl,-soname,libslabby.so.0",
        "-Wl,--version-script=older.map",
    ]
    command = [compiler, *flags, "older.c", "-o", "libslabby.so.0"]
    subprocess.run(command, cwd=tmp_path, check=True)
    environment = {"PKG_CONFIG_PATH": str(library / "pkgconfig"), "LD_LIBRARY_PATH": str(library)}
    build = ("go", "build", "-tags", "slabby_system", "-o", "shared", ".")
    vendored.run(*build, environment=environment)
    answer = subprocess.run(
        [str(vendored.folder / "shared")],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if answer.returncode == 127:
        pytest.skip("this linker has all functions bound before a program starts")
    assert answer.returncode == 2
    assert "is older than the library that this program was built with" in answer.stderr
    assert f"{tmp_path}/libslabby.so.0" in answer.stderr and "slabby_wait_take" in answer.stderr
