/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "options.h"

#include "os/os.h"
#include "resilience/degrade.h"
#include "status.h"
#include "tiers/cpu_cache_rseq.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slabby_options {
    struct slb_options values;
};

_Static_assert(SLB_OPTION_COUNT <= 64, "the set of options is one 64-bit word");

SLB_PRIVATE const struct slb_option_info *slb_option_info(int32_t id) {
    return id >= 1 && id <= SLB_OPTION_COUNT ? &slb_options_table[id - 1] : NULL;
}

SLB_PRIVATE const struct slb_options *slb_options_of(const slabby_options *options) {
    return &options->values;
}

SLB_PRIVATE void slb_options_init(struct slb_options *options) {
    memset(options, 0, sizeof *options);
    for (int32_t id = 1; id <= SLB_OPTION_COUNT; id++)
        options->value[id - 1] = slb_options_table[id - 1].default_value;
}

/* --------------------------------------------------------------------------------------------- numbers */

static slabby_status unknown_option(int32_t id, slabby_error *error) {
    return slb_error_set(error, SLABBY_INVALID_OPTION, id, id, 1, SLB_OPTION_COUNT,
                         "there is no option number %d; numbers run from 1 to %d", (int)id, SLB_OPTION_COUNT);
}

SLB_PRIVATE slabby_status slb_option_check(int32_t id, int64_t value, slabby_error *error) {
    const struct slb_option_info *info = slb_option_info(id);
    if (info == NULL)
        return unknown_option(id, error);
    if (info->kind == SLB_KIND_TEXT)
        return slb_error_set(error, SLABBY_INVALID_ARGUMENT, id, value, 0, 0,
                             "option %s is a text: set it with slabby_options_set_text", info->name);
    if (value < info->minimum || value > info->maximum)
        return slb_error_set(error, SLABBY_INVALID_OPTION, id, value, info->minimum, info->maximum,
                             "option %s cannot be %" PRId64 "; choose %" PRId64 " to %" PRId64, info->name,
                             value, info->minimum, info->maximum);
    if (info->power_of_two && (value & (value - 1)) != 0)
        return slb_error_set(error, SLABBY_INVALID_OPTION, id, value, info->minimum, info->maximum,
                             "option %s cannot be %" PRId64 "; choose a power of two from %" PRId64
                             " to %" PRId64,
                             info->name, value, info->minimum, info->maximum);
    return SLABBY_OK;
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

static slabby_status set_number(struct slb_options *options, int32_t id, int64_t value, slabby_error *error) {
    slabby_status status = slb_option_check(id, value, error);
    if (status == SLABBY_OK) {
        options->value[id - 1] = value;
        options->set |= 1ull << (id - 1);
    }
    return status;
}

SLB_PUBLIC slabby_status slabby_options_set(slabby_options *options, int32_t option, int64_t value,
                                            slabby_error *out_error) {
    if (options == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, option, value, 0, 0, "the options are null");
    return set_number(&options->values, option, value, out_error);
}

/* ------------------------------------------------------------------------------------------------ text */

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit byte_units[] = {{"", 1},          {"B", 1},         {"KiB", 1 << 10},
                                         {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};
static const struct unit time_units[] = {
    {"", 1},           {"ns", 1},          {"us", 1000},         {"ms", 1000000},
    {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}, {NULL, 0}};
static const struct unit percent_units[] = {{"", 1}, {"%", 1}, {NULL, 0}};
static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};
static const struct slb_enumerator flag_enumerators[] = {
    {"on", 1}, {"off", 0}, {"true", 1}, {"false", 0}, {NULL, 0}};

static const struct unit *units_of(uint8_t kind) {
    switch (kind) {
    case SLB_KIND_BYTES:
        return byte_units;
    case SLB_KIND_DURATION:
        return time_units;
    case SLB_KIND_PERCENT:
        return percent_units;
    default:
        return plain_units;
    }
}

/* Digits, perhaps a fraction, perhaps a space, a unit. A fraction must come out whole in the option's unit. False on
 * anything else and on overflow. */
static bool parse_quantity(const char *text, const struct unit *units, int64_t *out_value) {
    const char *at = text;
    uint64_t whole = 0, fraction = 0, scale = 1;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (whole > (uint64_t)INT64_MAX / 10 - 1)
            return false;
        whole = whole * 10 + (uint64_t)(*at - '0');
    }
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9' && scale < 1000000000; at++, scale *= 10)
            fraction = fraction * 10 + (uint64_t)(*at - '0');
    }
    while (*at == ' ')
        at++;
    for (const struct unit *unit = units; unit->suffix != NULL; unit++) {
        uint64_t factor = (uint64_t)unit->factor, value, part;
        if (strcmp(at, unit->suffix) != 0)
            continue;
        if (__builtin_mul_overflow(whole, factor, &value) ||
            __builtin_mul_overflow(fraction, factor, &part) || part % scale != 0 ||
            value + part / scale > (uint64_t)INT64_MAX)
            return false;
        *out_value = (int64_t)(value + part / scale);
        return true;
    }
    return false;
}

static bool parse_enumerator(const char *text, const struct slb_enumerator *words, int64_t *out_value) {
    for (; words != NULL && words->text != NULL; words++) {
        if (strcmp(text, words->text) == 0) {
            *out_value = words->value;
            return true;
        }
    }
    return false;
}

static slabby_status set_name(struct slb_options *options, int32_t id, const char *text,
                              slabby_error *error) {
    size_t length = strlen(text);
    if (length >= SLB_NAME_BYTES)
        return slb_error_set(error, SLABBY_INVALID_OPTION, id, (int64_t)length, 0, SLB_NAME_BYTES - 1,
                             "the name has %zu bytes; at most %d are kept", length, SLB_NAME_BYTES - 1);
    memcpy(options->name, text, length + 1);
    options->set |= 1ull << (id - 1);
    return SLABBY_OK;
}

static int32_t option_named(const char *name) {
    for (int32_t id = 1; id <= SLB_OPTION_COUNT; id++)
        if (strcmp(slb_options_table[id - 1].name, name) == 0)
            return id;
    return 0;
}

static slabby_status unreadable(const struct slb_option_info *info, int32_t id, const char *text,
                                slabby_error *error) {
    static const char *const forms[] = {"on or off",
                                        "a whole number",
                                        "bytes, such as 4096 or 4KiB",
                                        "a time, such as 250us or 30s",
                                        "percent, such as 80%",
                                        "one of its words",
                                        "a text"};
    return slb_error_set(error, SLABBY_INVALID_OPTION, id, 0, info->minimum, info->maximum,
                         "option %s cannot be read from \"%.40s\"; write %s", info->name, text,
                         forms[info->kind]);
}

/* What a text means for an option that is no text itself; the range is for others to check. */
static slabby_status parse_value(int32_t id, const char *text, int64_t *out_value, slabby_error *error) {
    const struct slb_option_info *info = slb_option_info(id);
    bool none = strcmp(text, "off") == 0 || strcmp(text, "none") == 0;
    if (parse_enumerator(text, info->kind == SLB_KIND_FLAG ? flag_enumerators : info->words, out_value) ||
        parse_quantity(text, units_of(info->kind), out_value))
        return SLABBY_OK;
    if (!none || info->minimum != 0)
        return unreadable(info, id, text, error);
    *out_value = 0;
    return SLABBY_OK;
}

static slabby_status find_option(const char *name, int32_t *out_id, slabby_error *error) {
    *out_id = option_named(name);
    if (*out_id != 0)
        return SLABBY_OK;
    return slb_error_set(error, SLABBY_INVALID_OPTION, 0, 0, 0, 0,
                         "there is no option named \"%.40s\"; docs/contract.md lists them", name);
}

SLB_PUBLIC slabby_status slabby_options_set_text(slabby_options *options, const char *name, const char *text,
                                                 slabby_error *out_error) {
    if (options == NULL || name == NULL || text == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0, "options, name or text is null");
    int32_t id;
    int64_t value;
    slabby_status status = find_option(name, &id, out_error);
    if (status == SLABBY_OK && slb_option_info(id)->kind == SLB_KIND_TEXT)
        return set_name(&options->values, id, text, out_error);
    if (status == SLABBY_OK)
        status = parse_value(id, text, &value, out_error);
    return status == SLABBY_OK ? set_number(&options->values, id, value, out_error) : status;
}

SLB_PUBLIC slabby_status slabby_set_option_text(slabby_allocator *allocator, const char *name,
                                                const char *text, slabby_error *out_error) {
    if (allocator == NULL || name == NULL || text == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0, "pool, name or text is null");
    int32_t id;
    int64_t value = 0;
    slabby_status status = find_option(name, &id, out_error);
    if (status == SLABBY_OK && slb_option_info(id)->hot)
        status = parse_value(id, text, &value, out_error);
    return status == SLABBY_OK ? slabby_set_option(allocator, id, value, out_error) : status;
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

/* --------------------------------------------------------------------------------------------- resolving */

static bool was_set(const struct slb_options *options, int32_t id) {
    return (options->set >> (id - 1) & 1) != 0;
}

static int64_t power_of_two_up(int64_t value) {
    int64_t power = 1;
    while (power < value)
        power *= 2;
    return power;
}

static int64_t resolved_default(const struct slb_option_info *info, uint64_t capacity) {
    switch (info->default_rule) {
    case SLB_DEFAULT_CPUS:
        return (int64_t)slb_os_cpu_count();
    case SLB_DEFAULT_CACHE_LINE:
        return (int64_t)slb_os_cache_line();
    case SLB_DEFAULT_CAPACITY:
        return (int64_t)capacity;
    default:
        return info->default_value;
    }
}

static slabby_status check_ready(const struct slb_options *options, uint64_t capacity, slabby_error *error) {
    for (int32_t id = 1; id <= SLB_OPTION_COUNT; id++) {
        const struct slb_option_info *info = slb_option_info(id);
        if (info->ready || options->value[id - 1] == resolved_default(info, capacity))
            continue;
        return slb_error_set(
            error, SLABBY_NOT_SUPPORTED, id, options->value[id - 1], info->minimum, info->maximum,
            "option %s = %" PRId64 " has no effect in this version, so it is refused; leave it at "
            "its default",
            info->name, options->value[id - 1]);
    }
    return SLABBY_OK;
}

static slabby_status check_conflicts(const struct slb_options *options, slabby_error *error) {
    for (size_t i = 0; i < SLB_CONFLICT_COUNT; i++) {
        const struct slb_conflict *conflict = &slb_conflicts[i];
        int64_t values[2];
        bool both = true;
        for (int side = 0; side < 2; side++) {
            int64_t excluded = conflict->sides[side].value;
            values[side] = slb_option(options, conflict->sides[side].option);
            both = both && values[side] != 0 && (excluded == 0 || values[side] == excluded);
        }
        if (both)
            return slb_error_set(error, SLABBY_OPTION_CONFLICT, conflict->sides[0].option, values[0], 0, 0,
                                 "options %s and %s cannot be had together: %s", conflict->sides[0].text,
                                 conflict->sides[1].text, conflict->reason);
    }
    return SLABBY_OK;
}

static slabby_status check_space(const struct slb_options *options, uint64_t capacity, slabby_error *error) {
    const int32_t id = SLABBY_OPTION_MAX_CAPACITY;
    int64_t most = slb_option(options, id);
    if (most >= (int64_t)capacity)
        return SLABBY_OK;
    return slb_error_set(error, SLABBY_INVALID_OPTION, id, most, (int64_t)capacity, INT32_MAX,
                         "option max_capacity = %" PRId64 " is below the capacity %" PRIu64
                         " that the pool begins with; raise it or leave it out",
                         most, capacity);
}

static slabby_status resolve_heap(struct slb_options *options, uint64_t capacity, slabby_error *error) {
    const int32_t limit_id = SLABBY_OPTION_HEAP_FALLBACK_LIMIT;
    int64_t *limit = &options->value[limit_id - 1];
    int64_t reserved = slb_option(options, SLABBY_OPTION_MAX_CAPACITY), left = INT32_MAX - reserved;
    if (!was_set(options, limit_id))
        *limit = (int64_t)capacity < left ? (int64_t)capacity : left;
    if (*limit > left || (slb_option(options, SLABBY_OPTION_HEAP_FALLBACK) && *limit == 0))
        return slb_error_set(error, SLABBY_CAPACITY_EXCEEDED, limit_id, reserved + *limit, 1, INT32_MAX,
                             "capacity %" PRId64 " with %" PRId64 " heap slabs exceeds %d; lower one of them",
                             reserved, *limit, INT32_MAX);
    return SLABBY_OK;
}

static slabby_status resolve_backend(struct slb_options *options, slabby_error *error) {
    int64_t *backend = &options->value[SLABBY_OPTION_CPU_CACHE_BACKEND - 1];
    if (*backend == SLABBY_CPU_CACHE_BACKEND_RSEQ && !slb_rseq_available())
        return slb_error_set(
            error, SLABBY_NOT_SUPPORTED, SLABBY_OPTION_CPU_CACHE_BACKEND, *backend, 0, 2,
            "option cpu_cache_backend = rseq: this process has no restartable sequences; choose auto "
            "or portable");
    bool shuffle = slb_option(options, SLABBY_OPTION_SHUFFLE) != 0;
    if (*backend == SLABBY_CPU_CACHE_BACKEND_AUTO)
        *backend = slb_rseq_available() && !shuffle ? SLABBY_CPU_CACHE_BACKEND_RSEQ
                                                    : SLABBY_CPU_CACHE_BACKEND_PORTABLE;
    return SLABBY_OK;
}

/* An operator may sample guards in a program that knows nothing of it. */
static slabby_status read_environment(struct slb_options *options, slabby_error *error) {
    const char *text = slb_os_environment("SLABBY_GUARD_SAMPLE_RATE");
    const int32_t id = SLABBY_OPTION_GUARD_SAMPLE_RATE;
    int64_t rate;
    if (text == NULL || was_set(options, id))
        return SLABBY_OK;
    if (parse_quantity(text, plain_units, &rate))
        return set_number(options, id, rate, error);
    return slb_error_set(error, SLABBY_INVALID_OPTION, id, 0, 0, slb_option_info(id)->maximum,
                         "the environment's SLABBY_GUARD_SAMPLE_RATE=\"%.40s\" is no whole number; correct "
                         "or remove it",
                         text);
}

SLB_PRIVATE slabby_status slb_options_resolve(struct slb_options *options, uint64_t capacity,
                                              slabby_error *error) {
    for (int32_t id = 1; id <= SLB_OPTION_COUNT; id++)
        if (!was_set(options, id))
            options->value[id - 1] = resolved_default(slb_option_info(id), capacity);
    slabby_status status = read_environment(options, error);
    if (status == SLABBY_OK)
        status = check_conflicts(options, error);
    if (status == SLABBY_OK)
        status = slb_degrade_check(SLABBY_OPTION_DEGRADE_AT, slb_option(options, SLABBY_OPTION_DEGRADE_AT),
                                   slb_option(options, SLABBY_OPTION_SURVIVE_AT), error);
    if (status == SLABBY_OK)
        status = check_ready(options, capacity, error);
    if (status == SLABBY_OK)
        status = check_space(options, capacity, error);
    if (status == SLABBY_OK)
        status = resolve_heap(options, capacity, error);
    if (status == SLABBY_OK)
        status = resolve_backend(options, error);
    options->value[SLABBY_OPTION_SHARDS - 1] = power_of_two_up(slb_option(options, SLABBY_OPTION_SHARDS));
    if (slb_option(options, SLABBY_OPTION_AUDIT) != 0)
        options->value[SLABBY_OPTION_AUDIT - 1] = power_of_two_up(slb_option(options, SLABBY_OPTION_AUDIT));
    return status;
}
