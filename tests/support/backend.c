/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "backend.h"

#include <stdlib.h>

const int64_t all_backends[2] = {SLABBY_CPU_CACHE_BACKEND_RSEQ, SLABBY_CPU_CACHE_BACKEND_PORTABLE};

int64_t backend_of(slabby_allocator *pool) {
    int64_t backend = -1;

    CHECK_STATUS(slabby_get_option(&backend, pool, SLABBY_OPTION_CPU_CACHE_BACKEND), SLABBY_OK);
    return backend;
}

const char *backend_name(int64_t backend) {
    switch (backend) {
    case SLABBY_CPU_CACHE_BACKEND_RSEQ:
        return "rseq";
    case SLABBY_CPU_CACHE_BACKEND_PORTABLE:
        return "portable";
    default:
        return "auto";
    }
}

int backend_is_here(int64_t backend) {
    slabby_allocator *pool = NULL;

    if (try_pool(&pool, 64, 64, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backend}), NULL) != SLABBY_OK)
        return 0;
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    return 1;
}

void need_sequences(bool here) {
    if (here)
        return;
    if (getenv("SLABBY_NEED_RSEQ") != NULL)
        fail_msg("this process has no restartable sequences");
    print_message("this process has no restartable sequences\n");
    skip();
}
