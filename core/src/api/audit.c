/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading the audit trail, and writing it to a file. */
#include "api/call.h"
#include "observe/audit.h"
#include "observe/audit_rings.h"
#include "observe/events.h"
#include "status.h"

static slabby_status audit_read(struct slabby_allocator *pool, slabby_audit_record *records,
                                uint64_t *out_count, uint64_t *out_lost, uint64_t *cursor,
                                uint64_t capacity) {
    slabby_audit_record record;
    slabby_status status = SLABBY_OK;
    uint64_t at = *cursor, count = 0, lost = 0;
    slb_audit_lock(pool);
    while (count < capacity && slb_audit_next(pool, &at, &lost, &record, &status))
        slb_copy_record(records, count++, &record, sizeof record);
    slb_audit_unlock(pool);
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
    SLB_HOLD_HANDLE(allocator);
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
    SLB_HOLD_HANDLE(allocator);
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
                             slb_shown_name(pool).text);
    if (fd < 0)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, fd, 0, INT32_MAX,
                             "descriptor %d cannot be open", (int)fd);
    uint64_t count = 0;
    slabby_status status = slb_audit_write(pool, &count, cursor, fd, out_error);
    if (out_count != NULL)
        *out_count = count;
    return status;
}
