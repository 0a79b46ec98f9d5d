/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/audit.h"

#include "observe/ring.h"
#include "os/os.h"
#include "tiers/hold.h"
#include "tiers/in_flight.h"

/* The language of this thread's calls + 1; 0: it did not say. initial-exec as in tiers/in_flight.h: a signal handler
 * may allocate. */
static SLB_THREAD_LOCAL int32_t thread_binding;

SLB_PRIVATE void slb_audit_set_binding(int32_t binding) {
    thread_binding = binding + 1;
}

SLB_PRIVATE int32_t slb_audit_binding(int32_t otherwise) {
    return thread_binding == 0 ? otherwise : thread_binding - 1;
}

/* What a degraded pool may leave out. */
static bool is_about_a_slab(int32_t operation) {
    return operation >= SLABBY_AUDIT_OPERATION_ALLOCATE && operation <= SLABBY_AUDIT_OPERATION_ACCESS;
}

SLB_PRIVATE SLB_COLD void slb_audit_record(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                                           slabby_status status) {
    if (!slb_pool_exists(pool))
        return;
    if (slb_degrade_thins(&pool->degrade, ref & pool->id_mask) && status == SLABBY_OK &&
        is_about_a_slab(operation)) {
        slb_count(&pool->degrade.left_out, 1);
        return;
    }
    uint64_t words[SLB_AUDIT_WORDS] = {slb_os_wall_by_ticks(), slb_os_thread(), ref,
                                       (uint64_t)(uint32_t)status << 32 |
                                           (uint64_t)slb_audit_binding(pool->binding) << 16 |
                                           (uint64_t)operation};
    (void)slb_ring_write(&pool->audit, words);
}

SLB_PRIVATE SLB_COLD void slb_audit_record_held(struct slabby_allocator *pool, int32_t operation,
                                                uint64_t ref, slabby_status status) {
    SLB_HOLD(pool);
    slb_audit_record(pool, operation, ref, status);
}

SLB_PRIVATE bool slb_audit_next(struct slabby_allocator *pool, uint64_t *cursor, uint64_t *lost,
                                slabby_audit_record *out, slabby_status *out_status) {
    uint64_t words[SLB_AUDIT_WORDS];
    enum slb_ring_found found = slb_ring_read(&pool->audit, cursor, lost, words);
    *out_status = found == SLB_RING_BAD_CURSOR ? SLABBY_INVALID_ARGUMENT : SLABBY_OK;
    if (found != SLB_RING_RECORD)
        return false;
    *out = (slabby_audit_record){.sequence = *cursor - 1,
                                 .time_ns = words[0],
                                 .thread = words[1],
                                 .ref = words[2],
                                 .operation = (int32_t)(words[3] & 0xffff),
                                 .binding = (int32_t)(words[3] >> 16 & 0xffff),
                                 .status = (slabby_status)(uint32_t)(words[3] >> 32)};
    return true;
}
