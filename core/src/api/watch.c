/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Notification of the events of every pool as they happen. */
#include "observe/event_watch.h"
#include "status.h"

#include <errno.h>

SLB_PUBLIC slabby_status slabby_watch_begin(int32_t *out_descriptor, slabby_error *out_error) {
    if (out_descriptor == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0,
                             "the place for the descriptor is null");
    int descriptor = slb_watch_begin();
    if (descriptor == -EBUSY)
        return slb_error_set(out_error, SLABBY_BUSY, 0, SLB_WATCHERS + 1, 0, SLB_WATCHERS,
                             "%u descriptors watch the events of this process already; end one first",
                             SLB_WATCHERS);
    if (descriptor < 0)
        return slb_error_set(
            out_error, SLABBY_NO_SYSTEM_MEMORY, 0, -descriptor, 0, 0,
            "the system refused a descriptor (errno %d); close some, or raise the limit (RLIMIT_NOFILE)",
            -descriptor);
    *out_descriptor = descriptor;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_watch_read(slabby_event *out_watched, uint64_t *out_count, uint64_t *out_lost,
                                           uint64_t *cursor, uint64_t capacity) {
    slabby_event event;
    uint64_t count = 0, lost = 0;
    if (out_count == NULL || cursor == NULL || (out_watched == NULL && capacity > 0))
        return SLABBY_INVALID_ARGUMENT;
    if (capacity > 0 && out_watched[0].struct_size < 8)
        return SLABBY_ABI_MISMATCH;
    uint64_t at = *cursor == UINT64_MAX ? slb_watch_next() : *cursor;
    while (count < capacity) {
        enum slb_ring_found found = slb_watch_read(&at, &lost, &event);
        if (found == SLB_RING_BAD_CURSOR)
            return SLABBY_INVALID_ARGUMENT;
        if (found == SLB_RING_END)
            break;
        slb_copy_record(out_watched, count++, &event, sizeof event);
    }
    *out_count = count;
    *cursor = at;
    if (out_lost != NULL)
        *out_lost = lost;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_watch_clear(int32_t descriptor) {
    return slb_watch_clear(descriptor) ? SLABBY_OK : SLABBY_INVALID_ARGUMENT;
}

SLB_PUBLIC slabby_status slabby_watch_end(int32_t descriptor) {
    return slb_watch_end(descriptor) ? SLABBY_OK : SLABBY_INVALID_ARGUMENT;
}
