/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Memory that max_capacity reserves is committed only as the capacity needs it, and no further. */
#define _GNU_SOURCE
#include "protect/slab_commit.h"
#include "support.h"
#include "threads.h"
#include "tiers/shards.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define PAGES UINT64_C(4096)

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

/* ----------------------------------------------------------------------------------------- what is charged */

/* What counts against RLIMIT_DATA and, with vm.overcommit_memory = 2, against the system's limit. */
static uint64_t charged(void) {
    char line[256];
    unsigned long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmData: %lu kB", &kilobytes) == 1)
            break;
    if (file != NULL)
        fclose(file);
    if (kilobytes == 0)
        skip(); /* a sandbox without /proc */
    return (uint64_t)kilobytes * 1024;
}

static uint64_t bookkeeping(slabby_allocator *pool) {
    slabby_memory memory = {.struct_size = sizeof memory};
    CHECK_STATUS(slabby_get_memory(&memory, pool), SLABBY_OK);
    return memory.word_bytes + memory.list_bytes + memory.cache_bytes + memory.record_bytes;
}

/* Every byte of every slab that the pool has can be written. */
static void write_all(slabby_allocator *pool, uint64_t slab_size) {
    uint64_t count = stats_of(pool).total_slabs, released = 0;
    slabby_ref *refs = calloc(count, sizeof *refs);
    void **data = calloc(count, sizeof *data);
    assert_true(refs != NULL && data != NULL);
    CHECK_STATUS(slabby_allocate_batch(refs, data, pool, count), SLABBY_OK);
    for (uint64_t i = 0; i < count; i++)
        memset(data[i], 0x5A, slab_size);
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, count), SLABBY_OK);
    free(refs);
    free(data);
}

/* Guards: a pool of 8 slabs that may become a million is charged for 8, and for more as it grows; never twice. */
static void a_pool_is_charged_for_its_capacity(void **state) {
    (void)state;
    if (TEST_UNDER_SANITIZER)
        skip(); /* whose own memory is many times that */
    for (int64_t shards = 1; shards <= 64; shards *= 8) {
        uint64_t slack = 2 * MIB + (uint64_t)shards * 2 * PAGES, before = charged();
        slabby_allocator *pool =
            make_pool(4096, 8, WITH({SLABBY_OPTION_MAX_CAPACITY, 1000000}, {SLABBY_OPTION_SHARDS, shards}));
        uint64_t base = charged();
        assert_true(base - before <= bookkeeping(pool) + slack);
        write_all(pool, 4096);
        CHECK_STATUS(slabby_resize(NULL, pool, 10000, NULL), SLABBY_OK);
        uint64_t grown = charged() - base;
        assert_true(grown >= 9990 * PAGES && grown <= 10000 * 4200 + slack);
        write_all(pool, 4096);
        CHECK_STATUS(slabby_resize(NULL, pool, 20, NULL), SLABBY_OK);
        CHECK_STATUS(slabby_resize(NULL, pool, 10000, NULL), SLABBY_OK);
        assert_true(charged() - base <= grown + MIB);
        write_all(pool, 4096);
        finish(pool);
        assert_true(charged() <= before + 2 * MIB);
    }
}

/* ------------------------------------------------------------------------------------------------- refusals */

static bool limit_data(uint64_t bytes) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_DATA, &limit) != 0)
        return false;
    limit.rlim_cur = bytes;
    return setrlimit(RLIMIT_DATA, &limit) == 0;
}

static bool explains(const slabby_error *error, const char *what) {
    bool named = error->status == SLABBY_NO_SYSTEM_MEMORY && error->value > 0 &&
                 strstr(error->text, what) != NULL && strstr(error->text, "errno 12, ENOMEM") != NULL &&
                 strstr(error->text, "RLIMIT_DATA") != NULL && strstr(error->text, "overcommit") != NULL;
    if (!named)
        print_error("%s\n", error->text);
    return named;
}

/* In a child: 0 where all is as it should be. */
static int meet_the_limit(void) {
    const struct setting *options = WITH({SLABBY_OPTION_MAX_CAPACITY, 1000000}, {SLABBY_OPTION_SHARDS, 8});
    slabby_error error = fresh_error();
    slabby_allocator *pool = NULL;
    uint64_t awaited = 77;
    if (!limit_data(charged() + 128 * MIB))
        return 2;
    if (slabby_create(&pool, 4096, 1000000, NULL, &error) != SLABBY_NO_SYSTEM_MEMORY ||
        !explains(&error, "bytes for the slabs ("))
        return 3;
    pool = make_pool(4096, 8, options);
    uint64_t before = charged();
    if (slabby_resize(&awaited, pool, 100000, &error) != SLABBY_NO_SYSTEM_MEMORY ||
        !explains(&error, "bytes for further slabs (") || awaited != 77 || stats_of(pool).total_slabs != 8)
        return 4;
    if (charged() > before + MIB / 16) /* the shards that were served are given back */
        return 5;
    write_all(pool, 4096);
    CHECK_STATUS(slabby_resize(NULL, pool, 1000, NULL), SLABBY_OK);
    write_all(pool, 4096);
    if (!limit_data(RLIM_INFINITY))
        return 6;
    CHECK_STATUS(slabby_resize(NULL, pool, 30000, NULL), SLABBY_OK);
    write_all(pool, 4096);
    finish(pool);
    return 0;
}

/* Guards: what does not fit a limit is refused by name and changes nothing; below it the pool grows. */
static void the_limit_of_data_is_met(void **state) {
    int ended = 0;
    (void)state;
    if (TEST_UNDER_SANITIZER)
        skip();
    (void)charged();
    pid_t child = fork();
    if (child == 0)
        _exit(meet_the_limit());
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
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
        write_all(growth.pool, 3000);
        finish(growth.pool);
    }
}

/* Guards: a child goes on from what the parent has committed, each with memory of its own. */
static void a_child_of_fork_grows_on(void **state) {
    slabby_allocator *pool = make_pool(5000, 8,
                                       WITH({SLABBY_OPTION_MAX_CAPACITY, 500}, {SLABBY_OPTION_SHARDS, 4},
                                            {SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT}));
    int ended = 0;
    (void)state;
    CHECK_STATUS(slabby_resize(NULL, pool, 100, NULL), SLABBY_OK);
    pid_t child = fork();
    if (child == 0) {
        write_all(pool, 5000);
        CHECK_STATUS(slabby_resize(NULL, pool, 500, NULL), SLABBY_OK);
        write_all(pool, 5000);
        _exit(slabby_destroy(pool) == SLABBY_OK ? 0 : 1);
    }
    CHECK_STATUS(slabby_resize(NULL, pool, 300, NULL), SLABBY_OK);
    write_all(pool, 5000);
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    finish(pool);
}

/* Guards: each slab that came with a growth has its guard page. The page behind it takes no byte. */
static void further_slabs_have_guard_pages(void **state) {
    slabby_allocator *pool = make_pool(
        64, 3,
        WITH({SLABBY_OPTION_MAX_CAPACITY, 64}, {SLABBY_OPTION_SHARDS, 4}, {SLABBY_OPTION_GUARD_PAGES, 1}));
    slabby_ref refs[40];
    void *data[40];
    int pipes[2];
    uint64_t released;
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    CHECK_STATUS(slabby_resize(NULL, pool, 40, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_batch(refs, data, pool, 40), SLABBY_OK);
    for (int i = 0; i < 40; i++) {
        memset(data[i], 1, 64);
        assert_int_equal(write(pipes[1], data[i], 64), 64);
        assert_int_equal(write(pipes[1], (char *)data[i] + 64, 1), -1);
    }
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, 40), SLABBY_OK);
    close(pipes[0]);
    close(pipes[1]);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_what_is_missing), cmocka_unit_test(a_pool_is_charged_for_its_capacity),
        cmocka_unit_test(the_limit_of_data_is_met), cmocka_unit_test(others_write_while_a_pool_grows),
        cmocka_unit_test(a_child_of_fork_grows_on), cmocka_unit_test(further_slabs_have_guard_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
