/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The order of ids in a CPU's cache: ids of few lines of words are put apart or line by line, all others stay as they
 * are, and none is lost. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "slab_word.h"
#include "tiers/cpu_cache_state.h"
#include "tiers/id_order.h"

static uint64_t random;
static uint32_t ids[SLB_CACHE_IDS], before[SLB_CACHE_IDS];

static int compare(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

static void expect_the_same_ids(uint32_t count) {
    uint32_t sorted[SLB_CACHE_IDS];

    memcpy(sorted, ids, sizeof sorted);
    qsort(sorted, count, sizeof sorted[0], compare);
    qsort(before, count, sizeof before[0], compare);
    assert_memory_equal(sorted, before, count * sizeof sorted[0]);
}

static void order(uint32_t count, bool by_line) {
    memcpy(before, ids, sizeof before);
    slb_order_ids(ids, count, by_line);
}

/* How many ids have a neighbour of the same line before them. */
static uint32_t together(uint32_t count) {
    uint32_t found = 0;

    for (uint32_t i = 1; i < count; i++)
        found += ids[i] / SLB_WORDS_A_LINE == ids[i - 1] / SLB_WORDS_A_LINE;
    return found;
}

static void lay_out_neighbours(uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        ids[i] = first + i;
}

static void mix(uint32_t count) {
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t k = (uint32_t)(random_next(&random) % (i + 1)), id = ids[i];
        ids[i] = ids[k];
        ids[k] = id;
    }
}

/* Guards: neighbours in any order come to lie apart, and line by line, whole lines or parts of them. */
static void neighbours_are_ordered(void **state) {
    (void)state;
    for (uint32_t count = 32; count <= SLB_CACHE_IDS; count++) {
        uint32_t lines = count / SLB_WORDS_A_LINE + 2;
        lay_out_neighbours(1000 + count, count);
        mix(count);
        order(count, true);
        expect_the_same_ids(count);
        assert_in_range(together(count), count - lines, count - 1);
        order(count, false);
        expect_the_same_ids(count);
        assert_in_range(together(count), 0, count / 4);
    }
}

/* Guards: what lies as it is wanted, and ids of many lines, stay where they are, in batches of one too. */
static void others_stay_as_they_are(void **state) {
    (void)state;
    for (uint32_t count = 1; count <= SLB_CACHE_IDS; count++) {
        for (uint32_t i = 0; i < count; i++)
            ids[i] = (i * 97 + 13) * SLB_WORDS_A_LINE;
        mix(count);
        order(count, true);
        assert_memory_equal(ids, before, sizeof ids);
        order(count, false);
        assert_memory_equal(ids, before, sizeof ids);
        lay_out_neighbours(0, count);
        order(count, true);
        assert_memory_equal(ids, before, sizeof ids);
        order(count, false);
        uint32_t apart[SLB_CACHE_IDS];
        memcpy(apart, ids, sizeof apart);
        order(count, false);
        assert_memory_equal(ids, apart, sizeof ids);
    }
}

/* Guards: whichever ids come, the same ones go. */
static void no_id_is_lost(void **state) {
    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t count = 1 + (uint32_t)(random_next(&random) % SLB_CACHE_IDS);
        uint32_t range = 8 + (uint32_t)(random_next(&random) % 4000);
        for (uint32_t i = 0; i < SLB_CACHE_IDS; i++)
            ids[i] = (uint32_t)(random_next(&random) % range);
        order(count, round % 2 == 0);
        expect_the_same_ids(count);
    }
}

int main(void) {
    random = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_are_ordered),
        cmocka_unit_test(others_stay_as_they_are),
        cmocka_unit_test(no_id_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
