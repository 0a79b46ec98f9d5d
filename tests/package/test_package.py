# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways by which a C or C++ program outside the tree gets the library."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, WARNINGS, run

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "program.c"
COMPILERS = {
    "C": ["cc", "-std=c11", "-x", "c"],
    "CXX": ["c++", "-std=c++17", "-x", "c++"],
}

languages = pytest.mark.parametrize("language", ["C", "CXX"])


def cmake_consumer(build: Path, source: Path, **settings: str | Path) -> Path:
    """Configures and builds tests/package/consumer; returns the program."""
    definitions = [f"-D{name}={value}" for name, value in {"SOURCE": source, **settings}.items()]
    run(["cmake", "-G", "Ninja", "-S", HERE / "consumer", "-B", build, *definitions])
    run(["cmake", "--build", build])
    return build / "program"


def pkg_config(prefix: Path, *flags: str) -> list[str]:
    search = str(prefix / "lib/pkgconfig")
    return shlex.split(run(["pkg-config", *flags, "slabby"], PKG_CONFIG_PATH=search))


@languages
@pytest.mark.parametrize("target", ["slabby::slabby", "slabby::static"])
def test_find_package(prefix: Path, tmp_path: Path, language: str, target: str) -> None:
    program = cmake_consumer(
        tmp_path, PROGRAM, CMAKE_PREFIX_PATH=prefix, LANGUAGE=language, TARGET=target, VERSION="0.1"
    )
    assert run([program]) == "OK\n"


def test_find_package_refuses_another_minor_version(prefix: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r'compatible\s+with\s+requested\s+version\s+"0.2"'):
        cmake_consumer(
            tmp_path,
            PROGRAM,
            CMAKE_PREFIX_PATH=prefix,
            LANGUAGE="C",
            TARGET="slabby::slabby",
            VERSION="0.2",
        )


def test_components(prefix: Path, tmp_path: Path) -> None:
    settings: dict[str, str | Path] = {
        "CMAKE_PREFIX_PATH": prefix,
        "LANGUAGE": "C",
        "TARGET": "slabby::static",
    }
    program = cmake_consumer(tmp_path / "known", PROGRAM, COMPONENTS="static;shared", **settings)
    assert run([program]) == "OK\n"
    with pytest.raises(AssertionError, match="unknown"):
        cmake_consumer(tmp_path / "unknown", PROGRAM, COMPONENTS="unknown", **settings)


def test_without_a_shared_library(tmp_path: Path) -> None:
    build, static = tmp_path / "build", tmp_path / "static prefix"
    options = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_SHARED_LIBS=OFF",
        "-DCMAKE_INSTALL_LIBDIR=lib",
    ]
    run(
        [
            "cmake",
            "-G",
            "Ninja",
            "-S",
            ROOT,
            "-B",
            build,
            f"-DCMAKE_INSTALL_PREFIX={static}",
            *options,
        ]
    )
    run(["cmake", "--build", build])
    run(["cmake", "--install", build])
    assert [file.name for file in (static / "lib").glob("libslabby*")] == ["libslabby.a"]
    assert len(list(static.rglob("LICENSE"))) == 1
    settings: dict[str, str | Path] = {
        "CMAKE_PREFIX_PATH": static,
        "LANGUAGE": "C",
        "TARGET": "slabby::slabby",
    }
    assert run([cmake_consumer(tmp_path / "found", PROGRAM, **settings)]) == "OK\n"
    with pytest.raises(AssertionError, match="shared"):
        cmake_consumer(tmp_path / "refused", PROGRAM, COMPONENTS="shared", **settings)
    program = tmp_path / "program"
    run(["cc", PROGRAM, *pkg_config(static, "--cflags", "--libs"), "-o", program])
    assert run([program]) == "OK\n"
    run(["cmake", "--build", build, "--target", "uninstall"])
    assert [file for file in static.rglob("*") if file.is_file()] == []


def test_the_single_file_behind_a_system_header(drop_in: Path, tmp_path: Path) -> None:
    source = tmp_path / "late.c"
    source.write_text('#include <stdio.h>\n#include "slabby.c"\n', encoding="utf-8")
    command = ["cc", "-std=c11", "-fsyntax-only", f"-I{drop_in}", str(source)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode != 0 and "define _GNU_SOURCE before it" in found.stderr
    run([*command, "-D_GNU_SOURCE"])


def test_as_part_of_another_project(tmp_path: Path) -> None:
    program = cmake_consumer(
        tmp_path, PROGRAM, SUBDIRECTORY=ROOT, LANGUAGE="C", TARGET="slabby::slabby"
    )
    assert run([program]) == "OK\n"


@languages
def test_pkg_config(prefix: Path, tmp_path: Path, language: str) -> None:
    program = tmp_path / "program"
    flags = pkg_config(prefix, "--cflags")
    libraries = pkg_config(prefix, "--libs")
    run([*COMPILERS[language], *WARNINGS, *flags, PROGRAM, "-x", "none", *libraries, "-o", program])
    assert run([program], LD_LIBRARY_PATH=str(prefix / "lib")) == "OK\n"


def test_pkg_config_static(prefix: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    flags = [*pkg_config(prefix, "--cflags"), "-static"]
    libraries = pkg_config(prefix, "--static", "--libs")
    run([*COMPILERS["C"], *WARNINGS, *flags, PROGRAM, "-x", "none", *libraries, "-o", program])
    assert run([program]) == "OK\n"


def program_beside_header(directory: Path) -> Path:
    """The program as it is written where slabby.h lies beside it."""
    source = directory / "program.c"
    text = PROGRAM.read_text(encoding="utf-8")
    source.write_text(text.replace("<slabby/slabby.h>", '"slabby.h"'), encoding="utf-8")
    return source


@languages
def test_drop_in(drop_in: Path, drop_in_object: Path, tmp_path: Path, language: str) -> None:
    """One command compiles the library; the program includes the header beside it."""
    source = program_beside_header(tmp_path)
    program = tmp_path / "program"
    compile_it = [*COMPILERS[language], *WARNINGS, f"-I{drop_in}"]
    run([*compile_it, source, "-x", "none", drop_in_object, "-pthread", "-o", program])
    assert run([program]) == "OK\n"


PART = """
#include <slabby/slabby.h>
#include <stdio.h>

int second(void);

static int pair(void) {
    slabby_allocator *pool;
    slabby_ref ref;
    void *data;
    if (slabby_create(&pool, 64, 8, NULL, NULL) != SLABBY_OK || slabby_allocate(&ref, &data, pool) != SLABBY_OK)
        return 1;
    return slabby_release(pool, ref) == SLABBY_OK && slabby_destroy(pool) == SLABBY_OK ? 0 : 2;
}

#ifdef SLABBY_PREFIX
int second(void) {
    printf("%d", (int)(slabby_instance_id() % 9));
    return pair();
}
#else
static int give(void) {
    return (int)(slabby_instance_id() % 9);
}

int main(void) {
    return give() < 0 || pair() != 0 || second() != 0;
}
#endif
"""


@pytest.mark.parametrize("linked", [[], ["-static"]])
def test_two_copies_in_one_program(
    drop_in: Path, drop_in_object: Path, tmp_path: Path, linked: list[str]
) -> None:
    """One copy of the single file has another prefix; each part of the program uses its own."""
    part, other = tmp_path / "part.c", tmp_path / "other.o"
    part.write_text(PART, encoding="utf-8")
    compiler = ["cc", "-std=c11", *WARNINGS, f"-I{drop_in}"]
    prefix = "-DSLABBY_PREFIX=mine_"
    run([*compiler, prefix, "-c", drop_in / "slabby.c", "-o", other])
    assert " T mine_slabby_create\n" in run(["nm", other]) and " T slabby_" not in run(
        ["nm", other]
    )
    parts = [tmp_path / "one.o", tmp_path / "two.o"]
    run([*compiler, "-c", part, "-o", parts[0]])
    run([*compiler, prefix, "-c", part, "-o", parts[1]])
    program = tmp_path / "program"
    run(["cc", *linked, *parts, drop_in_object, other, "-pthread", "-o", program])
    run([program])


def test_installed_single_file(prefix: Path, tmp_path: Path) -> None:
    """The program as it is, and one that includes slabby.c among names of its own."""
    single, program = prefix / "share/slabby", tmp_path / "program"
    run(
        [
            "cc",
            "-std=c11",
            *WARNINGS,
            f"-I{single}",
            PROGRAM,
            single / "slabby.c",
            "-pthread",
            "-o",
            program,
        ]
    )
    assert run([program]) == "OK\n"
    source = tmp_path / "own.c"
    names = "enum { GUARD_FREE, TICK = 3 }; struct found { int give; };\nint give(int claim) { return claim; }\n"
    source.write_text(f'#include "slabby.c"\n{names}', encoding="utf-8")
    run(["cc", "-std=c11", *WARNINGS, f"-I{single}", "-c", source, "-o", tmp_path / "own.o"])


def test_every_public_header_is_installed(prefix: Path) -> None:
    public = {file.name for file in (ROOT / "core/include/slabby").iterdir()}
    assert {file.name for file in (prefix / "include/slabby").iterdir()} == public
    assert {"slabby.h", "codes.h", "slabby.hpp"} <= public


@languages
def test_installed_header_stands_alone(prefix: Path, tmp_path: Path, language: str) -> None:
    source = tmp_path / "header.c"
    source.write_text("#include <slabby/slabby.h>\n#include <slabby/slabby.h>\n", encoding="utf-8")
    run([*COMPILERS[language], *WARNINGS, f"-I{prefix}/include", "-fsyntax-only", source])


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_the_programs_of_the_page_on_cpp(prefix: Path, tmp_path: Path, compiler: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler}")
    page = (ROOT / "docs/cpp.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```cpp\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    libraries = pkg_config(prefix, "--libs")
    flags = ["-std=c++17", *WARNINGS, *pkg_config(prefix, "--cflags")]
    for number, block in enumerate(blocks):
        source, program = tmp_path / f"{number}.cpp", tmp_path / f"program{number}"
        source.write_text(block, encoding="utf-8")
        run([compiler, *flags, source, *libraries, "-o", program])
        printed = run([program], LD_LIBRARY_PATH=str(prefix / "lib"))
        said = re.findall(r"problem\.what\(\).*// (.*)", block)
        assert all(line in printed for line in said)


def test_library_exports_the_header_and_nothing_else(prefix: Path) -> None:
    library = prefix / "lib/libslabby.so.0"
    run([sys.executable, ROOT / "bindings/gen/check.py", "--library", library])
    assert "[libslabby.so.0]" in run(["readelf", "-d", library])


def readme_blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_readme_example(prefix: Path, tmp_path: Path) -> None:
    """The C program of the README compiles without a warning and prints what the README says."""
    blocks = readme_blocks("c")
    assert blocks, "README.md has no C example"
    for number, text in enumerate(blocks):
        source, program = tmp_path / f"{number}.c", tmp_path / f"{number}"
        source.write_text(text, encoding="utf-8")
        flags = pkg_config(prefix, "--cflags", "--libs")
        run(["cc", "-std=c11", *WARNINGS, source, *flags, "-o", program])
        printed = run([program], LD_LIBRARY_PATH=str(prefix / "lib"))
        assert printed.splitlines() == re.findall(r"/\* prints: (.*?) \*/", text)


AUDITED = """
#include <fcntl.h>
#include <slabby/slabby.h>

int main(int count, char **arguments) {
    slabby_options *options;
    slabby_allocator *pool;
    slabby_ref ref;
    void *data;
    uint64_t cursor = 0, written;
    int file = open(arguments[count - 1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    slabby_options_create(&options);
    slabby_options_set_text(options, "audit", "64", 0);
    if (slabby_create(&pool, 64, 8, options, 0) != SLABBY_OK)
        return 1;
    slabby_allocate(&ref, &data, pool);
    slabby_release(pool, ref);
    return slabby_audit_write(&written, &cursor, pool, file, 0) == SLABBY_OK && written > 2 ? 0 : 2;
}
"""


def test_installed_audit_check(prefix: Path, tmp_path: Path) -> None:
    """The installed tool accepts what the installed library wrote, and notices a changed line."""
    source, program, audit = tmp_path / "audited.c", tmp_path / "audited", tmp_path / "audit.jsonl"
    source.write_text(AUDITED, encoding="utf-8")
    run(["cc", "-std=c11", source, *pkg_config(prefix, "--cflags", "--libs"), "-o", program])
    run([program, audit], LD_LIBRARY_PATH=str(prefix / "lib"))
    tool = prefix / "bin/slabby-audit-check"
    assert re.match(r"[3-9] records, 0 lost .*, last digest [0-9a-f]{64}$", run([tool, audit]))
    changed = audit.read_text(encoding="utf-8").replace('"release"', '"allocate"')
    audit.write_text(changed, encoding="utf-8")
    with pytest.raises(AssertionError, match=r"ended with 1:\n.*audit\.jsonl"):
        run([tool, audit])
