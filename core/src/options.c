/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "options.h"

#include "option_text.h"
#include "os/os.h"
#include "status.h"

#include <inttypes.h>
#include <string.h>

_Static_assert(SLB_OPTION_COUNT <= 64, "the set of options is one 64-bit word");

SLB_PRIVATE const struct slb_option_info *slb_option_info(int32_t id) {
    return id >= 1 && id <= SLB_OPTION_COUNT ? &slb_options_table[id - 1] : NULL;
}

SLB_PRIVATE void slb_options_init(struct slb_options *options) {
    memset(options, 0, sizeof *options);
    for (int32_t id = 1; id <= SLB_OPTION_COUNT; id++)
        options->value[id - 1] = slb_options_table[id - 1].default_value;
}

static slabby_status unknown_option(int32_t id, slabby_error *error) {
    return slb_error_set(error, SLABBY_INVALID_OPTION, id, id, 1, SLB_OPTION_COUNT,
                         "there is no option number %d; numbers run from 1 to %d", (int)id, SLB_OPTION_COUNT);
}

/* A value in the unit that its user writes: "30s", not 30000000000; "80%", not 80. */
struct spelled {
    char text[40];
};

static struct spelled spell(int32_t id, int64_t value) {
    struct spelled spelled;
    struct slb_text text = {.buffer = spelled.text, .capacity = sizeof spelled.text};
    uint8_t kind = slb_option_info(id)->kind;
    if (kind == SLB_KIND_DURATION || kind == SLB_KIND_PERCENT)
        slb_option_format(&text, id, value);
    else
        slb_text_add(&text, "%" PRId64, value);
    return spelled;
}

SLB_PRIVATE slabby_status slb_option_check(int32_t id, int64_t value, slabby_error *error) {
    const struct slb_option_info *info = slb_option_info(id);
    if (info == NULL)
        return unknown_option(id, error);
    if (info->kind == SLB_KIND_TEXT)
        return slb_error_set(error, SLABBY_INVALID_ARGUMENT, id, value, 0, 0,
                             "option %s is a text: set it by the call for texts, not by a number",
                             info->name);
    if (value < info->minimum || value > info->maximum)
        return slb_error_set(error, SLABBY_INVALID_OPTION, id, value, info->minimum, info->maximum,
                             "option %s cannot be %s; choose %s to %s", info->name, spell(id, value).text,
                             spell(id, info->minimum).text, spell(id, info->maximum).text);
    if (info->power_of_two && (value & (value - 1)) != 0)
        return slb_error_set(error, SLABBY_INVALID_OPTION, id, value, info->minimum, info->maximum,
                             "option %s cannot be %" PRId64 "; choose a power of two from %" PRId64
                             " to %" PRId64,
                             info->name, value, info->minimum, info->maximum);
    return SLABBY_OK;
}

SLB_PRIVATE slabby_status slb_option_set(struct slb_options *options, int32_t id, int64_t value,
                                         slabby_error *error) {
    slabby_status status = slb_option_check(id, value, error);
    if (status == SLABBY_OK) {
        options->value[id - 1] = value;
        options->set |= 1ull << (id - 1);
        options->preset &= ~(1ull << (id - 1));
    }
    return status;
}

/* --------------------------------------------------------------------------------------------- resolving */

static bool was_set(const struct slb_options *options, int32_t id) {
    return (options->set >> (id - 1) & 1) != 0;
}

static bool only_by_preset(const struct slb_options *options, int32_t id) {
    return (options->preset >> (id - 1) & 1) != 0;
}

SLB_PRIVATE bool slb_options_soften_guards(struct slb_options *options) {
    if (!slb_option(options, SLABBY_OPTION_GUARD_PAGES) ||
        !only_by_preset(options, SLABBY_OPTION_GUARD_PAGES))
        return false;
    options->value[SLABBY_OPTION_GUARD_PAGES - 1] = 0;
    if (!was_set(options, SLABBY_OPTION_BIT_GUARD) || only_by_preset(options, SLABBY_OPTION_BIT_GUARD))
        options->value[SLABBY_OPTION_BIT_GUARD - 1] = 1;
    return true;
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
        return (int64_t)slb_os_usable_cpus();
    case SLB_DEFAULT_CACHE_LINE:
        return (int64_t)slb_os_cache_line();
    case SLB_DEFAULT_CAPACITY:
        return (int64_t)capacity;
    default:
        return info->default_value;
    }
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

SLB_PRIVATE slabby_status slb_option_check_thresholds(int32_t option, int64_t degrade_at, int64_t survive_at,
                                                      slabby_error *error) {
    if (degrade_at == 0 || survive_at == 0 || degrade_at < survive_at)
        return SLABBY_OK;
    return slb_error_set(error, SLABBY_OPTION_CONFLICT, option,
                         option == SLABBY_OPTION_DEGRADE_AT ? degrade_at : survive_at, 0, 100,
                         "options degrade_at = %" PRId64 " %% and survive_at = %" PRId64
                         " %%: a pool degrades before it survives; lower degrade_at or raise survive_at",
                         degrade_at, survive_at);
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
        return slb_error_set(error, SLABBY_CAPACITY_EXCEEDED, limit_id, *limit == 0 ? 1 : *limit, 0, left,
                             "option heap_fallback_limit = %" PRId64 ": a capacity of %" PRId64
                             " leaves references for %" PRId64
                             " heap slabs; lower the capacity, max_capacity or "
                             "heap_fallback_limit",
                             *limit == 0 ? 1 : *limit, reserved, left);
    return SLABBY_OK;
}

static slabby_status resolve_backend(struct slb_options *options, slabby_error *error) {
    int64_t *backend = &options->value[SLABBY_OPTION_CPU_CACHE_BACKEND - 1];
    if (*backend == SLABBY_CPU_CACHE_BACKEND_RSEQ && !slb_os_has_rseq())
        return slb_error_set(
            error, SLABBY_NOT_SUPPORTED, SLABBY_OPTION_CPU_CACHE_BACKEND, *backend, 0, 2,
            "option cpu_cache_backend = rseq: this process has no restartable sequences; choose auto "
            "or portable");
    if (*backend == SLABBY_CPU_CACHE_BACKEND_AUTO)
        *backend = slb_os_has_rseq() ? SLABBY_CPU_CACHE_BACKEND_RSEQ : SLABBY_CPU_CACHE_BACKEND_PORTABLE;
    return SLABBY_OK;
}

/* An operator may sample guards in a program that knows nothing of it. */
static slabby_status read_environment(struct slb_options *options, slabby_error *error) {
    const char *text = slb_os_environment("SLABBY_GUARD_SAMPLE_RATE");
    const int32_t id = SLABBY_OPTION_GUARD_SAMPLE_RATE;
    int64_t rate = 0, most = slb_option_info(id)->maximum;
    if (text == NULL || was_set(options, id))
        return SLABBY_OK;
    if (slb_option_parse_count(text, &rate) && slb_option_set(options, id, rate, NULL) == SLABBY_OK)
        return SLABBY_OK;
    return slb_error_set(error, SLABBY_INVALID_OPTION, id, rate, 0, most,
                         "the environment's SLABBY_GUARD_SAMPLE_RATE=\"%.40s\" is no whole number from 0 to "
                         "%" PRId64 "; correct or remove it",
                         text, most);
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
        status = slb_option_check_thresholds(SLABBY_OPTION_DEGRADE_AT,
                                             slb_option(options, SLABBY_OPTION_DEGRADE_AT),
                                             slb_option(options, SLABBY_OPTION_SURVIVE_AT), error);
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
