/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the system refuses: for every call that the core makes in the life of a pool, a life in which that call fails,
 * and one in which it and all after it fail. Each answers as it should, leaves the pool sound and nothing behind. */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

#define ALL_PROTECTIONS                                                                                      \
    {SLABBY_OPTION_SECURE, 1}, {SLABBY_OPTION_NO_DUMP, 1}, {SLABBY_OPTION_BIT_GUARD, 1},                     \
        {SLABBY_OPTION_REUSE_DELAY, 2}, {SLABBY_OPTION_SHUFFLE, 1}, {SLABBY_OPTION_DEBUG, 1},                \
        {SLABBY_OPTION_AUDIT, 64}, {SLABBY_OPTION_GUARD_SAMPLE_RATE, 2}, {SLABBY_OPTION_GUARD_SLOTS, 4}, {   \
        SLABBY_OPTION_HEAP_FALLBACK, 1                                                                       \
    }

static const struct scenario_set sets[] = {
    {"defaults", WITH({SLABBY_OPTION_SHARDS, 2}), false, false},
    {"heap fallback", WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}), true, false},
    {"everything on",
     WITH(ALL_PROTECTIONS, {SLABBY_OPTION_PREFAULT, 1}, {SLABBY_OPTION_LOCK_MEMORY, 1},
          {SLABBY_OPTION_MAX_CAPACITY, 20}, {SLABBY_OPTION_HEALTH_CHECKS, 1}),
     true, false},
    {"guard pages",
     WITH({SLABBY_OPTION_GUARD_PAGES, 1}, {SLABBY_OPTION_PREFAULT, 1}, {SLABBY_OPTION_NO_DUMP, 1},
          {SLABBY_OPTION_MAX_CAPACITY, 16}, {SLABBY_OPTION_SHARDS, 4}),
     false, false},
    {"memory locked, or none",
     WITH({SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_REQUIRED}, {SLABBY_OPTION_GUARD_SAMPLE_RATE, 3}),
     false, true},
    {"locked later, or not",
     WITH({SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_REQUIRED}, {SLABBY_OPTION_MAX_CAPACITY, 16}), false,
     true},
    {"a capacity that changes", WITH({SLABBY_OPTION_MAX_CAPACITY, 16}, {SLABBY_OPTION_HEAP_FALLBACK, 1}),
     true, false},
    {"huge pages",
     WITH({SLABBY_OPTION_HUGE_PAGES, 1}, {SLABBY_OPTION_PREFAULT, 1}, {SLABBY_OPTION_MAX_CAPACITY, 16}),
     false, false},
};

/* Each place of the table keeps the bookkeeping of its last pool. After a pool in every place, the balance tells of
 * leaks alone. */
static struct inject_balance balance_of_plain_entries(void) {
    for (int entry = 0; entry < 4095; entry++)
        CHECK_STATUS(slabby_destroy(make_pool(64, 1, NULL)), SLABBY_OK);
    return inject_balance();
}

static uint64_t refuse_each(const struct scenario_set *set, enum inject_kind kind, bool on) {
    uint64_t k = 1;
    while (scenario_with_refusal(set, kind, k, on))
        k++;
    return k - 1;
}

/* How many calls of each kind were refused, in all lives together. */
static uint64_t refused[INJECT_KINDS];
static bool memory_was_locked;

/* Nothing is shown where nothing was refused. */
static void check_each_kind_was_refused(void) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    int64_t backend = 0;
    CHECK_STATUS(slabby_get_option(&backend, pool, SLABBY_OPTION_CPU_CACHE_BACKEND), SLABBY_OK);
    finish(pool);
    for (enum inject_kind kind = 0; kind < INJECT_KINDS; kind++) {
        bool possible = kind != INJECT_ATFORK && (kind != INJECT_MLOCK || memory_was_locked) &&
                        (kind != INJECT_MEMBARRIER || backend == SLABBY_CPU_CACHE_BACKEND_RSEQ);
        if (possible && refused[kind] == 0)
            fail_msg("no %s was ever refused", inject_kind_name(kind));
    }
}

/* Guards: every error path of the core that begins at the system's refusal. */
static void every_refusal_is_survived(void **state) {
    (void)state;
    struct inject_balance before = balance_of_plain_entries();
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        slabby_error reason;
        if (!scenario_is_possible(&sets[i], &reason)) {
            printf("skipped: %s: %s\n", sets[i].name, reason.text);
            continue;
        }
        printf("%s:", sets[i].name);
        memory_was_locked |= sets[i].lock_required;
        for (enum inject_kind kind = 0; kind < INJECT_KINDS; kind++) {
            uint64_t calls = refuse_each(&sets[i], kind, false);
            (void)refuse_each(&sets[i], kind, true);
            refused[kind] += calls;
            if (calls != 0)
                printf(" %d %s", (int)calls, inject_kind_name(kind));
        }
        printf("\n");
    }
    struct inject_balance after = balance_of_plain_entries();
    assert_int_equal(after.mappings, before.mappings);
    assert_int_equal(after.mapped_bytes, before.mapped_bytes);
    check_each_kind_was_refused();
}

/* Guards: a process that could not be prepared for fork makes no pools, and may be prepared later. First of all,
 * because it happens once in a process. */
static void fork_must_be_prepared(void **state) {
    slabby_error error = fresh_error();
    slabby_allocator *pool = NULL;
    (void)state;
    inject_set(INJECT_ATFORK, 1, true);
    for (int tries = 0; tries < 2; tries++) {
        CHECK_STATUS(slabby_create(&pool, 64, 1, NULL, &error), SLABBY_NO_SYSTEM_MEMORY);
        assert_non_null(strstr(error.text, "fork"));
        assert_null(pool);
    }
    inject_pause();
    assert_int_equal(inject_balance().mappings, 0);
    finish(make_pool(64, 1, NULL));
    inject_set(INJECT_ATFORK, 1, true);
    finish(make_pool(64, 1, NULL)); /* prepared once, for good */
    inject_pause();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fork_must_be_prepared),
        cmocka_unit_test(every_refusal_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
