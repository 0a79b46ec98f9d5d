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

/* When the library is loaded, or before that when a constructor of the program makes a pool: there is one thread. */
SLB_PRIVATE __attribute__((constructor)) void slb_os_start_clock(void) {
    if (loaded_ns != 0)
        return;
    counter_usable = counter_is_steady();
    floor_ticks = UINT64_MAX;
    for (int i = 0; i < 100; i++) {
        uint64_t before = slb_os_ticks();
        uint64_t step = slb_os_ticks() - before;
        floor_ticks = step != 0 && step < floor_ticks ? step : floor_ticks;
    }
    if (floor_ticks == UINT64_MAX)
        floor_ticks = 1; /* a counter coarser than a reading: its step is the least it can show */
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

SLB_PRIVATE uint64_t slb_os_clock_floor_ticks(void) {
    return floor_ticks;
}

/*
 * The wall clock by the counter: a pair of both readings, and the rate between them, are renewed each half a million
 * ticks or so. A clock that is set shows from then on.
 *
 * `version` is odd while a thread renews; a reader that finds it odd, or changed, asks the system. acquire on
 * each load keeps the second read of the version behind them; release on each store keeps them behind the odd version.
 */
static struct {
    _Atomic uint32_t version;
    _Atomic uint64_t ticks, wall_ns, rate; /* nanoseconds in 2^32 ticks */
} pair_of_clocks;

#define PAIR_LASTS_TICKS (1u << 20)
#define RATE_NEEDS_NS 20000000u /* since the library was loaded */

static SLB_COLD uint64_t renew_pair(void) {
    uint32_t version = atomic_load_explicit(&pair_of_clocks.version, memory_order_relaxed);
    uint64_t before = slb_os_ticks(), wall_ns = slb_os_wall_ns(), after = slb_os_ticks();
    uint64_t elapsed_ns = slb_os_now_ns() - loaded_ns, elapsed = after - loaded_ticks;
    if (!counter_usable || elapsed_ns < RATE_NEEDS_NS || elapsed == 0 ||
        after - before > PAIR_LASTS_TICKS / 64 || (version & 1) != 0 ||
        !atomic_compare_exchange_strong_explicit(&pair_of_clocks.version, &version, version + 1,
                                                 memory_order_acquire, memory_order_relaxed))
        return wall_ns;
    uint64_t rate = (uint64_t)((double)elapsed_ns / (double)elapsed * 4294967296.0);
    atomic_store_explicit(&pair_of_clocks.ticks, before + (after - before) / 2, memory_order_release);
    atomic_store_explicit(&pair_of_clocks.wall_ns, wall_ns, memory_order_release);
    atomic_store_explicit(&pair_of_clocks.rate, rate, memory_order_release);
    atomic_store_explicit(&pair_of_clocks.version, version + 2, memory_order_release);
    return wall_ns;
}

SLB_PRIVATE uint64_t slb_os_wall_by_ticks(void) {
    uint32_t version = atomic_load_explicit(&pair_of_clocks.version, memory_order_acquire);
    uint64_t ticks = atomic_load_explicit(&pair_of_clocks.ticks, memory_order_acquire);
    uint64_t wall_ns = atomic_load_explicit(&pair_of_clocks.wall_ns, memory_order_acquire);
    uint64_t rate = atomic_load_explicit(&pair_of_clocks.rate, memory_order_acquire);
    uint64_t passed = slb_os_ticks() - ticks;
    if (slb_unlikely(passed >= PAIR_LASTS_TICKS || (version & 1) != 0 ||
                     atomic_load_explicit(&pair_of_clocks.version, memory_order_relaxed) != version))
        return renew_pair();
    return wall_ns + (passed * rate >> 32);
}
