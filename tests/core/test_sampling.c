/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which allocations are timed. */
#include "support.h"

#include "observe/latency.h"
#include "pool.h"

/* Guards: one allocation in 64 is timed on average, also where each takes as many ticks as the others and the clock
 * advances in step with the distances. The clock is made up, so each run sees the same numbers. */
static void samples_keep_no_step_with_the_clock(void **state) {
    enum { STEPS = 512, SAMPLES = 2000 };
    static struct slabby_allocator pool;

    (void)state;
    atomic_store(&pool.timing.tracking, SLABBY_LATENCY_TRACKING_SAMPLED);
    for (uint64_t ticks = 1; ticks <= STEPS; ticks++) {
        uint64_t now = 123456789, allocations = 0;
        for (int i = 0; i < SAMPLES; i++) {
            uint64_t distance = slb_latency_distance(&pool, now);
            assert_in_range(distance, 1, 128);
            allocations += distance;
            now += distance * ticks;
        }
        assert_in_range(allocations, SAMPLES * 58, SAMPLES * 71);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_keep_no_step_with_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
