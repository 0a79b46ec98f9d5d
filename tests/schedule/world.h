/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the scenarios share: one pool, who holds which slab, and what must be true after every run. */
#ifndef SLABBY_SCHEDULE_WORLD_H
#define SLABBY_SCHEDULE_WORLD_H

#include "scheduler.h"

#include "pool.h"
#include "test_hooks.h"

#include <slabby/slabby.h>

enum { MOST_HELD = 64 };

/* Put back before each run. */
struct world {
    slabby_allocator *pool;
    slabby_ref out[MOST_HELD];  /* by id: the reference under which a slab is out, 0 */
    slabby_ref held[MOST_HELD]; /* taken by prepare, in order */
    uint32_t holds;
    slabby_status status[MOST_TASKS]; /* what a task wants to tell check */
    slabby_ref ref[MOST_TASKS];
    bool flag[MOST_TASKS];
    slabby_listener *listener;
};

extern struct world world;

/* Set by prepare before world_make: CPU 1 has no cache and no stripe of its own yet. */
extern bool world_joins_late;

struct world_setting {
    int32_t option;
    int64_t value;
};

#define WITH(...) ((const struct world_setting[]){__VA_ARGS__, {0, 0}})
#define EXPECT(truth, ...)                                                                                   \
    do {                                                                                                     \
        if (!(truth))                                                                                        \
            schedule_broken(__VA_ARGS__);                                                                    \
    } while (0)

/* Makes the pool: one shard, no sampling of latencies, the given backend. */
void world_make(uint64_t slab_size, uint64_t capacity, int32_t backend, const struct world_setting *settings);

/* Prepare: takes so many slabs, as the CPU given by schedule_cpu does. */
void world_take(uint32_t count);

/* Prepare: a pool, and one slab of it in held[0], whose word is biased to CPU 0. */
void world_make_biased(void);

/* A listener for the pool. */
void world_listen(void);

/* The section of CPU 0 is biased to the first task. */
void world_bias_section(void);

/* Puts the free slabs of the CPU caches into the shards. */
void world_flush(void);

/* A slab changed hands: nobody else may hold it, and its bytes become ours; or it is about to be given back, and its
 * bytes must be ours still. */
void world_own(slabby_ref ref, void *data);
void world_disown(slabby_ref ref);

/* A slab by slabby_allocate, held; 0 where it was refused. The status is told too. */
slabby_ref world_allocate(slabby_status *out_status);

/* What one task tells another is an access like those of the core. */
void world_set_flag(void);
bool world_flag(uint32_t task);

/* The first bytes of a slab, as its holder sees them. */
slabby_ref world_read(const void *data);
void world_write(void *data, slabby_ref value);

/* Gives back what is held and expects OK. */
void world_release(slabby_ref ref);

/* After a run: the pool is sound, the slabs out are the slabs held, and every other one can be taken. */
void world_check(void);

const char *world_text(slabby_status status);

#endif
