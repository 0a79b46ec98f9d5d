/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How random the order of slabs is with the option shuffle. The pool's key is fixed, so that each run draws the same
 * numbers. */
#include "support.h"
#include "threads.h"

#include "api/refill.h"
#include "pool.h"
#include "protect/shuffle.h"
#include "tiers/random.h"

#include <string.h>

#define KEY 0x243F6A8885A308D3u

/* ---------------------------------------------------------------------------------------------- one shuffle */

enum { IDS = 8, SHUFFLES = 40000 };

/* Sum of (seen - wanted)^2 / wanted: near its degrees of freedom, here 49, where every cell is as likely. */
static double chi_square(unsigned cells[IDS][IDS], double wanted) {
    double sum = 0;

    for (size_t i = 0; i < IDS; i++)
        for (size_t k = 0; k < IDS; k++)
            sum += ((double)cells[i][k] - wanted) * ((double)cells[i][k] - wanted) / wanted;
    return sum;
}

/* Guards: every id comes to every position as often, and has every other id behind it as often. With 49 degrees of
 * freedom a fair shuffle exceeds 100 once in 100,000 keys. */
static void shuffles_are_fair(void **state) {
    static struct slabby_allocator pool;
    static unsigned positions[IDS][IDS], followers[IDS][IDS];

    (void)state;
    pool.guard_key = KEY;
    atomic_store(&pool.protect, SLB_PROTECT_SHUFFLE);
    for (size_t round = 0; round < SHUFFLES; round++) {
        uint32_t ids[IDS];
        for (uint32_t i = 0; i < IDS; i++)
            ids[i] = i;
        assert_true(slb_shuffle(&pool, ids, IDS));
        for (size_t i = 0; i < IDS; i++)
            positions[i][ids[i]]++;
        for (size_t i = 0; i + 1 < IDS; i++)
            followers[ids[i]][ids[i + 1]]++;
    }
    assert_true(chi_square(positions, SHUFFLES / (double)IDS) < 100);
    for (size_t i = 0; i < IDS; i++) { /* no id is behind itself: the cell is as full as it should be */
        assert_int_equal(followers[i][i], 0);
        followers[i][i] = SHUFFLES / IDS;
    }
    assert_true(chi_square(followers, SHUFFLES / (double)IDS) < 100);
}

/* ------------------------------------------------------------------------------------------------- the pool */

enum { SLABS = 4096, PAIRS = 30000 };

/* Of the slabs that have come back: which, and when the last time. */
struct history {
    uint32_t ids[SLABS];
    uint64_t when[SLABS];
    uint32_t count;
};

/* How many came back after the slab did; the slab's place in the history is *out_at. SLABS: it never did. */
static uint32_t age_of(const struct history *history, uint32_t id, uint32_t *out_at) {
    uint32_t at = 0, younger = 0;

    while (at < history->count && history->ids[at] != id)
        at++;
    *out_at = at;
    if (at == history->count)
        return SLABS;
    for (uint32_t i = 0; i < history->count; i++)
        younger += history->when[i] > history->when[at];
    return younger;
}

/* The share of allocations that somebody guesses right who knows when each slab came back, and always bets on the same
 * age: the last one, the oldest, or whichever turns out to be the best. */
static double best_guess(slabby_allocator *pool) {
    static struct history history;
    static unsigned by_age[SLABS + 1];
    unsigned most = 0;

    memset(&history, 0, sizeof history);
    memset(by_age, 0, sizeof by_age);
    for (uint64_t turn = 1; turn <= PAIRS; turn++) {
        slabby_ref ref = take(pool);
        uint32_t id, at, age;
        CHECK_STATUS(slabby_id(&id, pool, ref), SLABBY_OK);
        age = age_of(&history, id, &at);
        by_age[age]++;
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
        if (at == history.count)
            history.ids[history.count++] = id;
        history.when[at] = turn;
    }
    for (size_t age = 0; age < SLABS; age++)
        most = by_age[age] > most ? by_age[age] : most;
    return most / (double)PAIRS;
}

static void check_guesses(int64_t backend) {
    slabby_allocator *pool =
        make_pool(64, SLABS, WITH({SLABBY_OPTION_SHUFFLE, 1}, {SLABBY_OPTION_CPU_CACHE_BACKEND, backend}));
    double held_back = slb_shuffle_hold_back(pool, SLABS), guessed;

    pool->guard_key = KEY;
    guessed = best_guess(pool);
    printf("the best guess is right once in %.0f, at most once in %.0f\n", 1 / guessed,
           (held_back + 1) / 1.5);
    assert_true(guessed < 1.5 / (held_back + 1));
    finish(pool);
}

/* Guards: which slab comes next cannot be guessed from when it came back; without the option it can. */
static void no_age_comes_next(void **state) {
    slabby_allocator *plain = make_pool(64, SLABS, NULL);

    (void)state;
    assert_true(best_guess(plain) > 0.9);
    finish(plain);
    check_guesses(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
    check_guesses(SLABBY_CPU_CACHE_BACKEND_AUTO);
}

/* Guards: a cache that is due to be put in another order keeps its random one. */
static void a_random_order_stays(void **state) {
    slabby_allocator *pool = make_pool(64, SLABS, WITH({SLABBY_OPTION_SHUFFLE, 1}));
    struct slb_cpu_cache before;

    (void)state;
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    for (uint32_t cpu = 0; cpu < slb_used_cpus(pool); cpu++) {
        before = pool->caches[cpu].cache;
        atomic_store(&pool->rearranges, UINT64_MAX);
        slb_rearrange_if_due(pool);
        assert_memory_equal(before.ids, pool->caches[cpu].cache.ids, sizeof before.ids);
        assert_true(before.header == pool->caches[cpu].cache.header);
    }
    finish(pool);
}

enum { TAKEN = 200, MIXES = 1000, A_MIX = 100 };

static uint32_t lines_of(slabby_allocator *pool, uint32_t cpu, bool *out_has) {
    uint32_t ids = 0;

    memset(out_has, 0, SLABS / SLB_WORDS_A_LINE * sizeof out_has[0]);
    for (int stack = 0; stack < 2; stack++) {
        struct slb_cpu_cache *cache = &(stack == 0 ? pool->caches : pool->return_caches)[cpu].cache;
        uint32_t count = slb_header_ids(atomic_load(&cache->header));
        for (uint32_t i = 0; i < count; i++)
            out_has[cache->ids[i] / SLB_WORDS_A_LINE] = true;
        ids += count;
    }
    return ids;
}

static int shared_lines(slabby_allocator *pool) {
    bool has[2][SLABS / SLB_WORDS_A_LINE];
    int shared = 0;

    assert_true(lines_of(pool, 0, has[0]) > 0);
    assert_true(lines_of(pool, 1, has[1]) > 0);
    for (uint32_t line = 0; line < SLABS / SLB_WORDS_A_LINE; line++)
        shared += has[0][line] && has[1][line];
    return shared;
}

/* Every other line for each CPU, but some lines for both. */
static unsigned cpu_for(slabby_allocator *pool, slabby_ref ref) {
    uint32_t id, line;

    CHECK_STATUS(slabby_id(&id, pool, ref), SLABBY_OK);
    line = id / SLB_WORDS_A_LINE;
    return line % 6 == 0 ? id % 2 : line % 2;
}

/* Guards: two CPUs that have slabs of some lines of words in common stop sharing them, and no slab is lost. */
static void cpus_leave_shared_lines(void **state) {
    const int64_t backends[] = {SLABBY_CPU_CACHE_BACKEND_AUTO, SLABBY_CPU_CACHE_BACKEND_PORTABLE};
    slabby_ref refs[TAKEN];

    (void)state;
    if (!run_on(0) || !run_on(1))
        skip();
    for (size_t b = 0; b < COUNT_OF(backends); b++) {
        slabby_allocator *pool = make_pool(
            64, SLABS, WITH({SLABBY_OPTION_SHUFFLE, 1}, {SLABBY_OPTION_CPU_CACHE_BACKEND, backends[b]}));
        for (int i = 0; i < TAKEN; i++)
            refs[i] = take(pool);
        for (int i = 0; i < TAKEN; i++) {
            run_on(cpu_for(pool, refs[i]));
            CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
        }
        assert_in_range(shared_lines(pool), 3, 30);
        run_on(1);
        for (int i = 0; i < MIXES * A_MIX; i++)
            CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        assert_int_equal(shared_lines(pool), 0);
        finish(pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffles_are_fair),
        cmocka_unit_test(a_random_order_stays),
        cmocka_unit_test(no_age_comes_next),
        cmocka_unit_test(cpus_leave_shared_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
