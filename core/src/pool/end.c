/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a pool ends: close, destroy and abandon, and the work that these leave to later calls. */
#include "pool/lifecycle.h"

#include "observe/audit.h"
#include "observe/counters.h"
#include "observe/events.h"
#include "observe/leaks.h"
#include "os/os.h"
#include "pool/quiesce.h"
#include "protect/slab_pages.h"
#include "protect/switches.h"
#include "protect/tools.h"
#include "ref.h"
#include "resilience/fork.h"
#include "resilience/resize.h"
#include "resilience/ticker.h"
#include "resilience/waiters.h"
#include "tiers/cpu_cache.h"
#include "tiers/gate.h"
#include "tiers/hold.h"
#include "tiers/in_flight.h"
#include "tiers/used_slabs.h"

/* The highest reference that this pool can have issued, for the next pool under the tag to start above. */
static void remember_spent(struct slabby_allocator *pool) {
    uint64_t highest = 0;
    bool used = false;
    uint32_t limit = atomic_load(&pool->id_limit);
    for (uint32_t id = slb_next_used(pool, 0); id < limit; id = slb_next_used(pool, id + 1)) {
        uint64_t generation =
            slb_word_generation(pool->id_bits, atomic_load_explicit(&pool->words[id], memory_order_relaxed));
        highest = generation > highest ? generation : highest;
        used = true;
    }
    uint64_t first = pool->ref_bias & ((1ull << SLB_REF_TAG_SHIFT) - 1);
    if (used)
        pool->tag_spent = first + ((highest << pool->id_bits) | pool->id_mask);
}

/* After the fence no sequence or section that saw a limit above 0 still runs, and each later one ends before it follows
 * a pointer of the pool. seq_cst: before the fence.
 *
 * A signal handler may give back the last slab while its own thread is in a section, and it cannot wait for that
 * section. Then the pool keeps its bookkeeping, by a hold that does not end. */
static void forbid_sequences(struct slabby_allocator *pool) {
    atomic_store(&pool->hot_cpus, 0);
    slb_word_sequences_forbid(pool);
    atomic_store(&pool->portable_cpus, 0);
    atomic_store(&pool->single_cpus, 0); /* since the close already */
    if (slb_rseq_available())
        slb_os_fence_rseq();
    if (pool->backend != SLABBY_CPU_CACHE_BACKEND_PORTABLE)
        return;
    if (slb_unlikely(slb_in_section()))
        (void)slb_hold_begin(pool);
    else
        slb_cache_fence(pool);
}

/* Unmaps the slabs at once. The bookkeeping is unmapped when the last call that holds it ends (tiers/hold.h). Needs the
 * gate lock and no live slab. */
static void tear_down(struct slabby_allocator *pool) {
    remember_spent(pool);
    atomic_store_explicit(&pool->phase, SLB_PHASE_NONE, memory_order_seq_cst);
    forbid_sequences(pool);
    slb_tools_end(pool);
    slb_os_unmap(pool->slab_mapping, pool->slab_mapping_size);
    slb_os_return_guards(pool->claimed_guards);
    /* seq_cst, before the check of the holds: pairs with slb_hold_end */
    atomic_fetch_add_explicit(&pool->remains, SLB_REMAINS_UNUSED - SLB_REMAINS_USED, memory_order_seq_cst);
    slb_pool_unmap_remains(pool);
}

static void drain_closed(struct slabby_allocator *pool) {
    uint32_t open = SLB_PHASE_OPEN;
    if (atomic_compare_exchange_strong(&pool->phase, &open, SLB_PHASE_DRAINED))
        (void)slb_discard_slab_pages(pool, 0, pool->slab_range);
}

/* The pool is closed. Idle before the count: each allocation that did not see the close is counted. Idle after the
 * count: the thread that gave the last slab back has left too, and touches nothing of the pool any more. */
static bool nothing_is_held(struct slabby_allocator *pool) {
    return slb_is_idle(pool) && slb_count_live(pool) == 0 && slb_is_idle(pool);
}

static void wait_until_idle(struct slabby_allocator *pool) {
    for (uint32_t attempt = 0; !slb_is_idle(pool); attempt++)
        slb_os_wait_a_little(attempt);
}

/* One thread at a time runs deferred work. A second one sets the pending flag and returns: the holder of the lock reads
 * the flag before and after it unlocks. */
static void finish_all(struct slabby_allocator *pool) {
    atomic_store_explicit(&pool->gate.deferred_pending, 1, memory_order_seq_cst);
    while (atomic_load_explicit(&pool->gate.deferred_pending, memory_order_seq_cst) != 0) {
        if (!slb_gate_try_lock(pool))
            return;
        atomic_store_explicit(&pool->gate.deferred_pending, 0, memory_order_seq_cst);
        uint32_t gate = atomic_load(&pool->gate.reasons);
        bool forked = (gate & SLB_GATE_FORKED) != 0; /* lists and waiters are the parent's still */
        bool closed = (gate & SLB_GATE_CLOSED) != 0 && !forked && slb_pool_exists(pool);
        if (((gate & SLB_GATE_SHRINKING) != 0 || slb_resize_replaces(pool)) && !forked && !closed &&
            slb_pool_exists(pool))
            slb_resize_run_deferred(pool);
        if (pool->first_waiter != NULL && closed)
            slb_waiters_dismiss(pool);
        else if (pool->first_waiter != NULL && !forked)
            slb_waiters_serve(pool);
        if (closed && pool->first_waiter == NULL && nothing_is_held(pool)) {
            drain_closed(pool);
            if (pool->owners == 0)
                tear_down(pool);
        }
        slb_gate_release_lock(pool);
    }
}

SLB_PRIVATE void slb_pool_run_deferred(struct slabby_allocator *pool) {
    SLB_HOLD(pool);
    if (!slb_pool_exists(pool))
        return;
    uint64_t mark = slb_events_mark(pool);
    finish_all(pool);
    slb_events_deliver(pool, mark);
}

SLB_PRIVATE slabby_status slb_pool_retain(struct slabby_allocator *pool) {
    slb_gate_lock(pool);
    slabby_status status =
        slb_pool_exists(pool) && pool->owners > 0 ? SLABBY_OK : slb_pool_closed_status(pool);
    if (status == SLABBY_OK)
        pool->owners++;
    slb_gate_unlock(pool);
    return status;
}

/* Needs the lock. The caller sends the notification after it has unlocked; the notification is empty if the pool was
 * closed before. */
static void stop_allocations(struct slabby_allocator *pool, struct slb_notification *out) {
    if ((atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_CLOSED) == 0)
        slb_event_closed(out, pool, slb_count_live(pool));
    slb_gate_close(pool, SLB_GATE_CLOSED);
    slb_waiters_dismiss(pool);
    slb_listeners_close(pool);
}

SLB_PRIVATE slabby_status slb_pool_close(struct slabby_allocator *pool) {
    struct slb_notification notification;
    slb_notification_none(&notification);
    slb_fork_check(pool);
    slb_gate_lock(pool);
    bool exists = slb_pool_exists(pool);
    bool first =
        exists && (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_CLOSED) == 0;
    if (exists)
        stop_allocations(pool, &notification);
    slb_gate_unlock(pool);
    if (first)
        slb_ticker_forget(pool);
    slb_event_notify(&notification);
    if (first)
        slb_leaks_at_end(pool, SLB_ENDING_CLOSED);
    if (exists)
        slb_pool_run_deferred(pool);
    return exists || pool->words != NULL ? SLABBY_OK : SLABBY_INVALID_ARGUMENT;
}

/* Under maintenance no thread allocates; the slab of an unfinished release counts as live. */
static slabby_status destroy_last(struct slabby_allocator *pool) {
    struct slb_notification notification;
    slb_notification_none(&notification);
    if (!slb_maintenance_begin(pool))
        return SLABBY_BUSY;
    slabby_status status = SLABBY_OK;
    if (!slb_pool_exists(pool) || pool->owners == 0)
        status = slb_pool_closed_status(pool);
    else if (pool->owners == 1 && (slb_count_live(pool) != 0 || pool->first_waiter != NULL))
        status = slb_audited(pool, SLABBY_AUDIT_OPERATION_DESTROY, 0, SLABBY_IN_USE);
    else if (--pool->owners == 0) {
        stop_allocations(pool, &notification);
        wait_until_idle(pool); /* releases go on: the thread that gave the last slab back must have left */
        tear_down(pool);
    }
    slb_maintenance_end(pool);
    if (status == SLABBY_OK)
        slb_ticker_forget(pool);
    slb_event_notify(&notification);
    if (status == SLABBY_IN_USE)
        slb_leaks_at_end(pool, SLB_ENDING_REFUSED);
    return status;
}

SLB_PRIVATE slabby_status slb_pool_destroy(struct slabby_allocator *pool) {
    slb_fork_check(pool);
    slb_gate_lock(pool);
    bool exists = slb_pool_exists(pool);
    bool shared = exists && pool->owners > 1;
    if (shared) {
        pool->owners--;
        (void)slb_audited(pool, SLABBY_AUDIT_OPERATION_DESTROY, 0, SLABBY_OK);
    }
    slb_gate_unlock(pool);
    if (shared)
        return SLABBY_OK;
    return exists ? destroy_last(pool) : slb_pool_closed_status(pool);
}

/* Whether the caller, who owns a share, has the only one. */
static bool is_last_owner(struct slabby_allocator *pool) {
    slb_gate_lock(pool);
    bool last = slb_pool_exists(pool) && pool->owners == 1;
    slb_gate_unlock(pool);
    return last;
}

SLB_PRIVATE slabby_status slb_pool_abandon(struct slabby_allocator *pool) {
    struct slb_notification notification;
    slb_notification_none(&notification);
    slb_fork_check(pool);
    if (is_last_owner(pool))
        slb_leaks_at_end(pool, SLB_ENDING_ABANDONED);
    slb_gate_lock(pool);
    slabby_status status =
        slb_pool_exists(pool) && pool->owners > 0 ? SLABBY_OK : slb_pool_closed_status(pool);
    if (status == SLABBY_OK && --pool->owners == 0)
        stop_allocations(pool, &notification);
    if (status == SLABBY_OK)
        (void)slb_audited(pool, SLABBY_AUDIT_OPERATION_ABANDON, 0, status);
    bool last = status == SLABBY_OK && pool->owners == 0;
    slb_gate_unlock(pool);
    if (last)
        slb_ticker_forget(pool);
    slb_event_notify(&notification);
    if (status == SLABBY_OK && (atomic_load(&pool->gate.reasons) & SLB_GATE_CLOSED))
        slb_pool_run_deferred(pool);
    return status;
}
