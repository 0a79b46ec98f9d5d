/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reports of errors: the details of an error in a cold call, and text in a caller's buffer. */
#ifndef SLB_STATUS_H
#define SLB_STATUS_H

#include "base.h"

#include <slabby/slabby.h>

SLB_PRIVATE const char *slb_status_name(slabby_status status);
SLB_PRIVATE const char *slb_status_message(slabby_status status);

/* Fills a caller's slabby_error (which may be null) and answers its status. The text is cut at 255 bytes. */
SLB_PRIVATE slabby_status slb_error_set(slabby_error *error, slabby_status status, int32_t option,
                                        int64_t value, int64_t minimum, int64_t maximum, const char *format,
                                        ...) SLB_PRINTF(7, 8);

/* A caller's number as slabby_error can say it. */
SLB_INLINE int64_t slb_error_value(uint64_t value) {
    return value < INT64_MAX ? (int64_t)value : INT64_MAX;
}

/* Reports NoSystemMemory, directly after the system has refused `size` bytes: errno is the reason. The text says what
 * the memory was for (`what`), and what to change (`remedy`). */
SLB_PRIVATE slabby_status slb_error_refused(slabby_error *error, uint64_t size, const char *what,
                                            const char *remedy);

/* Text on its way into a (buffer, capacity, out_length) triple: counts everything, stores what fits. */
struct slb_text {
    char *buffer;
    uint64_t capacity;
    uint64_t length;
};

SLB_PRIVATE void slb_text_add(struct slb_text *text, const char *format, ...) SLB_PRINTF(2, 3);
/* Bytes that the buffer, which has space, holds before its end. */
SLB_INLINE uint64_t slb_text_stored(const struct slb_text *text) {
    return text->length < text->capacity ? text->length : text->capacity - 1;
}

SLB_PRIVATE slabby_status slb_text_end(const struct slb_text *text, uint64_t *out_length);

/* Copies a snapshot out: min(ours, the caller's struct_size) bytes; the caller's struct_size stays. */
SLB_PRIVATE slabby_status slb_copy_out(void *destination, const void *source, uint32_t size);

/* The same into element `index` of an array of records, whose stride is the struct_size of the first. */
SLB_PRIVATE void slb_copy_record(void *array, uint64_t index, const void *source, uint32_t size);

#endif
