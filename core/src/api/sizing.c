/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How large slabs should be, and how many. Both are arithmetic on what a caller knows of its program; no pool is
 * concerned.
 *
 * Capacity. By Little's law (Operations Research 9, 1961) rate x mean hold time slabs are in use on average: the load
 * a, in erlangs. The number of slabs that are needed so that an arrival rarely finds none follows from Erlang's loss
 * formula (Elektroteknikeren 13, 1917):
 *
 *     B(0) = 1,   B(n) = a B(n-1) / (n + a B(n-1))
 *
 * It holds for arrivals that are independent of each other (Poisson) and for any distribution of hold times: only their
 * mean matters (Sevastyanov 1957), if long holds are independent of each other too. In programs they are not: when a
 * peer or a disk stalls, all holds become long at once. That is why the 99th percentile is a parameter: one percent of
 * the time counts as a stall, in which the load is rate x p99. The chance of exhaustion is then
 *
 *     0.99 B(n, rate x mean) + 0.01 B(n, rate x p99)
 *
 * and the result is the least n that keeps it within the limit. With p99 = mean this is Erlang's formula.
 */
#include "layout.h"
#include "os/os.h"

#include <slabby/slabby.h>

/* From here on, or when an average object fills half a line, neighbours do not share cache lines. */
#define BUSY_RATE 1e6

#define MOST_RATE 1e12           /* per second */
#define MOST_HOLD 86400000000000 /* a day */
#define LEAST_PROBABILITY 1e-15
#define MOST_ALIGNMENT 2097152u

/* Comparisons with a NaN are false, so it is within no range. */
static bool within(double value, double least, double most) {
    return value >= least && value <= most;
}

SLB_PUBLIC slabby_status slabby_suggest_slab_size(uint64_t *out_size, uint64_t average, uint64_t maximum,
                                                  double rate_per_second, uint64_t alignment) {
    if (out_size == NULL || average == 0 || average > maximum || maximum > SLB_MAX_SLAB_SIZE ||
        !(rate_per_second > 0 && rate_per_second <= MOST_RATE) || alignment == 0 ||
        alignment > MOST_ALIGNMENT || (alignment & (alignment - 1)) != 0)
        return SLABBY_INVALID_ARGUMENT;
    uint64_t unit = alignment, line = slb_os_cache_line();
    if (unit < line && (rate_per_second >= BUSY_RATE || 2 * average >= line))
        unit = line;
    *out_size = (maximum + unit - 1) / unit * unit;
    return SLABBY_OK;
}

/*
 * The recursion, inverted: 1/B(n) = 1 + n/a + n(n-1)/a^2 + ..., all terms positive, so nothing cancels and each
 * rounding costs the sum no more than the term. Terms rise while n - k > a and then fall off: some multiple of sqrt(a)
 * of them count, where the recursion would take n steps.
 */
static double erlang_b(double load, uint64_t servers) {
    double sum = 1, term = 1;
    for (uint64_t left = servers; left > 0; left--) {
        term *= (double)left / load;
        sum += term;
        if (sum > 1e300)
            return 0;
        if (term < sum * 1e-18 && (double)left < load)
            break;
    }
    return 1 / sum;
}

static double exhaustion(double mean_load, double stall_load, uint64_t capacity) {
    return 0.99 * erlang_b(mean_load, capacity) + 0.01 * erlang_b(stall_load, capacity);
}

SLB_PUBLIC slabby_status slabby_suggest_capacity(uint64_t *out_capacity, double rate_per_second,
                                                 uint64_t mean_hold_ns, uint64_t p99_hold_ns,
                                                 double exhaustion_probability) {
    /* a hundredth of the holds last p99 or longer, so a mean below p99 / 100 belongs to another measurement */
    if (out_capacity == NULL || !(rate_per_second > 0 && rate_per_second <= MOST_RATE) || mean_hold_ns == 0 ||
        mean_hold_ns > MOST_HOLD || p99_hold_ns > MOST_HOLD || p99_hold_ns == 0 ||
        (p99_hold_ns + 99) / 100 > mean_hold_ns || !within(exhaustion_probability, LEAST_PROBABILITY, 1) ||
        exhaustion_probability == 1)
        return SLABBY_INVALID_ARGUMENT;
    uint64_t stall_ns = p99_hold_ns > mean_hold_ns ? p99_hold_ns : mean_hold_ns;
    double mean_load = rate_per_second * (double)mean_hold_ns / 1e9;
    double stall_load = rate_per_second * (double)stall_ns / 1e9;
    uint64_t low = 0, high = INT32_MAX; /* low is too few; high enough, if anything is */
    if (exhaustion(mean_load, stall_load, high) > exhaustion_probability)
        return SLABBY_CAPACITY_EXCEEDED;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (exhaustion(mean_load, stall_load, middle) > exhaustion_probability)
            low = middle;
        else
            high = middle;
    }
    *out_capacity = high;
    return SLABBY_OK;
}
