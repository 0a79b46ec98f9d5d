/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What max_capacity reserves is committed as the capacity needs it: which pages, and before a slab is handed out. */
#include "protect/slab_commit.h"
#include "support.h"
#include "threads.h"
#include "tiers/shards.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------- ranges, on paper */

enum { MOST_PAGES = 4096 };

/* Marks each page that the first slabs of each shard touch, the way the header says it. */
static void mark(unsigned char *pages, const struct slb_slab_area *area, uint32_t slabs) {
    memset(pages, 0, MOST_PAGES);
    for (uint32_t shard = 0; shard < area->shards; shard++) {
        uint64_t start = slb_shard_begins(area->reserved, area->shards, shard);
        uint64_t count = slb_shard_share(area->reserved, area->shards, slabs, shard);
        assert_true(start + count <= slb_shard_begins(area->reserved, area->shards, shard + 1));
        for (uint64_t byte = start * area->stride; byte < (start + count) * area->stride; byte++)
            pages[byte / area->unit] = 1;
    }
}

static void check_runs(const struct slb_slab_area *area, uint32_t before, uint32_t now) {
    static unsigned char had[MOST_PAGES], has[MOST_PAGES];
    struct slb_slab_run run = {0};
    uint64_t last = 0;
    mark(had, area, before);
    mark(has, area, now);
    while (slb_next_run(area, before, now, &run)) {
        assert_true(run.from < run.to && run.to <= area->range && run.from % area->unit == 0);
        assert_true(run.from >= last);
        last = run.to;
        for (uint64_t page = run.from / area->unit; page * area->unit < run.to; page++) {
            assert_true(has[page] && !had[page]);
            had[page] = 1;
        }
    }
    assert_memory_equal(had, has, MOST_PAGES);
}

/* Guards: of any two capacities, the runs are the pages that one needs and the other does not, each once. */
static void runs_are_what_is_missing(void **state) {
    uint64_t random = test_seed();
    (void)state;
    for (uint64_t round = scaled(3000); round != 0; round--) {
        struct slb_slab_area area = {.unit = 64u << random_next(&random) % 3};
        area.reserved = 1 + (uint32_t)(random_next(&random) % 300);
        area.shards = 1u << random_next(&random) % 8;
        area.stride = 1 + random_next(&random) % 200;
        area.range = (area.reserved * area.stride + area.unit - 1) / area.unit * area.unit;
        uint32_t before = 0, sum = 0;
        while (before < area.reserved) {
            uint32_t now = before + 1 + (uint32_t)(random_next(&random) % area.reserved);
            now = now < area.reserved ? now : area.reserved;
            check_runs(&area, before, now);
            before = now;
        }
        for (uint32_t shard = 0; shard < area.shards; shard++)
            sum += slb_shard_share(area.reserved, area.shards, area.reserved, shard);
        assert_int_equal(sum, area.reserved);
    }
}

/* ------------------------------------------------------------------------------------- while others go on */

struct growth {
    slabby_allocator *pool;
    _Atomic bool done;
    _Atomic uint64_t written;
};

static void *write_on(void *argument) {
    struct growth *growth = argument;
    while (!atomic_load(&growth->done)) {
        slabby_ref refs[4];
        void *data[4];
        if (slabby_allocate_batch(refs, data, growth->pool, 4) != SLABBY_OK)
            continue;
        for (int i = 0; i < 4; i++)
            memset(data[i], 1, 3000);
        for (int i = 0; i < 4; i++)
            if (slabby_release(growth->pool, refs[i]) != SLABBY_OK)
                complain("a slab could not be released");
        atomic_fetch_add(&growth->written, 1);
    }
    return NULL;
}

/* Guards: no thread gets a slab before it has memory, whatever the options have to do for it. */
static void others_write_while_a_pool_grows(void **state) {
    const struct setting *const sets[] = {
        WITH({SLABBY_OPTION_MAX_CAPACITY, 2000}, {SLABBY_OPTION_SHARDS, 4}),
        WITH({SLABBY_OPTION_MAX_CAPACITY, 2000}, {SLABBY_OPTION_SHARDS, 4}, {SLABBY_OPTION_PREFAULT, 1}),
        WITH({SLABBY_OPTION_MAX_CAPACITY, 2000}, {SLABBY_OPTION_GUARD_PAGES, 1}, {SLABBY_OPTION_PREFAULT, 1},
             {SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT}),
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct growth growth = {.pool = make_pool(3000, 16, sets[i])};
        pthread_t threads[3];
        for (size_t t = 0; t < COUNT_OF(threads); t++)
            assert_int_equal(pthread_create(&threads[t], NULL, write_on, &growth), 0);
        for (uint64_t capacity = 17; capacity <= 2000; capacity += 1 + capacity / 40)
            CHECK_STATUS(slabby_resize(NULL, growth.pool, capacity, NULL), SLABBY_OK);
        WAIT_UNTIL(atomic_load(&growth.written) != 0);
        atomic_store(&growth.done, true);
        for (size_t t = 0; t < COUNT_OF(threads); t++)
            pthread_join(threads[t], NULL);
        assert_no_thread_failed();
        write_every_slab(growth.pool, 3000);
        finish(growth.pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_what_is_missing),
        cmocka_unit_test(others_write_while_a_pool_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
