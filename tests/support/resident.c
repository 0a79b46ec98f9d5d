/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resident.h"

#include "checks.h"

#include <stdio.h>
#include <unistd.h>

double resident_mib(void) {
    long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%ld %ld", &all, &resident) != 2)
        skip(); /* no Linux, or a sandbox without /proc */
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}
