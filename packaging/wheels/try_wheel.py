# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs a wheel into an empty environment without a compiler, and runs tests with it:

    try_wheel.py WHEEL FOLDER
    try_wheel.py --elsewhere WHEEL FOLDER PLATFORM PYTHON...    by a Python of another system, as pip names it

FOLDER is for the environment and for what comes from PyPI. The tests run over both backends; they are those of the
package's own behaviour on any machine. The time that pip takes is printed, in seconds of the processor.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from essential import ESSENTIAL, SMALL, expression
from targets import OLDEST_PYTHON

ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip")
PYTEST = ("-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--tb=short")
USE = """
import slabby
with slabby.Allocator(4096, 100) as pool:
    with pool.allocate() as ref:
        memoryview(ref)[:2] = b"ok"
print(slabby.__file__)
"""


def main() -> int:
    if len(sys.argv) > 4 and sys.argv[1] == "--elsewhere":
        return elsewhere(
            Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve(), sys.argv[4], sys.argv[5:]
        )
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    wheel, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    environment = folder / "environment"
    needs = folder / "needs"
    run(*PIP, "download", "--quiet", "--only-binary", ":all:", "--dest", needs, "cffi>=1.17")
    run(sys.executable, "-m", "venv", "--clear", environment)
    python = environment / "bin/python"
    # No compiler is on PATH, and pip has nothing else to take the package from.
    bare = {"PATH": str(environment / "bin"), "HOME": str(folder), "CC": "there-is-no-compiler"}
    before = processor_seconds()
    install = (python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", needs)
    run(*install, wheel, env=bare)
    print(f"installed in {processor_seconds() - before:.1f} s of the processor", flush=True)
    run(python, "-c", USE, env=bare, cwd=folder)
    run(python, "-m", "pip", "install", "--quiet", "pytest", "hypothesis", "numpy")
    for backend in ("cffi", "swig"):
        command = (python, *PYTEST, *tests(ESSENTIAL))
        run(*command, env=os.environ | {"SLABBY_BACKEND": backend}, cwd=folder)
    return 0


def elsewhere(wheel: Path, folder: Path, platform: str, python: list[str]) -> int:
    """The wheel and what the tests need, unpacked by this machine's pip and run by the other machine's Python."""
    site = folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    target = (
        "--target",
        site,
        "--platform",
        platform,
        "--python-version",
        OLDEST_PYTHON,
        "--only-binary",
        ":all:",
    )
    run(*PIP, "install", "--quiet", *target, "pytest", "hypothesis", "cffi>=1.17", "colorama")
    run(*PIP, "install", "--quiet", "--no-deps", "--upgrade", *target, wheel)
    drive = "Z:" if platform.startswith("win") else ""
    command = [
        *python,
        *PYTEST,
        "-k",
        expression(),
        *(drive + name for name in tests(SMALL)),
    ]
    for backend in ("cffi", "swig"):
        settings = {
            "SLABBY_BACKEND": backend,
            "PYTHONPATH": f"{drive}{site}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        # Wine's Python takes pipes alone as standard streams.
        done = subprocess.Popen(
            command,
            env=os.environ | settings,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said = done.communicate(b"")[0].decode("utf-8", "replace")
        print(said[-4000:], flush=True)
        if done.returncode != 0 or " passed" not in said:
            raise SystemExit(f"FAILED over {backend}: {' '.join(command)}")
    return 0


def tests(names: tuple[str, ...]) -> list[str]:
    return [str(ROOT / f"tests/python/test_{name}.py") for name in names]


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(*command: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
    done = subprocess.run([str(word) for word in command], env=env, cwd=cwd)
    if done.returncode != 0:
        raise SystemExit(f"FAILED: {' '.join(str(word) for word in command)}")


if __name__ == "__main__":
    sys.exit(main())
