/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which CPU a word is biased to (core/src/tiers/word_bias.h): the CPU that served it, until a release elsewhere revokes
 * the bias. A CPU whose words are revoked often biases to the CPU that revokes them, and backs off where that does not
 * help. One thread that moves between two CPUs. */
#define _GNU_SOURCE
#include "backend.h"
#include "skip.h"
#include "support.h"
#include "threads.h"

#include <sched.h>
#include <stdbool.h>

#include <string.h>

#include "tiers/word_bias.h"

enum { CAPACITY = 4096, TAKEN = 400, NEIGHBOURS = 64, SMALL_CAPACITY = 128, SMALL_TAKEN = 110 };

static unsigned cpus[2];
static slabby_allocator *pool;
static slabby_ref refs[TAKEN];

static uint32_t id_of(slabby_ref ref) {
    return (uint32_t)((ref - pool->ref_bias) & pool->id_mask);
}

static bool biased_by(slabby_ref ref, unsigned cpu) {
    uint64_t word = atomic_load(&pool->words[id_of(ref)]);

    return slb_word_is_biased(word) && slb_word_bias_cpu(word) == cpu;
}

static void take_on(unsigned cpu, int count) {
    assert_true(run_on(cpu));
    for (int i = 0; i < count; i++)
        refs[i] = take(pool);
}

static void release_on(unsigned cpu, int count) {
    assert_true(run_on(cpu));
    for (int i = 0; i < count; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
}

static int count_biased_of(int taken, unsigned cpu) {
    int count = 0;

    for (int i = 0; i < taken; i++)
        count += biased_by(refs[i], cpu);
    return count;
}

static int count_biased(unsigned cpu) {
    return count_biased_of(TAKEN, cpu);
}

/* Almost all: the first of each batch comes before its cache has served anything. */
static void expect_biased_by(unsigned cpu) {
    assert_in_range(count_biased(cpu), TAKEN * 9 / 10, TAKEN);
}

static int make_of(uint64_t capacity) {
    pool = make_pool(64, capacity, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_RSEQ}));
    atomic_store(&slb_fence_budget.paid_until, 0);
    return 0;
}

static int make(void **state) {
    (void)state;
    return make_of(CAPACITY);
}

static int make_small(void **state) {
    (void)state;
    return make_of(SMALL_CAPACITY);
}

static int end(void **state) {
    (void)state;
    finish(pool);
    return 0;
}

/* Guards: what a CPU serves it owns; its own releases need nobody's help; a release elsewhere shares the slab and its
 * neighbours, and no more. */
static void the_server_owns_until_shared(void **state) {
    (void)state;
    take_on(cpus[0], TAKEN);
    expect_biased_by(cpus[0]);
    release_on(cpus[0], TAKEN);
    assert_int_equal(atomic_load(&slb_fence_budget.paid_until), 0);
    take_on(cpus[0], TAKEN);
    slabby_ref shared = refs[0];
    release_on(cpus[1], 1);
    assert_true(atomic_load(&slb_fence_budget.paid_until) != 0);
    for (int i = 1; i < TAKEN; i++)
        if (id_of(refs[i]) / NEIGHBOURS == id_of(shared) / NEIGHBOURS)
            assert_false(biased_by(refs[i], cpus[0]));
    assert_in_range(count_biased(cpus[0]), TAKEN * 9 / 10 - NEIGHBOURS, TAKEN - 1);
    for (int i = 1; i < TAKEN; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, shared), SLABBY_DOUBLE_DEALLOCATION);
}

/* The first CPU biases what it allocates to `cpu`, or to none where that is 0. */
static void expect_issue(uint64_t issue) {
    assert_true(atomic_load(&pool->caches[cpus[0]].cache.issue) == issue);
}

/* Slabs of the first CPU are released on the second one until fences would take too much time. Afterwards the test says
 * how long ago that was: it is a few milliseconds, which a busy machine takes from this thread at once. */
static void release_elsewhere_until_noticed(void) {
    take_on(cpus[0], TAKEN);
    release_on(cpus[0], TAKEN);
    expect_issue(slb_word_mark(cpus[0]));
    for (int rounds = 0; pool->caches[cpus[0]].cache.issue == slb_word_mark(cpus[0]); rounds++) {
        assert_true(rounds < 10000);
        take_on(cpus[0], 2);
        release_on(cpus[1], 2);
    }
    expect_issue(slb_word_mark(cpus[1]));
    assert_true(atomic_load(&pool->caches[cpus[0]].cache.backoff_until) > 1);
}

static void say_it_was_long_ago(bool long_ago) {
    atomic_store(&pool->caches[cpus[0]].cache.backoff_until, long_ago ? 1 : UINT64_MAX);
}

/* Any fence is one too many: slabs are allocated and released on this CPU until what it biases to changes. Answers the
 * one that was released last. */
static slabby_ref lose_biases_here(void) {
    uint64_t issue = atomic_load(&pool->caches[cpus[0]].cache.issue);
    slabby_ref ref = 0;

    atomic_store(&slb_fence_budget.paid_until, slb_os_ticks() + (1ull << 50));
    for (int rounds = 0; atomic_load(&pool->caches[cpus[0]].cache.issue) == issue; rounds++) {
        assert_true(rounds < 1000);
        ref = take(pool);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    }
    return ref;
}

/* Guards: a consumer on another CPU releases without a fence and without a compare-and-swap what a producer allocates,
 * and the statistics and the pool are whole. */
static void words_are_biased_to_their_consumer(void **state) {
    (void)state;
    release_elsewhere_until_noticed();
    take_on(cpus[0], TAKEN);
    expect_biased_by(cpus[1]);
    atomic_store(&slb_fence_budget.paid_until, 0);
    for (int i = 0; i < TAKEN; i++)
        assert_int_equal(slabby_is_valid(pool, refs[i]), 1);
    release_on(cpus[1], TAKEN);
    for (int i = 0; i < TAKEN; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_DOUBLE_DEALLOCATION);
    for (int rounds = 0; rounds < 20; rounds++) {
        take_on(cpus[0], TAKEN);
        release_on(cpus[1], TAKEN);
    }
    assert_int_equal(atomic_load(&slb_fence_budget.paid_until), 0);
    expect_issue(slb_word_mark(cpus[1]));
}

/* Guards: what is biased elsewhere is released, pinned and unpinned on its own CPU all the same. */
static void words_biased_elsewhere_change_here(void **state) {
    (void)state;
    release_elsewhere_until_noticed();
    atomic_store(&slb_fence_budget.paid_until, 0);
    take_on(cpus[0], TAKEN);
    expect_biased_by(cpus[1]);
    CHECK_STATUS(slabby_pin(pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_PINNED);
    CHECK_STATUS(slabby_unpin(pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_release_deferred(pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_release_deferred(pool, refs[0]), SLABBY_DOUBLE_DEALLOCATION);
    refs[0] = take(pool);
    release_on(cpus[0], TAKEN);
}

static uint32_t length_of(unsigned cpu) {
    return (uint32_t)(atomic_load(&pool->caches[cpu].cache.header) & 0xFFFF);
}

/* In percent: how many of the ids that a CPU serves next have a neighbour of the same line of words below them. */
static uint32_t together(unsigned cpu) {
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint32_t length = length_of(cpu), first = length - 4 * SLB_WORDS_A_LINE, found = 0;

    assert_in_range(length, 4 * SLB_WORDS_A_LINE, SLB_CACHE_IDS);
    for (uint32_t i = first + 1; i < length; i++)
        found += cache->ids[i] / SLB_WORDS_A_LINE == cache->ids[i - 1] / SLB_WORDS_A_LINE;
    return found * 100 / (length - first);
}

/* Guards: slabs whose words share a line follow one another while they travel to another CPU. Once they stay, they do
 * not any more, neither on the CPU of the producer nor on that of the consumer; and the producer uses the
 * line that it used last later than all others: the two would take it from each other at every operation. */
static void a_line_travels_as_a_whole(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) { /* both have a cache */
        take_on(cpus[i], 1);
        release_on(cpus[i], 1);
    }
    atomic_store(&pool->caches[cpus[0]].cache.issue, slb_word_mark(cpus[1]));
    take_on(cpus[0], TAKEN / 2);
    release_on(cpus[1], TAKEN / 2);
    int count = 0;
    assert_true(run_on(cpus[0]));
    do /* until the cache has been filled again */
        refs[count++] = take(pool);
    while (length_of(cpus[0]) < 8 * SLB_WORDS_A_LINE && count < TAKEN);
    assert_in_range(together(cpus[0]), 50, 100);
    assert_in_range(together(cpus[1]), 50, 100);
    uint32_t last_line = id_of(lose_biases_here()) / SLB_WORDS_A_LINE;
    expect_issue(slb_word_mark(cpus[0]));
    assert_in_range(together(cpus[0]), 0, 20);
    for (uint32_t i = SLB_WORDS_A_LINE; i < length_of(cpus[0]); i++)
        assert_int_not_equal(pool->caches[cpus[0]].cache.ids[i] / SLB_WORDS_A_LINE, last_line);
    for (int rounds = 0; atomic_load(&pool->rearranges) != 0; rounds++) { /* until one is timed */
        assert_true(rounds < 10000);
        assert_true(run_on(cpus[1]));
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    }
    assert_in_range(together(cpus[1]), 0, 20);
    for (int i = 0; i < count; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
}

/* Guards: where a producer and the consumer itself bias to the consumer's CPU, it is the producer that is wrong; and
 * one release elsewhere is no reason to change. */
static void the_consumer_keeps_its_own(void **state) {
    (void)state;
    release_elsewhere_until_noticed();
    say_it_was_long_ago(true);
    take_on(cpus[1], 1);
    release_on(cpus[1], 1);
    atomic_store(&pool->caches[cpus[1]].cache.issue, slb_word_mark(cpus[1]));
    atomic_store(&pool->caches[cpus[1]].cache.revoked, 0);
    take_on(cpus[0], 1);
    atomic_store(&slb_fence_budget.paid_until, slb_os_ticks() + (1ull << 50));
    release_on(cpus[0], 1);
    expect_issue(slb_word_mark(cpus[1]));
    (void)lose_biases_here();
    expect_issue(slb_word_mark(cpus[0]));
    assert_true(atomic_load(&pool->caches[cpus[1]].cache.issue) == slb_word_mark(cpus[1]));
}

/* One slab a round is released elsewhere, which revokes its neighbours, until the producer changes what it biases to:
 * then the slabs that are no neighbours have lost their bias too. */
static void expect_change_to_revoke(int taken) {
    bool changed = false;

    take_on(cpus[0], taken);
    release_on(cpus[0], taken);
    atomic_store(&slb_fence_budget.paid_until, slb_os_ticks() + (1ull << 50));
    for (int round = 0; round < 100 && !changed; round++) {
        take_on(cpus[0], taken);
        assert_in_range(count_biased_of(taken, cpus[0]), NEIGHBOURS + 1, taken);
        assert_true(run_on(cpus[1]));
        CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
        changed = atomic_load(&pool->caches[cpus[0]].cache.issue) != slb_word_mark(cpus[0]);
        if (changed)
            assert_int_equal(count_biased_of(taken, cpus[0]), 0);
        assert_true(run_on(cpus[0]));
        for (int i = 1; i < taken; i++)
            CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    }
    assert_true(changed);
}

/* Guards: where a producer begins to bias elsewhere, the slabs that it allocated before cost no fence each. */
static void a_change_revokes_what_came_before(void **state) {
    (void)state;
    expect_change_to_revoke(TAKEN);
}

/* Guards: so it is in a pool so small that the words are noted without the system's memory. */
static void a_change_revokes_in_small_pools(void **state) {
    (void)state;
    expect_change_to_revoke(SMALL_TAKEN);
}

/* Guards: a consumer whose CPU is new to the pool is one as any other. */
static void new_consumers_are_biased_to(void **state) {
    (void)state;
    take_on(cpus[0], TAKEN);
    release_on(cpus[0], TAKEN);
    for (int i = 0; i < TAKEN; i++)
        refs[i] = take(pool);
    assert_true(cpus[1] >= pool->rseq_cpus);
    atomic_store(&slb_fence_budget.paid_until, slb_os_ticks() + (1ull << 50));
    release_on(cpus[1], TAKEN);
    expect_issue(slb_word_mark(cpus[1]));
}

/* Guards: a producer that releases its own slabs again biases them to itself at once. Where they are soon released
 * elsewhere once more, it stops biasing them, and begins again when it has rested. */
static void revoked_cpus_back_off(void **state) {
    struct slb_cpu_cache *cache = &pool->caches[cpus[0]].cache;

    (void)state;
    release_elsewhere_until_noticed();
    say_it_was_long_ago(false);
    assert_true(run_on(cpus[0]));
    (void)lose_biases_here();
    expect_issue(slb_word_mark(cpus[0]));
    assert_true(atomic_load(&cache->backoff_until) < UINT64_MAX);
    say_it_was_long_ago(false);
    for (int rounds = 0; atomic_load(&cache->issue) != 0; rounds++) {
        assert_true(rounds < 1000);
        take_on(cpus[0], 1);
        release_on(cpus[1], 1);
        assert_true(atomic_load(&cache->issue) != slb_word_mark(cpus[1]));
    }
    say_it_was_long_ago(false);
    take_on(cpus[0], TAKEN);
    assert_int_equal(count_biased(cpus[0]), 0);
    release_on(cpus[1], TAKEN);
    atomic_store(&cache->backoff_until, 1);
    take_on(cpus[0], TAKEN); /* looks when it is to time one, 128 allocations on at the most */
    release_on(cpus[0], TAKEN);
    take_on(cpus[0], TAKEN);
    expect_biased_by(cpus[0]);
    release_on(cpus[0], TAKEN);
}

/* Guards: a protection that acts on releases leaves words biased, and acts on each of their releases. */
static void protections_keep_words_biased(void **state) {
    void *data;
    (void)state;
    take_on(cpus[0], TAKEN);
    release_on(cpus[0], TAKEN);
    take_on(cpus[0], TAKEN);
    for (int i = 0; i < TAKEN; i++) {
        CHECK_STATUS(slabby_data(&data, pool, refs[i]), SLABBY_OK);
        memset(data, 0xA5, 64);
    }
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    release_on(cpus[0], TAKEN);
    take_on(cpus[0], TAKEN);
    expect_biased_by(cpus[0]);
    for (int i = 0; i < TAKEN; i++) {
        CHECK_STATUS(slabby_data(&data, pool, refs[i]), SLABBY_OK);
        for (int k = 0; k < 64; k++)
            assert_int_equal(((unsigned char *)data)[k], 0);
    }
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 0, NULL), SLABBY_OK);
    release_on(cpus[0], TAKEN);
}

static uint64_t word_of(slabby_ref ref) {
    return atomic_load(&pool->words[id_of(ref)]);
}

/* The slabs of refs are biased to the first CPU, which took them all. */
static void take_biased(void) {
    take_on(cpus[0], TAKEN);
    release_on(cpus[0], TAKEN);
    take_on(cpus[0], TAKEN);
}

/* Pins and unpins a slab in turn, `steps` times in all. */
static void pin_and_unpin(slabby_ref ref, int steps) {
    for (int step = 0; step < steps; step++)
        CHECK_STATUS(step % 2 == 0 ? slabby_pin(pool, ref) : slabby_unpin(pool, ref), SLABBY_OK);
}

/* Guards: the CPU of the bias pins and unpins without a fence and keeps the bias, and a word that was left never comes
 * back under its generation, which a revocation that is under way depends on. */
static void pins_turn_the_word(void **state) {
    enum { STEPS = 4 };
    uint64_t seen[STEPS + 1];
    slabby_ref ref;

    (void)state;
    take_biased();
    ref = refs[TAKEN - 1];
    seen[0] = word_of(ref);
    assert_true(biased_by(ref, cpus[0]));
    for (int step = 0; step < STEPS; step++) {
        CHECK_STATUS(step % 2 == 0 ? slabby_pin(pool, ref) : slabby_unpin(pool, ref), SLABBY_OK);
        seen[step + 1] = word_of(ref);
        assert_int_equal(biased_by(ref, cpus[0]), step < STEPS - 1);
        assert_int_equal(slb_word_pins(seen[step + 1]), 1 - step % 2);
        for (int before = 0; before <= step; before++)
            assert_true(seen[before] != seen[step + 1]);
        assert_int_equal(slabby_is_valid(pool, ref), 1);
    }
    assert_int_equal(atomic_load(&slb_fence_budget.paid_until), 0);
    release_on(cpus[0], TAKEN);
}

/* Guards: a slab is released after any number of pins and unpins, and not while it is pinned; one that has no pin left
 * costs its own CPU no fence. */
static void turned_words_are_released(void **state) {
    enum { MOST_STEPS = 8 };
    (void)state;
    take_biased();
    for (int i = 0; i < TAKEN; i++) {
        pin_and_unpin(refs[i], i % MOST_STEPS);
        if (i % 2 == 0)
            continue;
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_PINNED);
        CHECK_STATUS(slabby_unpin(pool, refs[i]), SLABBY_OK);
        CHECK_STATUS(slabby_unpin(pool, refs[i]), SLABBY_INVALID_ARGUMENT);
    }
    release_on(cpus[0], TAKEN);
    for (int i = 0; i < TAKEN; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_DOUBLE_DEALLOCATION);
    take_biased();
    for (int i = 0; i < TAKEN; i++)
        pin_and_unpin(refs[i], 2);
    release_on(cpus[0], TAKEN);
    assert_int_equal(atomic_load(&slb_fence_budget.paid_until), 0);
}

/* Guards: another CPU pins beside a turn and finds the pin of one. */
static void turned_words_are_changed_elsewhere(void **state) {
    (void)state;
    take_biased();
    for (int steps = 1; steps <= 3; steps++) {
        slabby_ref ref = refs[steps];
        assert_true(run_on(cpus[0]));
        pin_and_unpin(ref, steps);
        assert_true(run_on(cpus[1]));
        CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
        assert_int_equal(slb_word_pins(word_of(ref)), 1 + steps % 2);
        CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_OK);
        assert_true(run_on(cpus[0]));
        for (int pins = 1 + steps % 2; pins > 0; pins--)
            CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
        CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_USE_AFTER_FREE);
        refs[steps] = take(pool);
    }
    release_on(cpus[0], TAKEN);
}

/* AddressSanitizer and valgrind watch each release, which counts as a protection. */
static bool somebody_owns(void) {
    slabby_allocator *probe =
        make_pool(64, CAPACITY, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_RSEQ}));
    bool owns = atomic_load(&probe->release_cpus) != 0;

    finish(probe);
    return owns;
}

static int find_two_cpus(void) {
    cpu_set_t allowed;
    int found = 0;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            cpus[found++] = cpu;
    return found;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_server_owns_until_shared, make, end),
        cmocka_unit_test_setup_teardown(revoked_cpus_back_off, make, end),
        cmocka_unit_test_setup_teardown(protections_keep_words_biased, make, end),
        cmocka_unit_test_setup_teardown(words_are_biased_to_their_consumer, make, end),
        cmocka_unit_test_setup_teardown(words_biased_elsewhere_change_here, make, end),
        cmocka_unit_test_setup_teardown(a_line_travels_as_a_whole, make, end),
        cmocka_unit_test_setup_teardown(the_consumer_keeps_its_own, make, end),
        cmocka_unit_test_setup_teardown(new_consumers_are_biased_to, make, end),
        cmocka_unit_test_setup_teardown(pins_turn_the_word, make, end),
        cmocka_unit_test_setup_teardown(turned_words_are_released, make, end),
        cmocka_unit_test_setup_teardown(turned_words_are_changed_elsewhere, make, end),
        cmocka_unit_test_setup_teardown(a_change_revokes_what_came_before, make, end),
        cmocka_unit_test_setup_teardown(a_change_revokes_in_small_pools, make_small, end),
    };

    if (!backend_is_here(SLABBY_CPU_CACHE_BACKEND_RSEQ))
        skip_all("this process has no restartable sequences, so nobody owns a word");
    if (!somebody_owns())
        skip_all("a tool watches every release, so nobody owns a word");
    if (find_two_cpus() < 2)
        skip_all("this process may use one CPU only, so nobody is elsewhere");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
