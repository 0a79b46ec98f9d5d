/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resident.h"

#include "checks.h"

#include <windows.h>
#include <psapi.h>

double resident_mib(void) {
    PROCESS_MEMORY_COUNTERS counters;

    assert_true(K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters));
    return (double)counters.WorkingSetSize / 1048576;
}

void resident_pages_stay_small(void) {
}
