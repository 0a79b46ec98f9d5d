/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs a fuzzed target without a fuzzer, whatever the compiler.
 *
 *   replay [--random N] PATH...      each file, each file of a folder, then N inputs of random bytes
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support.h"

enum { INPUT_LIMIT = 4096 };

static uint8_t input[INPUT_LIMIT];
static char running[1024];
static int replayed;

static void run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        exit(2);
    }
    size_t size = fread(input, 1, sizeof input, file);
    fclose(file);
    snprintf(running, sizeof running, "%s", path);
    (void)LLVMFuzzerTestOneInput(input, size);
    replayed++;
}

static void run_folder(const char *path) {
    struct dirent **names;
    char inside[1024];
    int count = scandir(path, &names, NULL, alphasort);
    if (count < 0) {
        fprintf(stderr, "%s: cannot be listed\n", path);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        snprintf(inside, sizeof inside, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            run_file(inside);
        free(names[i]);
    }
    free(names);
}

static void run_random(uint64_t count) {
    uint64_t seed = test_seed();
    for (uint64_t i = 0; i < count; i++) {
        size_t size = (size_t)(random_next(&seed) % 1000);
        for (size_t at = 0; at < size; at++)
            input[at] = (uint8_t)random_next(&seed);
        snprintf(running, sizeof running, "random input %llu", (unsigned long long)i);
        (void)LLVMFuzzerTestOneInput(input, size);
        replayed++;
    }
}

/* The law that failed was printed before; here is the input. */
static void name_input(int number) {
    (void)number;
    fprintf(stderr, "in %s\n", running);
    _Exit(1);
}

int main(int count, char **arguments) {
    struct stat status;
    signal(SIGABRT, name_input);
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--random") && i + 1 < count)
            run_random(scaled(strtoull(arguments[++i], NULL, 10)));
        else if (stat(arguments[i], &status) == 0 && S_ISDIR(status.st_mode))
            run_folder(arguments[i]);
        else
            run_file(arguments[i]);
    }
    if (replayed == 0) {
        fprintf(stderr, "usage: %s [--random N] PATH...; no input was found\n", arguments[0]);
        return 2;
    }
    printf("%d inputs\n", replayed);
    return 0;
}
