/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How many instructions a pair takes, in the library as users have it. The bounds are what gcc 12 makes of it at -O2,
 * with some three of a hundred on top; tighten them when a pair becomes shorter. Which pairs are timed is random, so
 * the mean has more room. A run prints the counts. */
#include "support.h"

#include "instructions/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ctest's SKIP_RETURN_CODE. */
#define SKIPPED 77

/* In the order of steps_cases. */
static const struct bound {
    double allocate, release, mean;
} bounds[] = {
    {53, 52, 200}, {126, 170, 450},    {126, 195, 480}, {53, 98, 300},   {126, 170, 450},
    {51, 54, 300}, {1106, 1310, 4000}, {141, 191, 550}, {143, 153, 500},
};

/* Guards: a call, a second look or a cleared struct that slips into the path of every pair. */
static void pairs_stay_within_their_instructions(void **state) {
    (void)state;
    int longer = 0;

    assert_int_equal(sizeof bounds / sizeof bounds[0], sizeof steps_cases / sizeof steps_cases[0]);
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        struct steps steps;
        const char *fault = steps_count(&steps, &steps_cases[i]);
        if (fault != NULL) {
            printf("skipped: %s\n", fault);
            exit(SKIPPED);
        }
        printf("%s: allocate %.0f of %.0f, release %.0f of %.0f, mean %.1f of %.0f\n", steps_cases[i].name,
               steps.allocate, bounds[i].allocate, steps.release, bounds[i].release, steps.mean,
               bounds[i].mean);
        assert_true(steps.allocate > 0 && steps.release > 0);
        longer += steps.allocate > bounds[i].allocate || steps.release > bounds[i].release ||
                  steps.mean > bounds[i].mean;
    }
    assert_int_equal(longer, 0);
}

/* Guards: from a pointer to its reference takes at most 1.3 of what the other direction does. */
static void a_pointer_finds_its_reference_at_once(void **state) {
    static const struct steps_case wanted = {"pointers", 4096, 64, STEPS_POINTERS, {{-1, 0}}};
    struct steps steps;
    const char *fault = steps_count(&steps, &wanted);

    (void)state;
    assert_null(fault); /* the test before found out what can be counted here */
    printf("slabby_data %.0f, slabby_ref_of %.0f\n", steps.allocate, steps.release);
    assert_true(steps.allocate > 0 && steps.release > 0);
    assert_true(steps.release <= 1.3 * steps.allocate);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_stay_within_their_instructions),
        cmocka_unit_test(a_pointer_finds_its_reference_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
