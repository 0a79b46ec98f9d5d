/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random numbers that a seed repeats. */
#ifndef SLABBY_TEST_RANDOM_H
#define SLABBY_TEST_RANDOM_H

#include <stdint.h>

/* A seed from SLABBY_TEST_SEED, or a new one; printed either way. */
uint64_t test_seed(void);

/* A seed that differs from run to run. */
uint64_t fresh_seed(void);

/* splitmix64: any seed is a good one, 0 included. */
uint64_t random_next(uint64_t *state);

#endif
