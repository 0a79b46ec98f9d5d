# SPDX-License-Identifier: GPL-3.0-or-later
# One program in many surroundings: tunables, preloaded libraries, filters, valgrind, a debugger.

set(NO_RSEQ GLIBC_TUNABLES=glibc.pthread.rseq=0)
foreach(name IN ITEMS one_cpu owner)
    add_library(preload_${name} MODULE preload_${name}.c)
    slabby_compile(preload_${name})
    target_link_libraries(preload_${name} PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
endforeach()
slabby_add_trap(trap_surroundings slabby)
set(SURROUNDINGS $<TARGET_FILE:trap_surroundings>)

slabby_run_trap(trap_none ${SURROUNDINGS})
slabby_run_trap(trap_tunable env ${NO_RSEQ} ${SURROUNDINGS} --backend portable)
slabby_run_trap(trap_owner env ${NO_RSEQ} LD_PRELOAD=./$<TARGET_FILE_NAME:preload_owner>
    ${SURROUNDINGS} --backend portable --owner)
slabby_run_trap(trap_one_cpu env LD_PRELOAD=./$<TARGET_FILE_NAME:preload_one_cpu>
    ${SURROUNDINGS} --one-cpu)

find_library(TCMALLOC NAMES tcmalloc_minimal.so.4 libtcmalloc_minimal.so.4 tcmalloc_minimal)
if(TCMALLOC)
    slabby_run_trap(trap_tcmalloc env LD_PRELOAD=${TCMALLOC} ${SURROUNDINGS})
else()
    message(STATUS "libtcmalloc_minimal.so.4 is missing: not tested under tcmalloc")
endif()

find_program(VALGRIND valgrind)
if(VALGRIND)
    slabby_run_trap(trap_valgrind env SLABBY_TEST_SCALE=2 ${VALGRIND} --quiet --error-exitcode=99
        --leak-check=full ${SURROUNDINGS} --backend portable)
else()
    message(STATUS "valgrind is missing: not tested under it")
endif()

# Refused before the library is loaded, with either errno that filters use; and afterwards.
add_executable(run_refused run_refused.c)
slabby_compile(run_refused)
target_link_libraries(run_refused PRIVATE slabby_traps slabby)
slabby_run_trap(trap_refused_eperm $<TARGET_FILE:run_refused> EPERM
    ${SURROUNDINGS} --backend portable)
slabby_run_trap(trap_refused_enosys $<TARGET_FILE:run_refused> ENOSYS
    ${SURROUNDINGS} --backend portable)

# As on Linux 4.4, the oldest kernel that is supported; ./dev test --full oldkernel runs every test so.
add_executable(run_linux_4_4 run_linux_4_4.c)
slabby_compile(run_linux_4_4)
target_link_libraries(run_linux_4_4 PRIVATE slabby_traps slabby)
slabby_run_trap(trap_linux_4_4 $<TARGET_FILE:run_linux_4_4> ${SURROUNDINGS} --backend portable)
slabby_run_trap(trap_linux_4_4_guards $<TARGET_FILE:run_linux_4_4> $<TARGET_FILE:test_guards>)
slabby_run_trap(trap_linux_4_4_presets $<TARGET_FILE:run_linux_4_4> $<TARGET_FILE:test_presets>)

# Where advice about memory is accepted and not followed, as in QEMU's emulation of a process: guards are real all the
# same.
add_executable(run_obliging run_obliging.c)
slabby_compile(run_obliging)
target_link_libraries(run_obliging PRIVATE slabby_traps slabby)
add_dependencies(run_obliging test_commit_limits test_guard_memory test_guards test_protection)
foreach(name IN ITEMS commit_limits guard_memory guards protection)
    slabby_run_trap(trap_obliging_${name} $<TARGET_FILE:run_obliging> $<TARGET_FILE:test_${name}>)
endforeach()

slabby_add_trap(trap_late_filter slabby)
slabby_run_trap(trap_late_filter trap_late_filter)

slabby_add_trap(trap_step slabby)
slabby_run_trap(trap_step trap_step)
slabby_add_trap(trap_cpus slabby)
target_link_libraries(trap_cpus PRIVATE ${CMAKE_DL_LIBS})
slabby_run_trap(trap_cpus env ${NO_RSEQ} $<TARGET_FILE:trap_cpus>)
# Not linked with the library, which then could not be unloaded at all.
add_executable(trap_unload trap_unload.c)
slabby_compile(trap_unload)
target_include_directories(trap_unload PRIVATE ${PROJECT_SOURCE_DIR}/core/include)
target_link_libraries(trap_unload PRIVATE slabby_cmocka ${CMAKE_DL_LIBS})
slabby_run_trap(trap_unload trap_unload $<TARGET_FILE:slabby>)
# The functions of the static library are the plugin's own.
add_library(trap_plugin MODULE plugin.c)
slabby_compile(trap_plugin)
target_link_libraries(trap_plugin PRIVATE
    -Wl,--whole-archive slabby_static -Wl,--no-whole-archive)
slabby_run_trap(trap_unload_plugin trap_unload $<TARGET_FILE:trap_plugin>)

# Filters that allow what the page on system calls lists, and end the process otherwise.
slabby_add_trap(trap_allow_list slabby_static)
slabby_run_trap(trap_allow_list trap_allow_list $<TARGET_FILE:slabby>
    ${PROJECT_SOURCE_DIR}/docs/system-calls.md)

# A pool that is made before the constructors of the library have run: the functions of the static library are the
# program's own.
function(slabby_add_early name)
    add_executable(${name} trap_early.c)
    slabby_compile(${name})
    target_link_libraries(${name} PRIVATE slabby_static ${ARGN})
    slabby_run_trap(${name} ${name})
endfunction()
slabby_add_early(trap_early)
include(CheckCSourceCompiles)
set(CMAKE_REQUIRED_FLAGS -static)
check_c_source_compiles("int main(void) { return 0; }" SLABBY_LINKS_STATIC)
unset(CMAKE_REQUIRED_FLAGS)
if(SLABBY_LINKS_STATIC)
    slabby_add_early(trap_early_static -static)
endif()

# The fence itself is no public function.
slabby_add_trap(trap_fence slabby_test)
slabby_run_trap(trap_fence trap_fence)
