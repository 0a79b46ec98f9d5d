# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds four shared objects into the package.

    libslabby.so.0          the core, once; libslabby.0.dylib on macOS, libslabby.dll on Windows
      ^        ^
    _cffi    _swig          the two backends; they find the core beside them ($ORIGIN, @loader_path)
    _types                  the objects both share; links no core

The extension modules keep to the limited API of Python 3.11, so one wheel serves every later version.

packaging/wheels/build.py compiles for other systems: CC and LDSHARED name its compiler, and SLABBY_BUILD_FOR says for
which system (linux, macos, windows).
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, LinkError, PlatformError

WORKPLACE = tempfile.TemporaryDirectory(prefix="slabby-build-")
CORE = "slabby.libslabby"
CORE_SOURCES = "core/src"
INCLUDES = ["core/include", "python/src", "python/cffi_backend"]
# Without debug information, which would name the directories of the build.
COMMON_FLAGS = ["-O2", "-g0", "-fvisibility=hidden"]
LIMITED_API = [("Py_LIMITED_API", "0x030B0000")]
NO_COMPILER = (
    "slabby is partly written in C and no working C compiler was found ({found}). Install one, on Debian "
    "or Ubuntu: apt-get install gcc libc6-dev; on Fedora: dnf install gcc; on Alpine: apk add gcc "
    "musl-dev. Then try again. CC names a compiler that is not on PATH."
)
FREE_THREADED = (
    "slabby does not support free-threaded builds of CPython: its objects rely on their interpreter's lock. Install it "
    "for a build with the lock, such as python3.13 instead of python3.13t."
)
NO_WINDOWS_BUILD = (
    "slabby is not compiled on Windows: install its wheel by `pip install --only-binary slabby slabby`, or build one "
    "on Linux by ./dev wheels windows-x86_64"
)


@dataclass(frozen=True)
class System:
    """What differs between the systems that the package is compiled for."""

    library: str
    suffix: str = ".abi3.so"
    core_links: list = field(default_factory=list)
    backend_links: list = field(default_factory=list)


SYSTEMS = {
    "linux": System(
        "libslabby.so.0",
        core_links=[
            "-Wl,-soname,libslabby.so.0",
            "-Wl,--version-script=core/slabby.map",
            "-pthread",
            "-ldl",
        ],
        backend_links=["-Wl,-rpath,$ORIGIN"],
    ),
    "macos": System(
        "libslabby.0.dylib",
        core_links=["-Wl,-install_name,@rpath/libslabby.0.dylib"],
        backend_links=["-Wl,-rpath,@loader_path"],
    ),
    "windows": System("libslabby.dll", suffix=".pyd"),
}


def chosen_system():
    name = os.environ.get("SLABBY_BUILD_FOR")
    if name is None:
        if sys.platform == "win32":
            raise PlatformError(NO_WINDOWS_BUILD)
        name = "macos" if sys.platform == "darwin" else "linux"
    if name not in SYSTEMS:
        raise PlatformError(f"SLABBY_BUILD_FOR is {name!r}: choose one of {', '.join(SYSTEMS)}")
    return name


def sources(*patterns):
    found = sorted(str(path) for pattern in patterns for path in Path().glob(pattern))
    if not found:
        raise PlatformError(f"no sources match {patterns}: this source tree is incomplete")
    return found


def extension(name, files, **extra):
    return Extension(
        f"slabby.{name}",
        files,
        include_dirs=INCLUDES,
        define_macros=LIMITED_API,
        py_limited_api=True,
        depends=sources("core/include/slabby/*.h", "python/src/*.h", "python/cffi_backend/*.h"),
        **extra,
    )


def swig_command():
    """The swig of the build requirements, else the one on PATH."""
    module = importlib.util.find_spec("swig")
    if module is not None and module.origin is not None:
        return [sys.executable, "-c", "import swig; raise SystemExit(swig.swig())"]
    program = shutil.which("swig")
    if program is None:
        raise PlatformError("swig was not found; install it with: pip install 'swig>=4.4'")
    return [program]


class Build(build_ext):
    """Compiles the core before the modules that link it, and writes the backends' C sources first."""

    def finalize_options(self):
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            raise PlatformError(FREE_THREADED)
        self.system_name = chosen_system()
        self.system = SYSTEMS[self.system_name]
        super().finalize_options()
        # Always from scratch: an object of an older source never finds its way in.
        self.force = True

    def get_ext_filename(self, fullname):
        *package, name = fullname.split(".")
        if name == CORE.rpartition(".")[2]:
            return os.path.join(*package, self.system.library)
        return os.path.join(*package, name + self.system.suffix)

    def build_extensions(self):
        # The search paths of the machine that built this Python do not belong in a package.
        self.compiler.linker_so = [
            word for word in self.compiler.linker_so if not word.startswith("-Wl,-rpath")
        ]
        if self.system_name == "windows":
            self.compiler.compiler_so = [w for w in self.compiler.compiler_so if w != "-fPIC"]
        self.check_compiler()
        super().build_extensions()

    def check_compiler(self):
        program = self.compiler.compiler[0]
        if shutil.which(program) is None:
            raise PlatformError(NO_COMPILER.format(found=f"looked for {program}"))
        trial = Path(self.build_temp) / "trial.c"
        trial.parent.mkdir(parents=True, exist_ok=True)
        trial.write_text("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")
        try:
            objects = self.compiler.compile([str(trial)], output_dir=self.build_temp)
            # For a program of another system zig would first compile all of that system's libc.
            if "SLABBY_BUILD_FOR" not in os.environ:
                self.compiler.link_executable(objects, str(trial.with_suffix("")))
        except (CompileError, LinkError, ExecError) as error:
            raise PlatformError(NO_COMPILER.format(found=f"{program}: {error}")) from error

    def build_extension(self, ext):
        if ext.name == CORE:
            self.build_core(ext)
            return
        generated = {"slabby._cffi": self.write_cffi, "slabby._swig": self.write_swig}
        write = generated.get(ext.name)
        if write is not None:
            ext.sources = [write()]
            ext.extra_objects = [self.core_to_link()]
            ext.extra_link_args = [*self.system.backend_links]
        if self.system_name == "windows":
            # Nothing stays undefined there: the builder names the import library of the interpreter.
            ext.extra_link_args = [*ext.extra_link_args, os.environ["SLABBY_PYTHON_LIBRARY"]]
        ext.extra_compile_args = [*COMMON_FLAGS]
        super().build_extension(ext)

    def build_core(self, ext):
        # The name and the exported symbols are part of the interface.
        objects = self.compiler.compile(
            [self.write_core(ext.sources)],
            output_dir=self.build_temp,
            include_dirs=["core/include", CORE_SOURCES],
            extra_postargs=["-std=c11", "-pthread", *COMMON_FLAGS],
        )
        flags = list(self.system.core_links)
        linker = self.compiler.linker_so
        if self.system_name == "macos":
            # A bundle, as modules are, could not be linked by others.
            self.compiler.linker_so = ["-dynamiclib" if w == "-bundle" else w for w in linker]
        if self.system_name == "windows":
            flags.append(self.write_exports())
        self.compiler.link_shared_object(
            objects,
            self.get_ext_fullpath(ext.name),
            extra_postargs=flags,
            build_temp=self.build_temp,
        )
        self.compiler.linker_so = linker

    def write_core(self, files):
        """One file that includes all of them, so that the compiler starts once and reads each header once."""
        output = os.path.join(self.build_temp, "core.c")
        includes = [
            f'#include "{Path(name).relative_to(CORE_SOURCES).as_posix()}"' for name in files
        ]
        Path(output).write_text("\n".join(["#define SLB_AMALGAMATION 1", *includes, ""]))
        return output

    def core_to_link(self):
        """What the backends link: the core itself, or on Windows its import library."""
        if self.system_name == "windows":
            return os.path.join(self.build_temp, "libslabby.dll.a")
        return self.get_ext_fullpath(CORE)

    def write_exports(self):
        """The exports of core/slabby.map as linkers for Windows read them, and the import library of the same."""
        names = [
            line.strip(" ;\n") for line in open("core/slabby.map") if line.startswith("    slabby_")
        ]
        exports = os.path.join(self.build_temp, "slabby.def")
        Path(exports).write_text(
            "\n".join([f"LIBRARY {self.system.library}", "EXPORTS", *names, ""])
        )
        dlltool = os.environ.get("SLABBY_DLLTOOL", "dlltool").split()
        subprocess.run(
            [*dlltool, "-m", "i386:x86-64", "-d", exports, "-l", self.core_to_link()], check=True
        )
        return exports

    def write_cffi(self):
        output = os.path.join(self.build_temp, "_cffi.c")
        command = [sys.executable, "python/cffi_backend/build.py", output]
        subprocess.run(command, check=True)
        return output

    def write_swig(self):
        output = os.path.join(self.build_temp, "_swig.c")
        os.makedirs(self.build_temp, exist_ok=True)
        # The module is used flat; the Python file that SWIG writes beside it stays in the build folder.
        includes = ["-Icore/include", "-Iswig"]
        command = [*swig_command(), "-python", "-interface", "_swig", *includes]
        # Where int64_t is long.
        command += ["-DSWIGWORDSIZE64"] if self.system_name == "linux" else []
        command += ["-outdir", self.build_temp, "-o", output, "swig/slabby.i"]
        subprocess.run(command, check=True)
        return output


setup(
    cmdclass={"build_ext": Build},
    ext_modules=[
        Extension(CORE, sources(f"{CORE_SOURCES}/**/*.c")),
        extension("_types", sources("python/src/*.c")),
        extension("_cffi", ["python/cffi_backend/build.py"]),
        extension("_swig", ["swig/slabby.i"]),
    ],
    options={
        "bdist_wheel": {"py_limited_api": "cp311"},
        # Gone when this process ends: a module that was renamed must not live on in build/lib.
        "build": {"build_base": WORKPLACE.name},
    },
)
