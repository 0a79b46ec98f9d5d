/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The cheapest steady clock: the processor's counter where it runs at a fixed rate, else the system's. */
#include "os/os.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static bool counter_usable;
static uint64_t loaded_ticks, loaded_ns;
static uint64_t floor_ticks;

static bool counter_is_steady(void) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) != 0 && (d >> 8 & 1) != 0; /* invariant TSC */
#elif defined(__aarch64__) && !defined(SLB_OS_WINDOWS)
    return true;
#else
    return false;
#endif
}

static uint64_t read_counter_register(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__) && !defined(SLB_OS_WINDOWS)
    uint64_t ticks;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return 0;
#endif
}

SLB_PRIVATE uint64_t slb_os_ticks(void) {
    return counter_usable ? read_counter_register() : slb_os_now_ns();
}

#define READINGS 99

/* The usual step between two readings one behind the other. Not the smallest: some processors whose counter moves in
 * steps add 1 where a reading would be the same again. A counter that is coarser than a reading mostly shows no step,
 * and then its own. */
static uint64_t usual_step(void) {
    uint64_t steps[READINGS];
    uint32_t count = 0;
    for (int i = 0; i < READINGS; i++) {
        uint64_t before = slb_os_ticks();
        uint64_t step = slb_os_ticks() - before;
        uint32_t at = count;
        if (step == 0)
            continue;
        for (; at > 0 && steps[at - 1] > step; at--)
            steps[at] = steps[at - 1];
        steps[at] = step;
        count++;
    }
    return count == 0 ? 1 : steps[count / 2];
}

/* When the library is loaded, or before that when a constructor of the program makes a pool: there is one thread. */
SLB_PRIVATE __attribute__((constructor)) void slb_os_start_clock(void) {
    if (loaded_ns != 0)
        return;
    counter_usable = counter_is_steady();
    floor_ticks = usual_step();
    loaded_ticks = slb_os_ticks();
    loaded_ns = slb_os_now_ns();
}

/* The rate over the time since the library was loaded; the longer that is, the more exact. */
SLB_PRIVATE double slb_os_ns_per_tick(void) {
    if (!counter_usable)
        return 1.0;
    uint64_t elapsed = slb_os_now_ns() - loaded_ns;
    if (elapsed < 2000000)
        slb_os_sleep(2000000);
    uint64_t ticks = slb_os_ticks() - loaded_ticks;
    elapsed = slb_os_now_ns() - loaded_ns;
    return ticks == 0 ? 1.0 : (double)elapsed / (double)ticks;
}

/* Time-stamp counters of x86 run at some GHz; aarch64 says how fast its counter is. */
SLB_PRIVATE uint64_t slb_os_ticks_per_us(void) {
    if (!counter_usable)
        return 1000;
#if defined(__aarch64__) && !defined(SLB_OS_WINDOWS)
    uint64_t hertz;
    __asm__("mrs %0, cntfrq_el0" : "=r"(hertz));
    return hertz >= 1000000 ? hertz / 1000000 : 1;
#else
    return 2500;
#endif
}

/* Whole, above 0, and the same each time, although the rate is measured anew. */
SLB_PRIVATE uint64_t slb_os_clock_floor_ns(void) {
    static _Atomic uint64_t floor_ns;
    uint64_t known =
        atomic_load_explicit(&floor_ns, memory_order_relaxed); /* a number that leads to nothing */
    if (known != 0)
        return known;
    uint64_t measured = (uint64_t)((double)floor_ticks * slb_os_ns_per_tick());
    measured = measured == 0 ? 1 : measured;
    if (atomic_compare_exchange_strong_explicit(&floor_ns, &known, measured, memory_order_relaxed,
                                                memory_order_relaxed))
        return measured;
    return known;
}
