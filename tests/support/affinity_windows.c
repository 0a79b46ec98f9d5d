/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CPUs of the first group. */
#include "threads.h"

#include <windows.h>

int run_on(unsigned cpu) {
    return cpu < 64 && SetThreadAffinityMask(GetCurrentThread(), (DWORD_PTR)1 << cpu) != 0;
}
