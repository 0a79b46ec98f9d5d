/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "api/timed.h"

SLB_PRIVATE bool slb_end_timed(struct slabby_allocator *pool, uint32_t cpu, uint64_t started) {
    struct slb_timing timing = {started, 1};
    if (slb_likely(cpu < pool->rseq_cpus)) {
        timing = slb_timing_of_served(pool, cpu, started);
        if (slb_guard_is_on(pool))
            slb_guard_pass(pool, cpu, timing.weight);
    }
    bool slow = slb_timing_end(pool, &timing, 1);
    if (timing.started != 0 && !slb_in_flight())
        slb_note_peak_sampled(pool, started);
    return slow;
}
