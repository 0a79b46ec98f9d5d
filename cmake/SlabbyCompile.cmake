# SPDX-License-Identifier: GPL-3.0-or-later
# How every C target of this project is compiled: slabby_compile(TARGET).

set(SLABBY_SANITIZE_FLAGS)
foreach(sanitizer IN LISTS SLABBY_SANITIZE)
    if(NOT sanitizer MATCHES "^(address|undefined|thread)$")
        message(FATAL_ERROR "SLABBY_SANITIZE: \"${sanitizer}\" is none of address, undefined, thread")
    endif()
    list(APPEND SLABBY_SANITIZE_FLAGS -fsanitize=${sanitizer})
endforeach()
if("address" IN_LIST SLABBY_SANITIZE AND "thread" IN_LIST SLABBY_SANITIZE)
    message(FATAL_ERROR "SLABBY_SANITIZE: address and thread cannot be had together; build twice")
endif()
if(SLABBY_SANITIZE_FLAGS)
    list(APPEND SLABBY_SANITIZE_FLAGS -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()

if(SLABBY_FUZZ)
    list(APPEND SLABBY_SANITIZE_FLAGS -fsanitize=fuzzer-no-link)
endif()

function(slabby_compile target)
    set_target_properties(${target} PROPERTIES
        C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
        C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
    target_compile_options(${target} PRIVATE
        -Wall -Wextra -Wconversion -Wshadow -Wpedantic
        $<$<BOOL:${SLABBY_WARNINGS_AS_ERRORS}>:-Werror>
        ${SLABBY_SANITIZE_FLAGS})
    target_link_options(${target} PUBLIC ${SLABBY_SANITIZE_FLAGS})
endfunction()
