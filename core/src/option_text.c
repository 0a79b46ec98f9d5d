/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "option_text.h"

#include "options.h"
#include "status.h"

#include <inttypes.h>
#include <string.h>

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
            __builtin_add_overflow(value, part / scale, &value) || value > (uint64_t)INT64_MAX)
            return false;
        *out_value = (int64_t)value;
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
                                        "a name", /* an enumeration lists its own */
                                        "a text"};
    char names[128] = "";
    struct slb_text list = {.buffer = names, .capacity = sizeof names};
    slb_text_add(&list, "%s", info->kind == SLB_KIND_ENUM ? "one of " : forms[info->kind]);
    for (const struct slb_enumerator *word = info->enumerators; word != NULL && word->text != NULL; word++)
        slb_text_add(&list, "%s%s", word == info->enumerators ? "" : ", ", word->text);
    if (units_of(info->kind) != plain_units || info->kind == SLB_KIND_COUNT) {
        slb_text_add(&list, ", from ");
        slb_option_format(&list, id, info->minimum);
        slb_text_add(&list, " to ");
        slb_option_format(&list, id, info->maximum);
    }
    return slb_error_set(error, SLABBY_INVALID_OPTION, id, 0, info->minimum, info->maximum,
                         "option %s cannot be read from \"%.40s\"; write %s", info->name, text, names);
}

/* Converts a text to the value of an option that is no text itself; the caller checks the range. */
SLB_PRIVATE slabby_status slb_option_parse(int32_t id, const char *text, int64_t *out_value,
                                           slabby_error *error) {
    const struct slb_option_info *info = slb_option_info(id);
    bool none = strcmp(text, "off") == 0 || strcmp(text, "none") == 0;
    if (parse_enumerator(text, info->kind == SLB_KIND_FLAG ? flag_enumerators : info->enumerators,
                         out_value) ||
        (info->kind != SLB_KIND_ENUM && parse_quantity(text, units_of(info->kind), out_value)))
        return SLABBY_OK;
    if (!none || info->minimum != 0)
        return unreadable(info, id, text, error);
    *out_value = 0;
    return SLABBY_OK;
}

SLB_PRIVATE void slb_option_format(struct slb_text *text, int32_t id, int64_t value) {
    const struct slb_option_info *info = slb_option_info(id);
    const struct slb_enumerator *word = info->kind == SLB_KIND_FLAG ? flag_enumerators : info->enumerators;
    for (; word != NULL && word->text != NULL; word++) {
        if (word->value == value) {
            slb_text_add(text, "%s", word->text);
            return;
        }
    }
    const struct unit *units = units_of(info->kind), *largest = units;
    for (const struct unit *unit = units; unit->suffix != NULL; unit++)
        if (value % unit->factor == 0 && (value != 0 || unit->factor == 1))
            largest = unit;
    slb_text_add(text, "%" PRId64 "%s", value / largest->factor, largest->suffix);
}

SLB_PRIVATE slabby_status slb_option_find(const char *name, int32_t *out_id, slabby_error *error) {
    *out_id = option_named(name);
    if (*out_id != 0)
        return SLABBY_OK;
    return slb_error_set(error, SLABBY_INVALID_OPTION, 0, 0, 0, 0,
                         "there is no option named \"%.40s\"; docs/contract.md lists them", name);
}

SLB_PRIVATE bool slb_option_parse_count(const char *text, int64_t *out_value) {
    return parse_quantity(text, plain_units, out_value);
}
