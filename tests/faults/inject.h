/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Makes the system refuse one call, or that one and all that follow. The linker's --wrap leads the core's calls here;
 * what they take from the system and give back is counted. */
#ifndef SLABBY_FAULTS_INJECT_H
#define SLABBY_FAULTS_INJECT_H

#include <stdbool.h>
#include <stdint.h>

enum inject_kind {
    INJECT_MMAP,
    INJECT_MPROTECT,
    INJECT_MADVISE,
    INJECT_MLOCK,
    INJECT_MALLOC, /* and calloc, realloc, posix_memalign, aligned_alloc */
    INJECT_DESCRIPTOR,
    INJECT_THREAD,
    INJECT_RANDOM,
    INJECT_MEMBARRIER,
    INJECT_ATFORK,
    INJECT_KINDS
};

const char *inject_kind_name(enum inject_kind kind);

/* The k-th call of a kind fails, k from 1; `on` says whether those after it fail too. */
void inject_set(enum inject_kind kind, uint64_t k, bool on);

/* Between pause and resume calls succeed and are not numbered. */
void inject_pause(void);
void inject_resume(void);

/* How many calls were refused since inject_set. */
uint64_t inject_fired(void);

/* Until there are as many threads as at the first call: one of the core's own ends a moment after the last pool that
 * needed it, and serves the next where it does not. */
void inject_await_threads(void);

/* What is taken from the system at the moment. */
struct inject_balance {
    int64_t mappings, mapped_bytes, blocks, descriptors;
};

struct inject_balance inject_balance(void);

#endif
