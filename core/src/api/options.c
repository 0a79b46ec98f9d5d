/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options: the object that create takes, and those that change in a running pool. */
#include "api/option_values.h"

#include "api/call.h"
#include "observe/events.h"
#include "option_text.h"
#include "pool/hot_options.h"
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slabby_options {
    struct slb_options values;
};

SLB_PRIVATE const struct slb_options *slb_options_of(const slabby_options *options) {
    return &options->values;
}

SLB_PUBLIC slabby_status slabby_options_create(slabby_options **out_options) {
    if (out_options == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_options *options = malloc(sizeof *options);
    if (options == NULL)
        return SLABBY_NO_SYSTEM_MEMORY;
    slb_options_init(&options->values);
    *out_options = options;
    return SLABBY_OK;
}

SLB_PUBLIC void slabby_options_destroy(slabby_options *options) {
    free(options);
}

SLB_PUBLIC slabby_status slabby_options_set(slabby_options *options, int32_t option, int64_t value,
                                            slabby_error *out_error) {
    if (options == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, option, value, 0, 0, "the options are null");
    return slb_option_set(&options->values, option, value, out_error);
}

static slabby_status set_name(struct slb_options *options, int32_t id, const char *text,
                              slabby_error *error) {
    size_t length = strlen(text);
    if (length >= SLB_NAME_BYTES)
        return slb_error_set(error, SLABBY_INVALID_OPTION, id, (int64_t)length, 0, SLB_NAME_BYTES - 1,
                             "the name has %zu bytes; at most %d are allowed", length, SLB_NAME_BYTES - 1);
    memcpy(options->name, text, length + 1);
    options->set |= 1ull << (id - 1);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_options_set_text(slabby_options *options, const char *name, const char *text,
                                                 slabby_error *out_error) {
    if (options == NULL || name == NULL || text == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0, "options, name or text is null");
    int32_t id;
    int64_t value;
    slabby_status status = slb_option_find(name, &id, out_error);
    if (status == SLABBY_OK && slb_option_info(id)->kind == SLB_KIND_TEXT)
        return set_name(&options->values, id, text, out_error);
    if (status == SLABBY_OK)
        status = slb_option_parse(id, text, &value, out_error);
    return status == SLABBY_OK ? slb_option_set(&options->values, id, value, out_error) : status;
}

static slabby_status no_preset(const char *name, slabby_error *error) {
    char names[160] = "";
    size_t length = 0;
    for (size_t i = 0; i < SLB_PRESET_COUNT; i++) {
        const char *between = i == 0 ? "" : i + 1 < SLB_PRESET_COUNT ? ", " : " or ";
        length +=
            (size_t)snprintf(&names[length], sizeof names - length, "%s%s", between, slb_presets[i].name);
        if (length >= sizeof names)
            break;
    }
    return slb_error_set(error, SLABBY_INVALID_OPTION, 0, 0, 0, 0,
                         "there is no preset named \"%.40s\"; choose %s", name, names);
}

SLB_PUBLIC slabby_status slabby_options_preset(slabby_options *options, const char *name,
                                               slabby_error *out_error) {
    if (options == NULL || name == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0, "options or name is null");
    for (size_t i = 0; i < SLB_PRESET_COUNT; i++) {
        if (strcmp(name, slb_presets[i].name) != 0)
            continue;
        const struct slb_preset_value *value = slb_presets[i].values;
        if (value->option == 0)
            slb_options_init(&options->values);
        for (; value->option != 0; value++) {
            options->values.value[value->option - 1] = value->value;
            options->values.set |= 1ull << (value->option - 1);
            options->values.preset |= 1ull << (value->option - 1);
        }
        return SLABBY_OK;
    }
    return no_preset(name, out_error);
}

SLB_PUBLIC slabby_status slabby_options_set_logger(slabby_options *options, slabby_log_function function,
                                                   void *context, slabby_error *out_error) {
    if (options == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0, "the options are null");
    options->values.logger = function;
    options->values.logger_context = context;
    return SLABBY_OK;
}

/* ------------------------------------------------------------------------------------- of a running pool */

SLB_PUBLIC slabby_status slabby_set_option(slabby_allocator *allocator, int32_t option, int64_t value,
                                           slabby_error *out_error) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL)
        return slb_error_set(out_error, status, option, value, 0, 0, "no open pool has this handle");
    int64_t before = slb_option_info(option) == NULL ? 0 : slb_option_effective(pool, option);
    status = slb_option_change(pool, option, value, out_error);
    if (status == SLABBY_OK)
        slb_event(pool, SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_CODE_OPTION_CHANGED, 0, value,
                  "option %s of pool \"%s\" was set to %" PRId64 ", was %" PRId64,
                  slb_option_info(option)->name, slb_shown_name(pool).text, value, before);
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_OPTION_CHANGE, (uint32_t)option, status);
}

SLB_PUBLIC slabby_status slabby_get_option(int64_t *out_value, slabby_allocator *allocator, int32_t option) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    const struct slb_option_info *info = slb_option_info(option);
    if (pool == NULL || out_value == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    if (info == NULL)
        return slb_refuse(pool, SLABBY_INVALID_OPTION);
    if (info->kind == SLB_KIND_TEXT)
        return SLABBY_INVALID_ARGUMENT;
    *out_value = slb_option_effective(pool, option);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_get_option_text(char *buffer, uint64_t capacity, uint64_t *out_length,
                                                slabby_allocator *allocator, const char *name) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    int32_t id;
    if (pool == NULL || name == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    if (slb_option_find(name, &id, NULL) != SLABBY_OK)
        return slb_refuse(pool, SLABBY_INVALID_OPTION);
    if (slb_option_info(id)->kind == SLB_KIND_TEXT)
        slb_text_add(&text, "%s", pool->options.name);
    else
        slb_option_format(&text, id, slb_option_effective(pool, id));
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_set_option_text(slabby_allocator *allocator, const char *name,
                                                const char *text, slabby_error *out_error) {
    if (allocator == NULL || name == NULL || text == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0, "pool, name or text is null");
    int32_t id;
    int64_t value = 0;
    slabby_status status = slb_option_find(name, &id, out_error);
    if (status == SLABBY_OK && slb_option_info(id)->hot)
        status = slb_option_parse(id, text, &value, out_error);
    return status == SLABBY_OK ? slabby_set_option(allocator, id, value, out_error) : status;
}
