# SPDX-License-Identifier: GPL-3.0-or-later
# What an installation holds: the library twice, its headers, what find_package and pkg-config read, the single file,
# and a tool that verifies audit files (it needs Python 3.11). The component "runtime" is what programs need to run,
# "development" the rest; without --component all is installed.

include(CMakePackageConfigHelpers)
set(SLABBY_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/slabby)

install(TARGETS slabby slabby_static EXPORT slabbyTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME development)
install(DIRECTORY core/include/slabby DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT licence)
# The core as a single file, for programs that carry it: the text is what the Go module compiles.
set(SLABBY_SINGLE_DIR ${CMAKE_INSTALL_DATADIR}/slabby)
file(WRITE ${PROJECT_BINARY_DIR}/forward/slabby.h
    "/* SPDX-License-Identifier: GPL-3.0-or-later */\n#include \"../slabby.h\"\n")
install(FILES go/slabby_core.c DESTINATION ${SLABBY_SINGLE_DIR} RENAME slabby.c)
install(FILES go/slabby.h DESTINATION ${SLABBY_SINGLE_DIR})
install(FILES ${PROJECT_BINARY_DIR}/forward/slabby.h DESTINATION ${SLABBY_SINGLE_DIR}/slabby)
install(PROGRAMS tools/slabby-audit-check DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES tools/slabby-audit-check.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT manual)
install(EXPORT slabbyTargets NAMESPACE slabby:: DESTINATION ${SLABBY_CMAKE_DIR})

configure_package_config_file(cmake/slabbyConfig.cmake.in ${PROJECT_BINARY_DIR}/slabbyConfig.cmake
    INSTALL_DESTINATION ${SLABBY_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/slabbyConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/slabbyConfig.cmake ${PROJECT_BINARY_DIR}/slabbyConfigVersion.cmake
    DESTINATION ${SLABBY_CMAKE_DIR})

# The prefix is found from the file's own place, so that an installation can be moved. A directory that was
# given as absolute is taken as it is.
foreach(kind IN ITEMS LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${kind}}")
        set(SLABBY_PC_${kind} "${CMAKE_INSTALL_${kind}}")
    else()
        set(SLABBY_PC_${kind} "\${prefix}/${CMAKE_INSTALL_${kind}}")
    endif()
endforeach()
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(SLABBY_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
    file(RELATIVE_PATH SLABBY_PC_UP
        "${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
    string(REGEX REPLACE "/$" "" SLABBY_PC_UP "${SLABBY_PC_UP}")
    set(SLABBY_PC_PREFIX "\${pcfiledir}/${SLABBY_PC_UP}")
endif()
if(NOT SLABBY_IS_SHARED)
    set(SLABBY_PC_LIBS "-pthread")
endif()
configure_file(cmake/slabby.pc.in ${PROJECT_BINARY_DIR}/slabby.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/slabby.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# What the last installation of this build tree wrote goes again.
if(PROJECT_IS_TOP_LEVEL)
    add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -D MANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt
        -P ${PROJECT_SOURCE_DIR}/cmake/SlabbyUninstall.cmake VERBATIM)
endif()
