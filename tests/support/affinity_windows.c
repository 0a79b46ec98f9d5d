/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CPUs of the first group. */
#include "threads.h"

#include <stdio.h>
#include <windows.h>

int run_on(unsigned cpu) {
    return cpu < 64 && SetThreadAffinityMask(GetCurrentThread(), (DWORD_PTR)1 << cpu) != 0;
}

int stay_on_one_cpu(void **state) {
    (void)state;
    if (!run_on(GetCurrentProcessorNumber()))
        puts("the system may move this program to another CPU");
    return 0;
}
