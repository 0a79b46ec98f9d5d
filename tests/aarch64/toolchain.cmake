# SPDX-License-Identifier: GPL-3.0-or-later
# Debian's cross compiler for aarch64; programs run under QEMU's user emulation. SLABBY_AARCH64_ROOT is where the
# packages of that architecture (cmocka) were unpacked.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L /usr/aarch64-linux-gnu)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SLABBY_AARCH64_ROOT)

set(ENV{PKG_CONFIG_LIBDIR} ${SLABBY_AARCH64_ROOT}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${SLABBY_AARCH64_ROOT})
