# SPDX-License-Identifier: GPL-3.0-or-later
# The library: slabby::slabby (shared, soname 0) and slabby::static, compiled once for both.

find_package(Threads REQUIRED)
file(GLOB_RECURSE SLABBY_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/core/src/*.c)
set(SLABBY_MAP ${PROJECT_SOURCE_DIR}/core/slabby.map)

# Requests to valgrind are a few instructions that do nothing elsewhere, and stand in no path of a pool made elsewhere.
set(SLABBY_TELLS_VALGRIND OFF)
if(NOT SLABBY_VALGRIND STREQUAL "OFF")
    include(CheckIncludeFile)
    check_include_file(valgrind/memcheck.h SLABBY_HAS_MEMCHECK_H)
    if(SLABBY_HAS_MEMCHECK_H)
        set(SLABBY_TELLS_VALGRIND ON)
    elseif(NOT SLABBY_VALGRIND STREQUAL "AUTO")
        message(FATAL_ERROR "SLABBY_VALGRIND: valgrind/memcheck.h is missing; install valgrind, or give OFF")
    endif()
endif()

# slabby_core_sources(TARGET): makes a library target one of the core.
function(slabby_core_sources target)
    target_sources(${target} PRIVATE ${SLABBY_SOURCES})
    target_include_directories(${target}
        PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/core/include>
               $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
        PRIVATE ${PROJECT_SOURCE_DIR}/core/src)
    target_link_libraries(${target} PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
    if(SLABBY_TELLS_VALGRIND)
        target_compile_definitions(${target} PRIVATE SLABBY_VALGRIND=1)
    endif()
    slabby_compile(${target})
endfunction()

add_library(slabby_objects OBJECT)
slabby_core_sources(slabby_objects)

# BUILD_SHARED_LIBS=OFF: slabby::slabby is the static library, and there is no other.
if(DEFINED BUILD_SHARED_LIBS AND NOT BUILD_SHARED_LIBS)
    set(SLABBY_IS_SHARED OFF)
    add_library(slabby INTERFACE)
    target_link_libraries(slabby INTERFACE slabby_static)
    set(SLABBY_BUILT_LIBRARIES slabby_static)
else()
    set(SLABBY_IS_SHARED ON)
    add_library(slabby SHARED $<TARGET_OBJECTS:slabby_objects>)
    target_link_libraries(slabby PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
    set_target_properties(slabby PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
    set(SLABBY_BUILT_LIBRARIES slabby slabby_static)
endif()
add_library(slabby_static STATIC $<TARGET_OBJECTS:slabby_objects>)
add_library(slabby::slabby ALIAS slabby)
add_library(slabby::static ALIAS slabby_static)
foreach(library IN LISTS SLABBY_BUILT_LIBRARIES)
    target_include_directories(${library} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/core/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_options(${library} PUBLIC ${SLABBY_SANITIZE_FLAGS})
    set_target_properties(${library} PROPERTIES OUTPUT_NAME slabby LINKER_LANGUAGE C)
endforeach()
target_link_libraries(slabby_static PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
set_target_properties(slabby_static PROPERTIES EXPORT_NAME static)

if(SLABBY_IS_SHARED AND NOT APPLE AND NOT WIN32)
    target_link_options(slabby PRIVATE LINKER:--version-script=${SLABBY_MAP})
    set_target_properties(slabby PROPERTIES LINK_DEPENDS ${SLABBY_MAP})
    if(NOT SLABBY_SANITIZE)
        target_link_options(slabby PRIVATE LINKER:--no-undefined)
    endif()
endif()

# The same list of exports, as the linkers of Windows read it.
if(WIN32)
    file(STRINGS ${SLABBY_MAP} SLABBY_EXPORTS REGEX "^    slabby_")
    list(TRANSFORM SLABBY_EXPORTS REPLACE ";" "")
    string(REPLACE ";" "\n" SLABBY_EXPORTS "${SLABBY_EXPORTS}")
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/slabby.def CONTENT "EXPORTS\n${SLABBY_EXPORTS}\n" @ONLY)
    target_sources(slabby PRIVATE ${PROJECT_BINARY_DIR}/slabby.def)
    target_link_options(slabby PRIVATE -static-libgcc) # no DLL but of the system
endif()
