# SPDX-License-Identifier: GPL-3.0-or-later
# What only the tests link, and nothing installs: slabby_test is the core with assertions and race windows,
# slabby_narrow the same with generations so short that their end is reached.

find_package(PkgConfig)
if(PKG_CONFIG_FOUND)
    pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
endif()
if(NOT CMOCKA_FOUND)
    message(FATAL_ERROR "The tests need pkg-config and cmocka (Debian: pkg-config libcmocka-dev). "
        "To build without tests, set SLABBY_BUILD_TESTS=OFF.")
endif()

foreach(library IN ITEMS slabby_test slabby_narrow)
    add_library(${library} STATIC EXCLUDE_FROM_ALL)
    slabby_core_sources(${library})
    target_compile_definitions(${library} PUBLIC SLABBY_TEST_HOOKS=1)
endforeach()
target_compile_definitions(slabby_narrow PUBLIC SLABBY_GENERATION_BITS=${SLABBY_GENERATION_BITS}
    SLABBY_TICKET_BITS=26)
