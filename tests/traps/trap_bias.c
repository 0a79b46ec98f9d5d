/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which CPU a word is biased to (core/src/tiers/word_bias.h): the CPU that served it, until a release elsewhere revokes
 * the bias. A CPU whose words are revoked often backs off, and protected pools bias nothing. One thread that moves
 * between two CPUs. */
#define _GNU_SOURCE
#include "backend.h"
#include "skip.h"
#include "support.h"
#include "threads.h"

#include <sched.h>
#include <stdbool.h>

#include <string.h>

#include "tiers/word_bias.h"

enum { CAPACITY = 4096, TAKEN = 400, NEIGHBOURS = 64 };

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

static int count_biased(unsigned cpu) {
    int count = 0;

    for (int i = 0; i < TAKEN; i++)
        count += biased_by(refs[i], cpu);
    return count;
}

/* Almost all: the first of each batch comes before its cache has served anything. */
static void expect_biased_by(unsigned cpu) {
    assert_in_range(count_biased(cpu), TAKEN * 9 / 10, TAKEN);
}

static int make(void **state) {
    (void)state;
    pool = make_pool(64, CAPACITY, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_RSEQ}));
    atomic_store(&slb_fence_budget.paid_until, 0);
    return 0;
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

/* Guards: a CPU whose slabs always end elsewhere stops owning them, and begins again when it has rested. */
static void revoked_cpus_back_off(void **state) {
    struct slb_cpu_cache *cache = &pool->caches[cpus[0]].cache;

    (void)state;
    take_on(cpus[0], TAKEN);
    release_on(cpus[0], TAKEN);
    assert_true(atomic_load(&cache->issue) != 0);
    for (int rounds = 0; atomic_load(&cache->issue) != 0; rounds++) {
        assert_true(rounds < 10000);
        take_on(cpus[0], 2);
        release_on(cpus[1], 2);
    }
    assert_true(atomic_load(&cache->backoff_until) > 1);
    /* a few milliseconds off, which a busy machine takes from this thread at once: the test says when it is over */
    atomic_store(&cache->backoff_until, UINT64_MAX);
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

/* Guards: plain words in a row make a CPU expect plain ones, one that it owns makes it look again. */
static void a_consumer_expects_plain_words(void **state) {
    uint64_t bit = 1ull << cpus[1] % 64;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 20), SLABBY_OK);
    assert_int_equal(atomic_load(&pool->expects_plain) & bit, 0);
    release_on(cpus[1], 20);
    assert_int_equal(atomic_load(&pool->expects_plain) & bit, bit);
    take_on(cpus[1], 20);
    release_on(cpus[1], 20);
    assert_int_equal(atomic_load(&pool->expects_plain) & bit, 0);
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
 * is no word of another CPU's for its own CPU. */
static void turned_words_are_released(void **state) {
    enum { MOST_STEPS = 8 };
    uint64_t bit = 1ull << cpus[0] % 64;

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
    assert_int_equal(atomic_load(&pool->expects_plain) & bit, 0);
    release_on(cpus[0], TAKEN);
    assert_int_equal(atomic_load(&pool->expects_plain) & bit, 0);
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
        cmocka_unit_test_setup_teardown(a_consumer_expects_plain_words, make, end),
        cmocka_unit_test_setup_teardown(pins_turn_the_word, make, end),
        cmocka_unit_test_setup_teardown(turned_words_are_released, make, end),
        cmocka_unit_test_setup_teardown(turned_words_are_changed_elsewhere, make, end),
    };

    if (!backend_is_here(SLABBY_CPU_CACHE_BACKEND_RSEQ))
        skip_all("this process has no restartable sequences, so nobody owns a word");
    if (!somebody_owns())
        skip_all("a tool watches every release, so nobody owns a word");
    if (find_two_cpus() < 2)
        skip_all("this process may use one CPU only, so nobody is elsewhere");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
