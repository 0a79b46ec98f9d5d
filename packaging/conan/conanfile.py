# SPDX-License-Identifier: GPL-3.0-or-later
"""Conan 2: `conan create packaging/conan` in a checkout; a copy of this file elsewhere has nothing to build from."""

import re
from pathlib import Path

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy


class Slabby(ConanFile):
    name = "slabby"
    description = "A pool of equally sized memory blocks with checked references"
    license = "GPL-3.0-or-later"
    url = "https://github.com/slabby/slabby"
    homepage = "https://github.com/slabby/slabby"
    topics = ("allocator", "memory-pool", "slab")
    package_type = "library"
    settings = "os", "compiler", "build_type", "arch"
    options = {"shared": [True, False], "fPIC": [True]}
    default_options = {"shared": True, "fPIC": True}
    languages = "C"

    def set_version(self) -> None:
        contract = self.checkout() / "core/src/slabby_contract.h"
        found = re.search(r'#define SLB_VERSION_TEXT "(.*)"', contract.read_text(encoding="utf-8"))
        assert found is not None
        self.version = found[1]

    def checkout(self) -> Path:
        return Path(self.recipe_folder).parents[1]

    def export(self) -> None:
        # The recipe reads its version from here, also in Conan's own store.
        copy(
            self, "slabby_contract.h", str(self.checkout() / "core/src"), str(self.version_folder())
        )

    def version_folder(self) -> Path:
        return Path(self.export_folder) / "core/src"

    def export_sources(self) -> None:
        folders = ("core/*", "cmake/*", "tools/*", "packaging/debian/*", "go/slabby*.[ch]")
        for pattern in ("CMakeLists.txt", "LICENSE", *folders):
            copy(self, pattern, str(self.checkout()), self.export_sources_folder)

    def layout(self) -> None:
        cmake_layout(self)

    def generate(self) -> None:
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["SLABBY_VALGRIND"] = "OFF"
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self) -> None:
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self) -> None:
        CMake(self).install()

    def package_info(self) -> None:
        self.cpp_info.set_property("cmake_file_name", "slabby")
        self.cpp_info.set_property("cmake_target_name", "slabby::slabby")
        self.cpp_info.set_property("pkg_config_name", "slabby")
        self.cpp_info.libs = ["slabby"]
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread", "dl"]
