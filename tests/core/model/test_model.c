/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random programs against a model of the pool, one thread each.
 *
 *   test_model [--seed N] [--programs N]
 *
 * A program that differs is shrunk and printed; --seed N --programs 1 runs the program of that
 * seed again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"
#include "program.h"

static int report(struct program *program) {
    fprintf(stderr, "the program of seed %llu fails; shrinking %u calls\n", (unsigned long long)program->seed,
            program->count);
    program_shrink(program);
    program_fails(program, 1);
    program_print(program, stderr);
    fprintf(stderr, "again: test_model --seed %llu --programs 1\n", (unsigned long long)program->seed);
    return 1;
}

/* Guards: every call's status, every counter and every byte, over all options and small
 * capacities. */
int main(int argc, char **argv) {
    static struct program program;
    uint64_t programs = scaled(1500);
    uint64_t seed = 0;
    int seeded = 0;

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[i + 1], NULL, 0);
            seeded = 1;
        } else if (i + 1 < argc && strcmp(argv[i], "--programs") == 0) {
            programs = strtoull(argv[i + 1], NULL, 0);
        } else {
            fprintf(stderr, "usage: test_model [--seed N] [--programs N], not \"%s\"\n", argv[i]);
            return 2;
        }
    }
    if (!seeded)
        seed = test_seed();
    for (uint64_t i = 0; i < programs; i++) {
        program_make(&program, seed + i);
        if (program_fails(&program, 1))
            return report(&program);
    }
    printf("%llu programs from seed %llu agree with the model\n", (unsigned long long)programs,
           (unsigned long long)seed);
    return 0;
}
