/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "trace.h"

#include "locations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_RECORDS = 1 << 16, LINE = 256 };

static struct {
    uint32_t task, step;
    enum access access;
    const volatile void *location; /* null: the task goes on */
    const void *code;
} records[MOST_RECORDS];

static uint32_t count;
static bool recording;

void trace_begin(void) {
    recording = true;
    count = 0;
}

void trace_switch(uint32_t task) {
    if (recording && count < MOST_RECORDS) {
        records[count].task = task;
        records[count++].location = NULL;
    }
}

void trace_access(uint32_t task, uint32_t step, const volatile void *location, enum access access,
                  const void *code) {
    if (!recording || count == MOST_RECORDS)
        return;
    records[count].task = task;
    records[count].step = step;
    records[count].access = access;
    records[count].location = location;
    records[count++].code = code;
}

/* The lines of all records, one each, by addr2line; null where that is missing. */
static FILE *source_lines(void) {
    char path[] = "/tmp/slabby-schedule-XXXXXX", program[LINE], command[2 * LINE + sizeof path];
    int file = mkstemp(path);
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    FILE *lines = NULL;

    if (file < 0 || length <= 0) {
        if (file >= 0)
            close(file);
        return NULL;
    }
    program[length] = '\0';
    for (uint32_t i = 0; i < count; i++)
        dprintf(file, "%p\n",
                records[i].location == NULL ? NULL : (const void *)((const char *)records[i].code - 1));
    close(file);
    snprintf(command, sizeof command, "addr2line -s -f -p -e '%s' < %s 2>/dev/null; rm -f %s", program, path,
             path);
    lines = popen(command, "r");
    return lines;
}

void trace_end(void) {
    static const char *const words[] = {"reads", "writes", "adds to", "acts on"};
    char line[LINE] = "", name[LINE];
    FILE *lines = recording ? source_lines() : NULL;

    for (uint32_t i = 0; recording && i < count; i++) {
        if (lines != NULL && fgets(line, sizeof line, lines) != NULL)
            line[strcspn(line, "\n")] = '\0';
        if (records[i].location == NULL)
            printf("task %u\n", records[i].task);
        if (records[i].location == NULL || !location_is_shared(records[i].location))
            continue;
        world_name(name, sizeof name, records[i].location);
        printf("%7u  %u %-8s %-28s %s\n", records[i].step, records[i].task, words[records[i].access], name,
               line);
    }
    if (lines != NULL)
        pclose(lines);
    recording = false;
    fflush(stdout);
}
