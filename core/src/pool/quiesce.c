/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/quiesce.h"

#include "observe/counters.h"
#include "os/os.h"
#include "resilience/fork.h"
#include "resilience/grants.h"
#include "tiers/gate.h"
#include "tiers/in_flight.h"
#include "tiers/used_slabs.h"

SLB_PRIVATE bool slb_maintenance_begin(struct slabby_allocator *pool) {
    if (slb_in_flight())
        return false;
    slb_fork_check(pool);
    slb_gate_lock(pool);
    slb_gate_close(pool, SLB_GATE_RESETTING);
    for (uint32_t attempt = 0; !slb_is_idle(pool); attempt++)
        slb_os_wait_a_little(attempt);
    return true;
}

SLB_PRIVATE void slb_maintenance_end(struct slabby_allocator *pool) {
    slb_gate_open(pool, SLB_GATE_RESETTING);
    slb_gate_unlock(pool);
}

static uint64_t count_words_out(struct slabby_allocator *pool) {
    uint64_t out = 0;
    uint32_t limit = atomic_load_explicit(&pool->id_limit, memory_order_acquire);
    for (uint32_t id = slb_next_used(pool, 0); id < limit; id = slb_next_used(pool, id + 1))
        out += slb_word_is_out(atomic_load_explicit(&pool->words[id], memory_order_seq_cst));
    return out;
}

/* Attempts of slb_os_wait_a_little that sleep begin here. */
#define SLEEPS_FROM 4096u

/*
 * On a busy machine one yield takes as long as all other threads want the CPU, and a sleep until one of them stops.
 * Then thousands take minutes, for which the pool is closed. So yields end after some time, and sleeps after twice the
 * time that they take on a machine with nothing else to do. A few attempts are made whatever the clock says: this
 * thread may itself have had no CPU.
 */
#define MOST_YIELDING_NS 10000000u
#define SLEEPING_NS 100000u
#define LEAST_ATTEMPTS 40u

static uint32_t past_yields(uint32_t attempt, uint64_t waited_ns) {
    if (attempt >= LEAST_ATTEMPTS && attempt < SLEEPS_FROM && waited_ns > MOST_YIELDING_NS)
        return SLEEPS_FROM;
    return attempt;
}

static bool is_late(uint32_t attempt, uint32_t attempts, uint64_t waited_ns) {
    return attempt >= SLEEPS_FROM &&
           waited_ns > MOST_YIELDING_NS + (uint64_t)(attempts - SLEEPS_FROM) * SLEEPING_NS;
}

SLB_PRIVATE bool slb_maintenance_is_quiescent(struct slabby_allocator *pool, uint32_t attempts) {
    uint64_t before = UINT64_MAX, since_ns = slb_os_coarse_ns();
    uint64_t granted = slb_grants_visit(pool, NULL, NULL); /* counted, and free until they are taken */
    for (uint32_t attempt = 0; attempt < attempts; attempt++) {
        uint64_t live = slb_count_live(pool); /* before the words, see quiesce.h */
        uint64_t out = count_words_out(pool);
        out += granted;
        if (out == live)
            return true;
        if (live - out != before && attempts > 1) {
            attempt = 0;
            since_ns = slb_os_coarse_ns();
        }
        before = live - out;
        uint64_t waited_ns = slb_os_coarse_ns() - since_ns;
        attempt = past_yields(attempt, waited_ns);
        if (is_late(attempt, attempts, waited_ns))
            return false;
        slb_os_wait_a_little(attempt);
    }
    return false;
}

/* The number of sleeps in the first wait, doubled for each later wait; and the number of sleeps while the gate is open
 * in between. */
#define FIRST_SLEEPS 128u
#define OPEN_SLEEPS 20u

SLB_PRIVATE bool slb_maintenance_quiesce(struct slabby_allocator *pool, uint32_t attempts) {
    for (uint32_t sleeps = FIRST_SLEEPS;; sleeps *= 2) {
        bool last = attempts <= SLEEPS_FROM + sleeps;
        if (slb_maintenance_is_quiescent(pool, last ? attempts : SLEEPS_FROM + sleeps))
            return true;
        if (last)
            return false;
        attempts -= sleeps;
        slb_maintenance_end(pool);
        for (uint32_t i = 0; i < OPEN_SLEEPS; i++)
            slb_os_wait_a_little(SLEEPS_FROM);
        (void)slb_maintenance_begin(pool); /* this thread is in no handler, or it would not have got here */
        if (!slb_pool_exists(pool))
            return false;
    }
}
