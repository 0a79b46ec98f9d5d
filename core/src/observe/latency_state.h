/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The allocation times that a pool stores, per CPU, and once more for threads that cannot add to those of their CPU:
 * sums and a histogram since the pool was created, and what the histogram was when each of the last two half minutes
 * began. So the histogram less what it was tells of the last 30 to 60 seconds.
 *
 * Buckets are logarithmic, 32 an octave: bucket b holds times from 2^(b/32) ticks up to 2^((b+1)/32), so a value that
 * is read from the middle of a bucket has an error of at most 1.1 %. Short times of single allocations have a count for
 * each number of ticks; readers add them to the buckets and sums.
 */
#ifndef SLB_OBSERVE_LATENCY_STATE_H
#define SLB_OBSERVE_LATENCY_STATE_H

#include "base.h"

/* One allocation in so many is timed, at distances of 1 to twice that. */
#define SLB_SAMPLE_MEAN 64u
/* On a CPU that serves them faster, one in as many as come in this time, up to the most. */
#define SLB_SAMPLE_EVERY_US 8u
#define SLB_SAMPLE_BUSY_MEAN 1024u
/* The most in a pool with guard slots, whose samples also choose what lies on a slot. */
#define SLB_SAMPLE_GUARDS_MEAN 256u
/* No distance is longer; with guard slots. */
#define SLB_SAMPLE_MOST (2 * SLB_SAMPLE_BUSY_MEAN)
#define SLB_SAMPLE_GUARDS_MOST (2 * SLB_SAMPLE_GUARDS_MEAN)

#define SLB_LATENCY_PER_OCTAVE 32u
#define SLB_LATENCY_OCTAVES 40u /* up to 2^40 ticks: some minutes */
#define SLB_LATENCY_BUCKETS (SLB_LATENCY_PER_OCTAVE * SLB_LATENCY_OCTAVES)
#define SLB_LATENCY_SHORT 256u
#define SLB_LATENCY_WINDOW_NS 30000000000u

/*
 * Short times of one CPU. An allocation's time is counted with the next one: the counter of the processor is not read
 * before earlier loads have ended, and so no load may depend on the time that was just measured. One sequence changes
 * all three, and its commit is the store of `last`:
 *
 *      last       samples (56) | index of the last one (8)
 *      counted    what counts[index] becomes (55) | turn (1) | index (8): of the one before, which counts[] may lack
 *      counts     of all before
 *
 * The turn is the lowest bit of the number of samples when that one was the last. If it is the same as in `last`, a
 * sequence was restarted ahead of its commit: its sample is still the last one, and `counted` says what it will be.
 * Index 0 is that of no sample: memory that is all 0 has it as the last.
 */
#define SLB_SHORT_TURN 0x100
#define SLB_SHORT_COUNT 9

struct slb_short_times {
    _Atomic uint64_t last, counted;
    _Atomic uint64_t counts[SLB_LATENCY_SHORT];
};

/* The index of a time below SLB_LATENCY_SHORT - 1 ticks, and the time of an index. */
SLB_INLINE uint64_t slb_short_index(uint64_t ticks) {
    return SLB_LATENCY_SHORT - 1 - ticks;
}

SLB_INLINE uint64_t slb_short_ticks(uint64_t index) {
    return SLB_LATENCY_SHORT - 1 - index;
}

struct slb_latency_start {
    _Atomic uint64_t
        period; /* the number of the half minute that began so, + 1; 0 while the counts are copied */
    _Atomic uint64_t short_counts[SLB_LATENCY_SHORT];
    _Atomic uint64_t buckets[SLB_LATENCY_BUCKETS];
};

struct slb_latency {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t samples; /* without the short times, as the next two */
    _Atomic uint64_t weight;                           /* allocations that they stand for */
    _Atomic uint64_t weighted_ticks;
    _Atomic uint64_t looked_at; /* in ticks: when the clock was asked for the half minute; 0: no sample yet */
    struct slb_short_times short_times;            /* samples that stand for one allocation */
    _Atomic uint64_t buckets[SLB_LATENCY_BUCKETS]; /* allocations of all other samples; never fall */
    struct slb_latency_start starts[2];
};

/* Of the whole pool. */
struct slb_latency_limits {
    _Atomic uint64_t limit_ns, limit_ticks; /* max_alloc_latency; 0: none */
    _Atomic uint64_t violations;
    _Atomic uint64_t max;      /* ticks */
    _Atomic uint64_t max_ns;   /* as shown: it must not fall when the length of a tick becomes better known */
    _Atomic uint32_t tracking; /* enum slabby_latency_tracking */
};

#endif
