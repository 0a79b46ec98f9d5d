/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The CPU caches' backends: which there are here, and which one a pool has. */
#ifndef SLABBY_TEST_BACKEND_H
#define SLABBY_TEST_BACKEND_H

#include "checks.h"

#include <stdbool.h>

/* Each backend that can be asked for; a test that takes them in turn leaves out those that are not here. */
extern const int64_t all_backends[2];

/* Whether this process can have a pool on the backend. */
int backend_is_here(int64_t backend);

/* Skips the test where restartable sequences are not `here`; where SLABBY_NEED_RSEQ says that they are known to run,
 * their absence is a fault. */
void need_sequences(bool here);

int64_t backend_of(slabby_allocator *pool);
const char *backend_name(int64_t backend);

#endif
