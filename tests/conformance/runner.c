/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs conformance programs (LANGUAGE.md) from standard input, prints their traces. */
#define _GNU_SOURCE
#include "runner.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct machine machine;

/* ---------------------------------------------------------------------------------------------- output */

static char output[1 << 16];
static size_t output_used;

void flush_output(void) {
    if (fwrite(output, 1, output_used, stdout) != output_used || fflush(stdout) != 0)
        give_up("cannot write the trace", strerror(errno));
    output_used = 0;
}

const char *take_output(void) {
    output[output_used > 0 ? output_used - 1 : 0] = 0;
    output_used = 0;
    return output;
}

void put(const char *format, ...) {
    va_list arguments;
    if (output_used > sizeof output - 4096)
        flush_output();
    va_start(arguments, format);
    int length = vsnprintf(output + output_used, sizeof output - output_used, format, arguments);
    va_end(arguments);
    output_used += (size_t)length;
}

void begin_line(const char *status) {
    put("{\"status\":\"%s\"", status);
}

void finish_line(void) {
    put("}\n");
}

void print_status(slabby_status status) {
    begin_line(slabby_status_name(status));
    finish_line();
}

void print_unset(void) {
    begin_line("-");
    finish_line();
}

/* --------------------------------------------------------------------------------------------- reading */

void give_up(const char *what, const char *text) {
    fprintf(stderr, "runner: %s: %s\n", what, text);
    exit(2);
}

uint64_t number(const char *text) {
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0)
        give_up("not a number", text);
    return value;
}

unsigned key(const char *text, char kind, unsigned limit) {
    if (text == NULL || text[0] != kind)
        give_up("not a register of this kind", text == NULL ? "" : text);
    uint64_t index = number(text + 1);
    if (index >= limit)
        give_up("no such register", text);
    return (unsigned)index;
}

static const char *word(const struct instruction *in, unsigned index) {
    if (index >= in->count)
        give_up("too few words after", in->words[0]);
    return in->words[index];
}

slabby_allocator *pool_at(const struct instruction *in, unsigned index) {
    return machine.pools[key(word(in, index), 'p', POOLS)];
}

slabby_ref ref_at(const struct instruction *in, unsigned index) {
    return machine.refs[key(word(in, index), 'r', REFS)];
}

uint32_t crc32_of(const unsigned char *bytes, uint64_t count) {
    static uint32_t table[256];
    uint32_t crc = UINT32_MAX;
    for (uint32_t i = 0; table[255] == 0 && i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
        table[i] = value;
    }
    for (uint64_t i = 0; i < count; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
    return ~crc;
}

/* Splits a line in place. False for a line that holds no instruction. */
static bool parse(char *line, struct instruction *out) {
    char *rest = NULL;
    out->target = NULL;
    out->count = 0;
    for (char *token = strtok_r(line, " \n", &rest); token != NULL && !(out->count == 0 && token[0] == '#');
         token = strtok_r(NULL, " \n", &rest)) {
        if (out->count == 0 && token[0] == '@')
            continue;
        if (out->count == TOKENS)
            give_up("too many words", token);
        if (strcmp(token, "=") == 0 && out->count == 1) {
            out->target = out->words[0];
            out->count = 0;
            continue;
        }
        out->words[out->count++] = token;
    }
    return out->count > 0;
}

/* ------------------------------------------------------------------------------------ the end of a program */

static void release_everything(slabby_allocator *pool) {
    slabby_live live = {.struct_size = sizeof live};
    uint64_t cursor = 0, count = 0;
    while (slabby_live_next(&live, &count, &cursor, pool) == SLABBY_OK && count != 0) {
        if (live.state == SLABBY_SLAB_STATE_LIVE_FAST) {
            (void)slabby_deallocate_fast(pool, live.id);
            continue;
        }
        (void)slabby_release_deferred(pool, live.ref);
        for (uint32_t pin = 0; pin < live.pins; pin++)
            (void)slabby_unpin(pool, live.ref);
    }
}

static void clean_up(void) {
    end_waits();
    for (unsigned i = 0; i < VIEWS; i++)
        if (machine.views[i].pool != NULL)
            (void)slabby_unpin(machine.views[i].pool, machine.views[i].ref);
    for (unsigned i = 0; i < POOLS; i++) {
        if (machine.pools[i] == NULL)
            continue;
        release_everything(machine.pools[i]);
        if (slabby_destroy(machine.pools[i]) != SLABBY_OK)
            give_up("a pool could not be destroyed at the end of", "a program");
    }
    while (machine.seen != NULL) {
        struct seen *seen = machine.seen;
        machine.seen = seen->next;
        free(seen);
    }
    memset(&machine, 0, sizeof machine);
}

void run_line(char *line) {
    struct instruction in;
    if (!parse(line, &in))
        return;
    if (strcmp(in.words[0], "program") == 0) {
        clean_up();
        put("{\"program\":%s}\n", word(&in, 1));
    } else if (!run_slab_instruction(&in) && !run_pool_instruction(&in) && !run_wait_instruction(&in)) {
        give_up("no such instruction", in.words[0]);
    }
}

/* To the next CPU that this process may run on, where there is another one. */
static void migrate(const cpu_set_t *cpus) {
    static int cpu = -1;
    cpu_set_t next;
    do
        cpu = (cpu + 1) % CPU_SETSIZE;
    while (!CPU_ISSET(cpu, cpus));
    CPU_ZERO(&next);
    CPU_SET(cpu, &next);
    (void)sched_setaffinity(0, sizeof next, &next);
}

/* With CONFORM_MIGRATE each instruction runs on another CPU than the one before: no line may depend on that. */
int main(void) {
    char *line = NULL;
    size_t space = 0;
    cpu_set_t cpus;
    bool migrates = getenv("CONFORM_MIGRATE") != NULL && sched_getaffinity(0, sizeof cpus, &cpus) == 0;
    while (getline(&line, &space, stdin) > 0) {
        if (migrates)
            migrate(&cpus);
        run_line(line);
    }
    clean_up();
    flush_output();
    free(line);
    return 0;
}
