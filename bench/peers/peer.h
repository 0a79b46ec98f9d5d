/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the patterns ask of an allocator. Each program is compiled for one peer: PEER_HEADER names the file that
 * defines, as static inline functions,
 *
 *   peer_object                  what a program must keep to give an object back
 *   PEER_BOUNDED                 1 where the number of objects is fixed when the pool is made
 *   PEER_UNITS                   how many of the pool's objects a peer_object stands for; 1 where it is not defined
 *   peer_start(count, options)   once a process, before the first pool; NULL or why this peer cannot run here
 *   peer_enter()                 once a thread, before its first object; 0 means success
 *   peer_leave()                 once a thread, after its last object
 *   peer_open(pool, size, n)     a pool of n objects of `size` bytes
 *   peer_take(pool, &object, &data)   one object and its first byte; 0 means success
 *   peer_give(pool, object)      0 means success
 *   peer_quiet(pool, taken)      after a measurement: NULL, or what does not add up; `taken` objects came and went
 *   peer_close(pool)             after the last one: NULL, or what does not add up
 *   peer_name(buffer, size)      which library answers, with its version where it tells
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stddef.h>
#include <stdint.h>

/* A pool of each size that is measured; what it is made of is the peer's business. */
typedef struct peer_pool {
    size_t size;
    uint32_t capacity;
    uint64_t taken; /* as far as peer_quiet has compared */
    void *handle;
} peer_pool;

#include PEER_HEADER

#ifndef PEER_UNITS
#define PEER_UNITS 1
#endif

#endif
