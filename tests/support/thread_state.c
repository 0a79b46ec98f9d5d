/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "thread_state.h"

#include "checks.h"

#include <stdio.h>
#include <unistd.h>

int thread_number(void) {
    return (int)gettid();
}

static void path_of(char *path, size_t size, int number) {
    (void)snprintf(path, size, "/proc/self/task/%d/status", number);
}

struct thread_state thread_state_of(int number) {
    char path[64], line[128], letter = '?';
    unsigned long long sleeps = 0;
    int found = 0;
    FILE *file;

    path_of(path, sizeof path, number);
    file = fopen(path, "r");
    assert_non_null(file);
    while (found < 2 && fgets(line, sizeof line, file) != NULL)
        found += sscanf(line, "State: %c", &letter) == 1 ||
                 sscanf(line, "voluntary_ctxt_switches: %llu", &sleeps) == 1;
    (void)fclose(file);
    assert_int_equal(found, 2);
    return (struct thread_state){letter == 'S', sleeps};
}

int thread_is_asleep(int number) {
    return thread_state_of(number).asleep;
}

int thread_has_ended(int number) {
    char path[64];

    path_of(path, sizeof path, number);
    return access(path, F_OK) != 0;
}
