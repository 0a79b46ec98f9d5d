/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each thread has for itself in the core. Tasks are coroutines of one thread: the scheduler puts it aside with the
 * task. */
#ifndef SLABBY_SCHEDULE_OF_THREAD_H
#define SLABBY_SCHEDULE_OF_THREAD_H

#include "observe/audit_record.h"
#include "tiers/section.h"

struct of_thread {
    uint32_t depth;
    uint64_t number;
    struct slb_recorder recorder;
};

/* The number of a task as a thread, which has a turn. */
static inline uint64_t of_thread_number(uint32_t task) {
    return SLB_SECTION_FIRST_THREAD + 2 * (uint64_t)task;
}

static inline void of_thread_save(struct of_thread *own) {
    *own = (struct of_thread){slb_in_flight_depth, slb_section_thread, slb_recorder};
}

static inline void of_thread_load(const struct of_thread *own) {
    slb_in_flight_depth = own->depth;
    slb_section_thread = own->number;
    slb_recorder = own->recorder;
}

/* At the same address for all tasks. */
static inline bool of_thread_has(const volatile void *location) {
    return location == &slb_in_flight_depth || location == &slb_section_thread ||
           (uintptr_t)location - (uintptr_t)&slb_recorder < sizeof slb_recorder;
}

#endif
