/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/audit.h"

#include "observe/audit_record.h"
#include "os/os.h"
#include "ref.h"
#include "tiers/hold.h"
#include "tiers/in_flight.h"

#ifndef SLB_AMALGAMATION
SLB_THREAD_LOCAL struct slb_recorder slb_recorder;
#endif

SLB_PRIVATE void slb_audit_set_binding(int32_t binding) {
    slb_recorder.binding = binding + 1;
}

SLB_PRIVATE int32_t slb_audit_binding(int32_t otherwise) {
    return slb_recorder.binding == 0 ? otherwise : slb_recorder.binding - 1;
}

SLB_PRIVATE void slb_audit_forget_thread(void) {
    slb_recorder.thread = 0;
}

SLB_PRIVATE uint64_t slb_record_time(struct slb_recorder *own, uint64_t coarse_ns) {
    uint64_t now = slb_os_now_ns();
    own->left =
        now - own->read_ns < (uint64_t)own->run * SLB_RECORDS_DENSE_NS ? SLB_RECORDS_A_READING - 1 : 0;
    own->run = own->left + 1;
    own->read_ns = now;
    own->coarse_ns = coarse_ns;
    return now > own->key ? now : own->key + 1;
}

SLB_PRIVATE SLB_COLD void slb_record_left_out(struct slabby_allocator *pool) {
    slb_count(&pool->degrade.left_out, 1);
}

SLB_PRIVATE void slb_audit_hand_over(struct slabby_allocator *pool, int32_t operation, uint32_t id,
                                     uint64_t ref, slabby_status status) {
    slb_record_hand_over(pool, operation, id, ref, status);
}

/* The record of an operation on the whole pool comes after every record that was written before it, and before every
 * later record. */
static void record_of_pool(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                           slabby_status status) {
    struct slb_recorder *own = &slb_recorder;
    uint64_t now = slb_os_now_ns(), newest = slb_audit_newest(pool);
    newest = newest < own->key ? own->key : newest;
    uint64_t key = slb_record_put(pool, own, newest < now ? now : newest + 1, operation, ref, status);
    slb_audit_raise(&pool->audit.merged->floor, key);
}

static bool is_about_a_slab(int32_t operation) {
    return operation >= SLABBY_AUDIT_OPERATION_ALLOCATE && operation <= SLABBY_AUDIT_OPERATION_ACCESS;
}

static bool find_slab(struct slabby_allocator *pool, int32_t operation, uint64_t ref, uint32_t *out_id) {
    uint64_t generation;
    if (operation != SLABBY_AUDIT_OPERATION_ALLOCATE_FAST &&
        operation != SLABBY_AUDIT_OPERATION_DEALLOCATE_FAST)
        return slb_ref_split(pool, ref, &generation, out_id);
    *out_id = (uint32_t)ref;
    return ref < atomic_load_explicit(&pool->id_limit, memory_order_acquire);
}

/* Another thread may have the slab in hand, so its key is only raised. That thread may overwrite the raised key; this
 * operation and its hand-over then happen at the same time. */
static void record_of_slab(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                           slabby_status status) {
    struct slb_recorder *own = &slb_recorder;
    uint32_t id;
    if (slb_record_is_left_out(pool, ref, status)) {
        slb_record_left_out(pool);
        return;
    }
    uint64_t key = slb_record_next_key(own), last = 0;
    bool found = find_slab(pool, operation, ref, &id);
    if (found)
        last = atomic_load_explicit(&pool->audit.keys[id], memory_order_relaxed);
    key = slb_record_put(pool, own, last < key ? key : last + 1, operation, ref, status);
    if (found)
        slb_audit_raise(&pool->audit.keys[id], key);
}

SLB_PRIVATE SLB_COLD void slb_audit_record(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                                           slabby_status status) {
    SLB_HOLD(pool);
    if (!slb_pool_exists(pool))
        return;
    if (is_about_a_slab(operation))
        record_of_slab(pool, operation, ref, status);
    else
        record_of_pool(pool, operation, ref, status);
}

/* ------------------------------------------------------------------------------------------------ reading */

SLB_PRIVATE bool slb_audit_next(struct slabby_allocator *pool, uint64_t *cursor, uint64_t *lost,
                                slabby_audit_record *out, slabby_status *out_status) {
    struct slb_audit_entry entry;
    enum slb_audit_found found = slb_audit_fetch(pool, cursor, lost, &entry);
    *out_status = found == SLB_AUDIT_BAD_CURSOR ? SLABBY_INVALID_ARGUMENT : SLABBY_OK;
    if (found != SLB_AUDIT_RECORD)
        return false;
    *out = (slabby_audit_record){.sequence = entry.sequence - 1,
                                 .time_ns = entry.time_ns,
                                 .thread = entry.about >> SLB_AUDIT_THREAD_AT,
                                 .ref = entry.ref,
                                 .operation = (int32_t)(entry.about & 0xff),
                                 .binding = (int32_t)(entry.about >> SLB_AUDIT_BINDING_AT & 0xff),
                                 .status = -(slabby_status)(entry.about >> SLB_AUDIT_STATUS_AT & 0xff)};
    return true;
}
