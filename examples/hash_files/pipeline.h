/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading threads take a slab each, fill it, and hand it to a hashing thread, which releases it:
 *
 *   reader --+                        +--> hasher 0   (files 0, H, 2H, ...)
 *   reader --+-- slab + file number --+--> hasher 1   (files 1, H + 1, ...)
 *
 * A file is read by one reader and hashed by one hasher, so its blocks stay in order. When no slab is free the
 * readers wait for the hashers: the pool bounds the memory, whatever the files' sizes.
 */
#ifndef HASH_FILES_PIPELINE_H
#define HASH_FILES_PIPELINE_H

#include "file_list.h"

#include <slabby/slabby.h>
#include <stdint.h>

#define MAX_THREADS 64

struct pipeline_result {
    double seconds;
    uint64_t bytes;
    uint64_t waits; /* how often a reader found no slab free */
};

/* Fills in digest, bytes and error of every file. Shows progress on stderr where that is a terminal. Ends the
 * process with a message when the pool answers what it must not. readers, hashers: 1 to MAX_THREADS. */
struct pipeline_result pipeline_run(slabby_allocator *pool, struct file_list *list, unsigned readers,
                                    unsigned hashers);

#endif
