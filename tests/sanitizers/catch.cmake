# SPDX-License-Identifier: GPL-3.0-or-later
# One run of trespass under a tool: `cmake -D COMMAND=... -D EXPECTED=... -P catch.cmake`. COMMAND is a list;
# EXPECTED a list of regular expressions that the tool's report must match, or "clean".
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE report)
if(EXPECTED STREQUAL "clean")
    if(NOT result EQUAL 0 OR NOT report STREQUAL "" OR NOT output STREQUAL "end\n")
        message(FATAL_ERROR "a program without a mistake ended with ${result}:\n${output}${report}")
    endif()
    return()
endif()
if(result EQUAL 0)
    message(FATAL_ERROR "nobody caught the mistake:\n${output}${report}")
endif()
foreach(part IN LISTS EXPECTED)
    if(NOT report MATCHES "${part}")
        message(FATAL_ERROR "\"${part}\" is missing in the report:\n${report}")
    endif()
endforeach()
