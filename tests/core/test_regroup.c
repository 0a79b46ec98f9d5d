/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between a producer and a consumer, a pool whose slabs random lifetimes have scattered serves whole lines of words
 * again (tiers/regroup.h), and loses no slab. */
#include "backend.h"
#include "support.h"
#include "threads.h"

#include "os/os.h"
#include "pool.h"
#include "slab_word.h"
#include "tiers/cpu_cache.h"
#include "tiers/regroup.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLABS = 8000, LARGE = SLB_REGROUP_IDS + 1000 };

static uint64_t random;
static slabby_ref refs[LARGE];
static uint32_t cpu;
static bool ready; /* sequences run, and the thread stays on `cpu` */

static uint32_t id_of(const slabby_allocator *pool, slabby_ref ref) {
    return (uint32_t)((ref - pool->ref_bias) & pool->id_mask);
}

static struct slb_cpu_cache *own_cache(slabby_allocator *pool) {
    return &pool->caches[cpu].cache;
}

/* All slabs were in use, and came back in random order; those in this CPU's cache are in use again. `first`: of the
 * refs that the caller has. */
static slabby_allocator *make_scattered(uint64_t slabs, uint64_t *out_held) {
    slabby_allocator *pool = make_pool(64, slabs, NULL);

    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, slabs), SLABBY_OK);
    for (uint64_t i = slabs - 1; i > 0; i--) {
        uint64_t k = random_next(&random) % (i + 1);
        slabby_ref ref = refs[i];
        refs[i] = refs[k];
        refs[k] = ref;
    }
    for (uint64_t i = 0; i < slabs; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    for (*out_held = 0; slb_header_ids(atomic_load(&own_cache(pool)->header)) != 0; ++*out_held)
        refs[*out_held] = take(pool);
    return pool;
}

/* As after slabs that this CPU served were released on another one. */
static void make_remote(slabby_allocator *pool) {
    atomic_store(&own_cache(pool)->issue, slb_word_mark(cpu + 1));
}

/* Of how many lines a batch is; it is the next one, and stays with the caller. */
static uint32_t lines_of_next_batch(slabby_allocator *pool, uint64_t *held) {
    static bool seen[LARGE / SLB_WORDS_A_LINE + 1];
    uint32_t lines = 0;

    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < pool->batch; i++) {
        refs[*held] = take(pool);
        uint32_t line = id_of(pool, refs[(*held)++]) / SLB_WORDS_A_LINE;
        lines += !seen[line];
        seen[line] = true;
    }
    return lines;
}

static void expect_all_slabs(slabby_allocator *pool, uint64_t slabs, uint64_t held) {
    static bool seen[LARGE];

    memset(seen, 0, sizeof seen);
    for (; held < slabs; held++)
        refs[held] = take(pool);
    slabby_ref more;
    CHECK_STATUS(slabby_allocate(&more, NULL, pool), SLABBY_OUT_OF_MEMORY);
    for (uint64_t i = 0; i < slabs; i++) {
        assert_false(seen[id_of(pool, refs[i])]);
        seen[id_of(pool, refs[i])] = true;
    }
    uint64_t released;
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, slabs), SLABBY_OK);
    finish(pool);
}

/* Guards: a CPU whose slabs are released elsewhere gets batches of few lines, and every slab stays where one thread
 * finds it. */
static void a_producer_gets_whole_lines(void **state) {
    uint64_t held;

    (void)state;
    need_sequences(ready);
    slabby_allocator *pool = make_scattered(SLABS, &held);
    assert_in_range(lines_of_next_batch(pool, &held), pool->batch / 2, pool->batch);
    assert_int_equal(atomic_load(&pool->regroup_after), 0);
    make_remote(pool);
    assert_in_range(lines_of_next_batch(pool, &held), pool->batch / 8, pool->batch / 3);
    assert_in_range(lines_of_next_batch(pool, &held), pool->batch / 8, pool->batch / 3);
    expect_all_slabs(pool, SLABS, held);
}

/* Guards: the next time is a thousand times as far away as it took. */
static void pauses_are_long(void **state) {
    uint64_t held, before = slb_os_ticks();

    (void)state;
    need_sequences(ready);
    slabby_allocator *pool = make_scattered(SLABS, &held);
    make_remote(pool);
    (void)lines_of_next_batch(pool, &held);
    assert_true(atomic_load(&pool->regroup_after) - before > 1000 * slb_os_ticks_per_us());
    expect_all_slabs(pool, SLABS, held);
    pool = make_scattered(SLABS, &held);
    make_remote(pool);
    atomic_store(&pool->regroup_after, UINT64_MAX);
    assert_in_range(lines_of_next_batch(pool, &held), pool->batch / 2, pool->batch);
    assert_true(atomic_load(&pool->regroup_after) == UINT64_MAX);
    expect_all_slabs(pool, SLABS, held);
}

/* Guards: a pool that is too large for the set of ids stays as it is. */
static void large_pools_stay_as_they_are(void **state) {
    uint64_t held;

    (void)state;
    need_sequences(ready);
    slabby_allocator *pool = make_scattered(LARGE, &held);
    make_remote(pool);
    assert_in_range(lines_of_next_batch(pool, &held), pool->batch / 2, pool->batch);
    assert_int_equal(atomic_load(&pool->regroup_after), 0);
    expect_all_slabs(pool, LARGE, held);
}

static int fork_answer;

/* In the middle of regrouping: the child has another pool, and regroups it. */
static void fork_once(int point) {
    uint64_t held;
    int status = 0;

    if (point != SLB_POINT_REFILL || atomic_load(&slb_id_set.taken) == 0 || fork_answer != -1)
        return;
    fork_answer = -2;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        slabby_allocator *pool = make_scattered(SLABS, &held);
        make_remote(pool);
        (void)lines_of_next_batch(pool, &held);
        _exit(atomic_load(&pool->regroup_after) != 0 ? 3 : 4);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    fork_answer = WIFEXITED(status) ? WEXITSTATUS(status) : -3;
}

/* Guards: a child of a fork can regroup although a thread of its parent was at it. */
static void children_of_a_fork_regroup(void **state) {
    uint64_t held;

    (void)state;
    need_sequences(ready);
    slabby_allocator *pool = make_scattered(SLABS, &held);
    make_remote(pool);
    fork_answer = -1;
    slb_test_point = fork_once;
    refs[held++] = take(pool);
    slb_test_point = NULL;
    assert_int_equal(fork_answer, 3);
    expect_all_slabs(pool, SLABS, held);
}

int main(void) {
    random = test_seed();
    cpu = slb_os_cpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_producer_gets_whole_lines),
        cmocka_unit_test(pauses_are_long),
        cmocka_unit_test(large_pools_stay_as_they_are),
        cmocka_unit_test(children_of_a_fork_regroup),
    };

    ready = slb_os_has_rseq() && run_on(cpu);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
