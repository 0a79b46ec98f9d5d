# SPDX-License-Identifier: GPL-3.0-or-later
# What only the tests link, and nothing installs: slabby_test is the core with assertions and race windows,
# slabby_narrow the same with generations so short that their end is reached. Tests of the library as users have it link
# SLABBY_SHIPPED. Under a sanitizer that is slabby_test too: it shows no less there, and the core is compiled once.

option(SLABBY_OWN_CMOCKA "Test with the checkout's stand-in for cmocka (musl, Windows)" OFF)
if(SLABBY_OWN_CMOCKA)
    add_library(slabby_cmocka STATIC EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/support/own_cmocka/cmocka.c)
    slabby_compile(slabby_cmocka)
    target_include_directories(slabby_cmocka PUBLIC ${PROJECT_SOURCE_DIR}/tests/support/own_cmocka)
else()
    find_package(PkgConfig)
    if(PKG_CONFIG_FOUND)
        pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
    endif()
    if(NOT CMOCKA_FOUND)
        message(FATAL_ERROR "The tests need pkg-config and cmocka (Debian: pkg-config libcmocka-dev). "
            "To build without tests, set SLABBY_BUILD_TESTS=OFF.")
    endif()
    add_library(slabby_cmocka INTERFACE)
    target_link_libraries(slabby_cmocka INTERFACE PkgConfig::CMOCKA)
endif()

foreach(library IN ITEMS slabby_test slabby_narrow)
    add_library(${library} STATIC EXCLUDE_FROM_ALL)
    slabby_core_sources(${library})
    target_compile_definitions(${library} PUBLIC SLABBY_TEST_HOOKS=1)
endforeach()
target_compile_definitions(slabby_narrow PUBLIC SLABBY_GENERATION_BITS=${SLABBY_GENERATION_BITS}
    SLABBY_TICKET_BITS=26)

# Several files at once compile in half the time. Where all of the core is compiled for one program, without the
# optimiser in a sixth. Calls of the system stay calls between objects, which the linker can lead to a test (--wrap).
file(GLOB SLABBY_SYSTEM_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/core/src/os/*.c)
set_source_files_properties(${SLABBY_SYSTEM_SOURCES} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
set_target_properties(slabby_narrow PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
target_compile_options(slabby_narrow PRIVATE -O0)
if(SLABBY_SANITIZE)
    set_target_properties(slabby_test PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 16)
endif()

set(SLABBY_SHIPPED slabby)
if(SLABBY_SANITIZE)
    set(SLABBY_SHIPPED slabby_test)
    if(NOT SLABBY_INSTALL)
        set_target_properties(slabby_objects slabby slabby_static PROPERTIES EXCLUDE_FROM_ALL ON)
    endif()
endif()
