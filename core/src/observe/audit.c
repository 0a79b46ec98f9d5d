/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/audit.h"

#include "os/os.h"
#include "resilience/degrade.h"
#include "tiers/in_flight.h"

/* The language of this thread's calls + 1; 0: it did not say. initial-exec as in tiers/in_flight.h: a signal handler
 * may allocate. */
static __thread int32_t thread_binding __attribute__((tls_model("initial-exec")));

SLB_PUBLIC slabby_status slabby_set_binding(int32_t binding) {
    if (binding < -1 || binding > SLABBY_BINDING_GO)
        return SLABBY_INVALID_ARGUMENT;
    thread_binding = binding + 1;
    return SLABBY_OK;
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
    if (slb_degrade_thins(pool, ref & pool->id_mask) && status == SLABBY_OK && is_about_a_slab(operation)) {
        slb_count(&pool->degrade.left_out, 1);
        return;
    }
    uint64_t words[SLB_AUDIT_WORDS] = {slb_os_wall_ns(), slb_os_thread(), ref,
                                       (uint64_t)(uint32_t)status << 32 |
                                           (uint64_t)slb_audit_binding(pool->binding) << 16 |
                                           (uint64_t)operation};
    (void)slb_ring_write(&pool->audit, words);
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

static slabby_status audit_read(struct slabby_allocator *pool, slabby_audit_record *records,
                                uint64_t *out_count, uint64_t *out_lost, uint64_t *cursor,
                                uint64_t capacity) {
    slabby_audit_record record;
    slabby_status status = SLABBY_OK;
    uint64_t at = *cursor, count = 0, lost = 0;
    while (count < capacity && slb_audit_next(pool, &at, &lost, &record, &status))
        slb_copy_record(records, count++, &record, sizeof record);
    if (status != SLABBY_OK)
        return status;
    *out_count = count;
    *cursor = at;
    if (out_lost != NULL)
        *out_lost = lost;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_audit_read(slabby_audit_record *out_records, uint64_t *out_count,
                                           uint64_t *out_lost, uint64_t *cursor, slabby_allocator *allocator,
                                           uint64_t capacity) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_count == NULL || cursor == NULL || (out_records == NULL && capacity > 0))
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    if (capacity > 0 && out_records[0].struct_size < 8)
        return SLABBY_ABI_MISMATCH;
    if (pool->audit.size == 0)
        return SLABBY_NOT_SUPPORTED;
    return audit_read(pool, out_records, out_count, out_lost, cursor, capacity);
}

SLB_PUBLIC slabby_status slabby_audit_write(uint64_t *out_count, uint64_t *cursor,
                                            slabby_allocator *allocator, int32_t fd,
                                            slabby_error *out_error) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || cursor == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0, "%s",
                             pool == NULL ? "the handle is none of a pool" : "the cursor is null");
    if (!slb_pool_exists(pool))
        return slb_error_set(out_error, slb_pool_closed_status(pool), 0, 0, 0, 0,
                             "no open pool has this handle");
    if (pool->audit.size == 0)
        return slb_error_set(out_error, SLABBY_NOT_SUPPORTED, SLABBY_OPTION_AUDIT, 0, 1, 16777216,
                             "pool \"%s\" keeps no audit trail; make it with option audit = the number of "
                             "records to keep",
                             pool->options.name);
    if (fd < 0)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, fd, 0, INT32_MAX,
                             "descriptor %d cannot be open", (int)fd);
    uint64_t count = 0;
    slabby_status status = slb_audit_write(pool, &count, cursor, fd, out_error);
    if (out_count != NULL)
        *out_count = count;
    return status;
}
