/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "status.h"

#include "slabby_contract.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

SLB_PRIVATE const char *slb_status_name(slabby_status status) {
    return status <= 0 && status > -SLB_STATUS_COUNT ? slb_statuses[-status].name : "Unknown";
}

SLB_PRIVATE const char *slb_status_message(slabby_status status) {
    return status <= 0 && status > -SLB_STATUS_COUNT ? slb_statuses[-status].message
                                                     : "no status of this library";
}

/* Copies the members of a struct that both sides know, except the caller's struct_size. */
static void copy_behind_size(void *destination, const void *source, uint32_t theirs, uint32_t size) {
    uint32_t common = theirs < size ? theirs : size;
    memcpy((char *)destination + sizeof theirs, (const char *)source + sizeof theirs, common - sizeof theirs);
}

/* Of version 0.1.0. A caller whose struct_size cannot be one has forgotten it, and has at least this struct. */
#define FIRST_ERROR_SIZE 296u

_Static_assert(offsetof(slabby_error, text) + 256 == FIRST_ERROR_SIZE,
               "the first version ends with its text");

static uint32_t error_size(const slabby_error *error) {
    uint32_t theirs;
    memcpy(&theirs, error, sizeof theirs);
    return theirs < 8 ? FIRST_ERROR_SIZE : theirs;
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
    copy_behind_size(error, &full, error_size(error), sizeof full);
    return status;
}

SLB_PRIVATE slabby_status slb_error_refused(slabby_error *error, uint64_t size, const char *what,
                                            const char *remedy) {
    int number = errno;
    const char *name = number == ENOMEM   ? ", ENOMEM"
                       : number == EAGAIN ? ", EAGAIN"
                       : number == EPERM  ? ", EPERM"
                       : number == EINVAL ? ", EINVAL"
                                          : "";
    return slb_error_set(error, SLABBY_NO_SYSTEM_MEMORY, 0, (int64_t)size, 0, 0,
                         "the system refused %" PRIu64 " bytes for %s (errno %d%s); %s", size, what, number,
                         name, remedy);
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
    copy_behind_size(destination, source, theirs, size);
    return SLABBY_OK;
}

SLB_PRIVATE void slb_copy_record(void *array, uint64_t index, const void *source, uint32_t size) {
    uint32_t stride;
    memcpy(&stride, array, sizeof stride);
    char *entry = (char *)array + index * stride;
    memcpy(entry, &stride, sizeof stride);
    (void)slb_copy_out(entry, source, size);
}
