# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds four shared objects into the package.

    libslabby.so.0          the core, once
      ^        ^
    _cffi    _swig          the two backends; they find the core beside them ($ORIGIN)
    _types                  the objects both share; links no core

The extension modules keep to the limited API of Python 3.11, so one wheel serves every later version.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, LinkError, PlatformError

WORKPLACE = tempfile.TemporaryDirectory(prefix="slabby-build-")
LIBRARY = "libslabby.so.0"
CORE = "slabby.libslabby"
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
        super().finalize_options()
        # Always from scratch: an object of an older source never finds its way in.
        self.force = True

    def get_ext_filename(self, fullname):
        if fullname.rpartition(".")[2] == CORE.rpartition(".")[2]:
            return os.path.join("slabby", LIBRARY) if "." in fullname else LIBRARY
        return super().get_ext_filename(fullname)

    def build_extensions(self):
        # The search paths of the machine that built this Python do not belong in a package.
        self.compiler.linker_so = [
            word for word in self.compiler.linker_so if not word.startswith("-Wl,-rpath")
        ]
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
            folder = os.path.dirname(self.get_ext_fullpath(CORE))
            ext.extra_objects = [os.path.join(folder, LIBRARY)]
            ext.extra_link_args = ["-Wl,-rpath,$ORIGIN"]
        ext.extra_compile_args = [*COMMON_FLAGS]
        super().build_extension(ext)

    def build_core(self, ext):
        # The name and the exported symbols are part of the interface.
        objects = self.compiler.compile(
            ext.sources,
            output_dir=self.build_temp,
            include_dirs=["core/include", "core/src"],
            extra_postargs=["-std=c11", "-pthread", *COMMON_FLAGS],
        )
        flags = [f"-Wl,-soname,{LIBRARY}", "-Wl,--version-script=core/slabby.map"]
        flags += ["-pthread", "-ldl"]
        self.compiler.link_shared_object(
            objects,
            self.get_ext_fullpath(ext.name),
            extra_postargs=flags,
            build_temp=self.build_temp,
        )

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
        command = [*swig_command(), "-python", "-interface", "_swig", "-DSWIGWORDSIZE64", *includes]
        command += ["-outdir", self.build_temp, "-o", output, "swig/slabby.i"]
        subprocess.run(command, check=True)
        return output


setup(
    cmdclass={"build_ext": Build},
    ext_modules=[
        Extension(CORE, sources("core/src/**/*.c")),
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
