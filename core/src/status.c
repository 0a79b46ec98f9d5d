/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "status.h"

#include "slabby_contract.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

SLB_PRIVATE const char *slb_status_name(slabby_status status) {
    return status <= 0 && status > -SLB_STATUS_COUNT ? slb_statuses[-status].name : "Unknown";
}

SLB_PRIVATE const char *slb_status_message(slabby_status status) {
    return status <= 0 && status > -SLB_STATUS_COUNT ? slb_statuses[-status].message
                                                     : "no status of this library";
}

SLB_PRIVATE slabby_status slb_error_set(slabby_error *error, slabby_status status, int32_t option,
                                        int64_t value, int64_t minimum, int64_t maximum, const char *format,
                                        ...) {
    slabby_error full = {
        .status = status, .option = option, .value = value, .minimum = minimum, .maximum = maximum};
    va_list arguments;
    if (error == NULL)
        return status;
    va_start(arguments, format);
    (void)vsnprintf(full.text, sizeof full.text, format, arguments);
    va_end(arguments);
    (void)slb_copy_out(error, &full, sizeof full);
    return status;
}

SLB_PRIVATE void slb_text_add(struct slb_text *text, const char *format, ...) {
    va_list arguments;
    uint64_t space = text->length < text->capacity ? text->capacity - text->length : 0;
    va_start(arguments, format);
    int added = vsnprintf(space > 0 ? text->buffer + text->length : NULL, space, format, arguments);
    va_end(arguments);
    if (added > 0)
        text->length += (uint64_t)added;
}

SLB_PRIVATE slabby_status slb_text_end(const struct slb_text *text, uint64_t *out_length) {
    if (text->length == 0 && text->capacity > 0)
        text->buffer[0] = '\0';
    if (out_length != NULL)
        *out_length = text->length;
    return text->length < text->capacity ? SLABBY_OK : SLABBY_BUFFER_TOO_SMALL;
}

SLB_PRIVATE slabby_status slb_copy_out(void *destination, const void *source, uint32_t size) {
    uint32_t theirs;
    memcpy(&theirs, destination, sizeof theirs);
    if (theirs < 8)
        return SLABBY_ABI_MISMATCH;
    uint32_t common = theirs < size ? theirs : size;
    memcpy((char *)destination + sizeof theirs, (const char *)source + sizeof theirs, common - sizeof theirs);
    return SLABBY_OK;
}

SLB_PRIVATE void slb_copy_record(void *array, uint64_t index, const void *source, uint32_t size) {
    uint32_t stride;
    memcpy(&stride, array, sizeof stride);
    char *entry = (char *)array + index * stride;
    memcpy(entry, &stride, sizeof stride);
    (void)slb_copy_out(entry, source, size);
}
