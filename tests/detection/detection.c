/* SPDX-License-Identifier: GPL-3.0-or-later */
/* detection [TRIALS]: makes each mistake so often under each protection and prints a line each:
 *
 *   mistake <tab> protection <tab> noticed <tab> trials <tab> chance by the formula
 *
 * Exit status 1 where the measured share cannot be what the formula says: beyond five standard deviations, which
 * happens by chance once in a million lines. */
#define _GNU_SOURCE
#include "mistakes.h"

#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define DEVIATIONS 5

/* Wilson's interval around the measured share, five deviations wide; no chance at all where the formula says 0 or 1. */
static int is_possible(double expected, double noticed, double trials) {
    double share = noticed / trials, z = DEVIATIONS;
    double middle = (share + z * z / (2 * trials)) / (1 + z * z / trials);
    double half =
        z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials));

    if (expected == 0 || expected == 1)
        return share == expected;
    return expected >= middle - half && expected <= middle + half;
}

/* Chances that depend on what one CPU has cached are those of one CPU. */
static void stay_on_one_cpu(void) {
    cpu_set_t one;
    int here = sched_getcpu();

    CPU_ZERO(&one);
    CPU_SET(here < 0 ? 0 : (size_t)here, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
}

static int measure(const struct mistake *mistake, enum protection protection, uint64_t trials) {
    slabby_allocator *pool = protected_pool(protection);
    double expected = mistake->expected[protection], met;
    uint64_t noticed = 0;
    int possible;

    (void)chance_met();
    for (uint64_t i = 0; i < trials; i++)
        noticed += (uint64_t)mistake->make(pool);
    met = chance_met();
    if (expected < 0)
        expected = met;
    possible = is_possible(expected, (double)noticed, (double)trials);
    printf("%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%.6f\n", mistake->name, protections[protection].name, noticed,
           trials, expected);
    if (!possible)
        (void)fprintf(stderr, "FAILED: %s, %s: noticed %" PRIu64 " of %" PRIu64 ", the formula says %.6f\n",
                      mistake->name, protections[protection].name, noticed, trials, expected);
    if (slabby_destroy(pool) != SLABBY_OK)
        return 0;
    return possible;
}

int main(int count, char **arguments) {
    uint64_t trials = count > 1 ? strtoull(arguments[1], NULL, 10) : 2000;
    int sound = trials != 0;

    (void)unsetenv("SLABBY_GUARD_SAMPLE_RATE");
    stay_on_one_cpu();
    for (size_t i = 0; i < mistake_count; i++)
        for (enum protection protection = PLAIN; protection < PROTECTIONS; protection++)
            sound &= measure(&mistakes[i], protection, trials);
    return sound ? 0 : 1;
}
