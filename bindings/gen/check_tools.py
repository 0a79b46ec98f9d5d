# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks compilers, cffi, SWIG and nm what they make of the header and the library."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from header import HEADER_PATH, Header, cdef

MAP_PATH = "core/slabby.map"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")
# Names that the linker adds to a shared library by itself.
LINKER_SYMBOLS = {"SLABBY_0", "_init", "_fini", "__bss_start", "_edata", "_end"}


class Skip(Exception):
    """The check cannot be made here; the text is the reason."""


@dataclass(frozen=True)
class Compiler:
    program: str
    language: str
    standard: str


COMPILERS = (
    Compiler("gcc", "c", "c11"),
    Compiler("g++", "c++", "c++17"),
    Compiler("clang", "c", "c11"),
    Compiler("clang++", "c++", "c++17"),
)


def need(program: str) -> str:
    """Where the program is, or Skip."""
    path = shutil.which(program)
    if path is None:
        raise Skip(f"{program} is not installed")
    return path


def run(command: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def compiles(root: Path, compiler: Compiler) -> Iterator[str]:
    """The header, and nothing else, is a clean translation unit."""
    program = need(compiler.program)
    command = [program, "-x", compiler.language, f"-std={compiler.standard}", *WARNINGS]
    command += ["-fsyntax-only", f"-I{root / 'core/include'}", "-"]
    # A declaration of our own, since an empty C file is an error of its own.
    done = run(command, "#include <slabby/slabby.h>\nextern slabby_status slabby_probe;\n")
    if done.returncode != 0:
        yield f"{HEADER_PATH}: {done.stderr.strip()}"


def cffi_parses(root: Path, header: Header) -> Iterator[str]:
    """cffi understands the stripped headers and finds every function."""
    try:
        cffi = importlib.import_module("cffi")
    except ImportError:
        raise Skip("cffi is not installed for this Python") from None
    builder = cffi.FFI()
    try:
        builder.cdef(cdef(root))
    except (cffi.CDefError, cffi.FFIError) as error:
        yield f"{HEADER_PATH}: cffi: {error}"
        return
    for prototype in header.prototypes:
        try:
            builder.typeof(prototype.returns)
            builder.typeof(f"{prototype.returns}(*)({prototype.parameters})")
        except (cffi.CDefError, cffi.FFIError) as error:
            yield f"{HEADER_PATH}:{prototype.line}: {prototype.name}: cffi: {error}"


def swig_parses(root: Path, header: Header) -> Iterator[str]:
    """SWIG reads the headers as they are, without a warning, and wraps every function."""
    swig = need("swig")
    interface = '%module slabby_probe\n%include <stdint.i>\n%{\n#include "slabby/slabby.h"\n%}\n'
    interface += '%include "slabby/codes.h"\n%include "slabby/slabby.h"\n'
    with tempfile.TemporaryDirectory() as scratch:
        source, output = Path(scratch, "probe.i"), Path(scratch, "probe_wrap.c")
        source.write_text(interface, encoding="utf-8")
        command = [swig, "-python", "-Wall", "-Werror", f"-I{root / 'core/include'}"]
        command += ["-outdir", scratch, "-o", str(output), str(source)]
        done = run(command)
        if done.returncode != 0:
            yield f"{HEADER_PATH}: {(done.stderr or done.stdout).strip()}"
            return
        wrapped = output.read_text(encoding="utf-8")
    for prototype in header.prototypes:
        if f"_wrap_{prototype.name}(" not in wrapped:
            yield f"{HEADER_PATH}:{prototype.line}: SWIG does not wrap {prototype.name}"


def _compare(entry: str, found: set[str], header: Header) -> Iterator[str]:
    declared = {prototype.name for prototype in header.prototypes}
    for name in sorted(declared - found):
        yield f"{entry}: {name} is declared in {HEADER_PATH} but missing here"
    for name in sorted(found - declared):
        yield f"{entry}: {name} stands here but is not declared in {HEADER_PATH}"


def symbol_map(root: Path, header: Header) -> Iterator[str]:
    """The version script exports the header's functions and nothing else."""
    path = root / MAP_PATH
    if not path.exists():
        yield f"{MAP_PATH}: missing; run ./dev gen"
        return
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    shape = re.fullmatch(r"\s*SLABBY_0 \{\s*global:([\s\w;]*)local:\s*\*;\s*\};\s*", text)
    if shape is None:
        yield f"{MAP_PATH}: is not one node SLABBY_0 with a list of names and `local: *;`"
        return
    yield from _compare(MAP_PATH, set(re.findall(r"\w+", shape[1])), header)


def library_symbols(library: Path, header: Header) -> Iterator[str]:
    """A built library exports the header's functions and nothing else."""
    done = run([need("nm"), "-D", "--defined-only", str(library)])
    if done.returncode != 0:
        yield f"{library}: {done.stderr.strip()}"
        return
    rows = [line.split()[-1] for line in done.stdout.splitlines()]
    found = {row.split("@")[0] for row in rows} - LINKER_SYMBOLS
    yield from _compare(str(library), found, header)
