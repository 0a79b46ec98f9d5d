# SPDX-License-Identifier: GPL-3.0-or-later
# Debian packages: cmake -B build/deb -DCMAKE_INSTALL_PREFIX=/usr && cmake --build build/deb && (cd build/deb && cpack)
# libslabby0 is the shared library alone; libslabby-dev is the rest and needs it in the same version.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR Slabby)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The Slabby authors <slabby@users.noreply.github.com>")
set(CPACK_PACKAGE_HOMEPAGE_URL https://github.com/slabby/slabby)
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)

string(CONCAT SLABBY_DEBIAN_TEXT "Slabby hands out memory blocks of one size from a fixed amount of memory,\n"
    "and refuses every stale, duplicate, forged or foreign reference with an\nerror that names the cause.")

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libslabby0)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/debian/triggers)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "memory pool with checked references (library)\n${SLABBY_DEBIAN_TEXT}")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libslabby-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libslabby0 (= ${PROJECT_VERSION}-1), python3:any (>= 3.11)")
string(CONCAT CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "memory pool with checked references (development)\n"
    "${SLABBY_DEBIAN_TEXT}\n.\nThis package has the headers, the static library, what CMake and pkg-config\n"
    "read, and slabby-audit-check, which verifies audit files.")

# What Debian expects of every package, beside what the system itself wants of a library.
find_program(SLABBY_GZIP gzip)
string(TIMESTAMP SLABBY_DEBIAN_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(packaging/debian/changelog.in ${PROJECT_BINARY_DIR}/changelog.Debian @ONLY)
if(SLABBY_GZIP)
    configure_file(tools/slabby-audit-check.1 ${PROJECT_BINARY_DIR}/slabby-audit-check.1 COPYONLY)
    execute_process(COMMAND ${SLABBY_GZIP} -9nkf changelog.Debian slabby-audit-check.1
        WORKING_DIRECTORY ${PROJECT_BINARY_DIR} COMMAND_ERROR_IS_FATAL ANY)
    install(FILES ${PROJECT_BINARY_DIR}/slabby-audit-check.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
        COMPONENT development EXCLUDE_FROM_ALL)
    foreach(pair IN ITEMS runtime:libslabby0 development:libslabby-dev)
        string(REPLACE ":" ";" pair ${pair})
        list(GET pair 0 component)
        list(GET pair 1 package)
        install(FILES packaging/debian/copyright ${PROJECT_BINARY_DIR}/changelog.Debian.gz
            DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${package} COMPONENT ${component} EXCLUDE_FROM_ALL)
    endforeach()
endif()

include(CPack)
