# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks wheels that build.py wrote: check.py WHEEL... Each finding is a line; the status says whether there was one.

The tools of the platforms judge what a wheel asks of a system: auditwheel and abi3audit; for macOS and Windows the
lists of linked libraries, which delocate and delvewheel read on these systems alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pefile  # type: ignore[import-not-found, import-untyped, unused-ignore]
from macholib.MachO import MachO  # type: ignore[import-not-found, import-untyped, unused-ignore]
from targets import OLDEST_PYTHON, TARGETS

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ("_cffi", "_swig", "_types")
# Of Windows itself since version 10, and of CPython.
WINDOWS_LIBRARIES = re.compile(
    r"(?i)(api-ms-win-crt-[\w-]+|kernel32|advapi32|ntdll|python3|libslabby)\.dll"
)


def main() -> int:
    findings = 0
    for name in sys.argv[1:]:
        wheel = Path(name)
        problems = list(check(wheel))
        findings += len(problems)
        print(
            f"{'FAILED' if problems else 'ok'}: {wheel.name}", *problems, sep="\n    ", flush=True
        )
    return 1 if findings or len(sys.argv) < 2 else 0


def check(wheel: Path) -> Iterator[str]:
    systems = [
        target.system for target in TARGETS.values() if wheel.name.endswith(f"-{target.tag}.whl")
    ]
    if len(systems) != 1:
        yield "no target has this platform tag"
        return
    system = systems[0]
    yield from tool_says(
        "abi3audit", "--strict", "--assume-minimum-abi3", OLDEST_PYTHON, str(wheel)
    )
    if system == "linux":
        yield from auditwheel(wheel)
    with tempfile.TemporaryDirectory(prefix="slabby-wheel-") as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        package = Path(folder) / "slabby"
        yield from contents(package, system)
        if system == "macos":
            yield from links(package)
        if system == "windows":
            yield from imports(package)


def contents(package: Path, system: str) -> Iterator[str]:
    core = {"linux": "libslabby.so.0", "macos": "libslabby.0.dylib", "windows": "libslabby.dll"}[
        system
    ]
    suffix = ".pyd" if system == "windows" else ".abi3.so"
    expected = {core, *(name + suffix for name in EXTENSIONS)}
    found = {
        path.name for path in package.rglob("*") if re.search(r"\.(so|pyd|dylib|dll)\b", path.name)
    }
    if found != expected:
        yield f"holds {sorted(found)}, not {sorted(expected)}"
        return
    for name in expected:
        binary = (package / name).read_bytes()
        for entry in (ROOT, Path(sys.base_prefix), Path.home(), Path(tempfile.gettempdir())):
            if len(entry.parts) > 2 and str(entry).encode() in binary:
                yield f"{name} names the directory {entry} of the build"
    exported = re.findall(
        r"^    (slabby_\w+);", (ROOT / "core/slabby.map").read_text(), re.MULTILINE
    )
    binary = (package / core).read_bytes()
    missing = [name for name in exported if name.encode() not in binary]
    if missing or not exported:
        yield f"{core} lacks {missing or 'every export'}"


def tool_says(module: str, *arguments: str) -> Iterator[str]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True
    )
    if done.returncode != 0:
        yield f"{module}: {(done.stdout + done.stderr).strip()}"


def auditwheel(wheel: Path) -> Iterator[str]:
    # Without the libraries of this machine, which are of another libc or processor than the wheel's.
    with tempfile.TemporaryDirectory(prefix="slabby-nothing-") as nothing:
        command = [sys.executable, "-m", "auditwheel", "show", "--ldpaths", nothing, str(wheel)]
        done = subprocess.run(command, capture_output=True, text=True)
    said = " ".join(done.stdout.split())
    consistent = re.search(r'is consistent with the following platform tag: "(\w+)"', said)
    if consistent is None or consistent[1] not in wheel.name:
        yield f"auditwheel: {said} {done.stderr}"
    libraries = set(re.findall(r"([\w.+-]+\.so[\d.]*) with versions", said))
    libraries -= {
        "libslabby.so.0",
        "libc.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "ld-linux-aarch64.so.1",
    }
    if libraries:
        yield f"auditwheel: needs {sorted(libraries)}"


def links(package: Path) -> Iterator[str]:
    """What the modules for macOS link: the system's library and the core beside them."""
    for path in sorted([*package.glob("*.so"), *package.glob("*.dylib")]):
        libraries = {
            name.removeprefix("@rpath/")
            for header in MachO(str(path)).headers
            for _, _, name in header.walkRelocatables()
        }
        foreign = libraries - {"/usr/lib/libSystem.B.dylib", "libslabby.0.dylib", path.name}
        if foreign or not libraries:
            yield f"{path.name} links {sorted(libraries)}"


def imports(package: Path) -> Iterator[str]:
    for path in sorted([*package.glob("*.pyd"), *package.glob("*.dll")]):
        image = pefile.PE(str(path), fast_load=True)
        image.parse_data_directories()
        libraries = {entry.dll.decode() for entry in getattr(image, "DIRECTORY_ENTRY_IMPORT", [])}
        foreign = {name for name in libraries if not WINDOWS_LIBRARIES.fullmatch(name)}
        if foreign:
            yield f"{path.name} needs {sorted(foreign)}"
        if path.suffix == ".pyd" and "python3.dll" not in {name.lower() for name in libraries}:
            yield f"{path.name} does not use the stable ABI of python3.dll: {sorted(libraries)}"
        image.close()


if __name__ == "__main__":
    sys.exit(main())
