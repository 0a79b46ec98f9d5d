/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resident.h"

#include "checks.h"

#include <stdio.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

/* By the pages themselves: what statm and VmRSS say is counted for each CPU, added up now and then, and some hundred kB
 * off. Without the pages of files: how much of a program's code is resident is the kernel's choice. */
double resident_mib(void) {
    char line[4096];
    unsigned long all = 0, one;
    FILE *file = fopen("/proc/self/smaps", "r");

    if (file == NULL)
        skip(); /* no Linux, or a sandbox without /proc */
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Anonymous: %lu kB", &one) == 1)
            all += one;
    fclose(file);
    return (double)all / 1024;
}

void resident_pages_stay_small(void) {
#ifdef PR_SET_THP_DISABLE
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* without it, this system has none */
#endif
}
