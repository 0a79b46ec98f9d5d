/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/json.h"

#include "observe/plain_text.h"

#include <inttypes.h>
#include <string.h>

SLB_PRIVATE const char *slb_json_enumerator(const struct slb_enumerator *words, int32_t value) {
    for (; words->text != NULL; words++)
        if (words->value == value)
            return words->text;
    return "unknown";
}

/* Bytes of the character that begins here, 0 where none does: RFC 3629, table in 4. */
static uint32_t utf8_length(const unsigned char *at) {
    static const unsigned char first_low[] = {0xC2, 0xE0, 0xF0}, first_high[] = {0xDF, 0xEF, 0xF4};
    if (at[0] < 0x80)
        return 1;
    for (uint32_t more = 1; more <= 3; more++) {
        if (at[0] < first_low[more - 1] || at[0] > first_high[more - 1])
            continue;
        unsigned char low = at[0] == 0xE0 ? 0xA0 : at[0] == 0xF0 ? 0x90 : 0x80;
        unsigned char high = at[0] == 0xED ? 0x9F : at[0] == 0xF4 ? 0x8F : 0xBF;
        if (at[1] < low || at[1] > high)
            return 0;
        for (uint32_t i = 2; i <= more; i++)
            if ((at[i] & 0xC0) != 0x80)
                return 0;
        return more + 1;
    }
    return 0;
}

SLB_PRIVATE void slb_json_text(struct slb_text *text, const char *value) {
    slb_text_add(text, "\"");
    while (*value != '\0') {
        uint32_t bytes = utf8_length((const unsigned char *)value);
        if (bytes == 0)
            slb_text_add(text, "\\ufffd");
        else if ((unsigned char)*value < 0x20 || *value == '"' || *value == '\\')
            slb_text_add(text, "\\u%04x", (unsigned)*value);
        else
            slb_text_add(text, "%.*s", (int)bytes, value);
        value += bytes == 0 ? 1 : bytes;
    }
    slb_text_add(text, "\"");
}

static void json_number(struct slb_text *text, double value) {
    if (slb_is_decimal(value))
        slb_plain_decimal(text, value);
    else
        slb_plain_add(text, "null");
}

/* Only statuses that occurred: most pools never see most errors. */
static void json_counts(struct slb_text *text, const uint64_t *counts) {
    const char *separator = "";
    slb_text_add(text, "{");
    for (uint32_t i = 1; i < SLB_STATUS_COUNT; i++) {
        if (counts[i] == 0)
            continue;
        slb_text_add(text, "%s\"%s\":%" PRIu64, separator, slb_statuses[i].name, counts[i]);
        separator = ",";
    }
    slb_text_add(text, "}");
}

static void json_value(struct slb_text *text, const struct slb_field *field, const char *at) {
    uint64_t whole;
    int64_t negative;
    int32_t small;
    double real;
    switch (field->type) {
    case SLB_FIELD_U64:
        memcpy(&whole, at, sizeof whole);
        slb_text_add(text, "%" PRIu64, whole);
        break;
    case SLB_FIELD_I64:
        memcpy(&negative, at, sizeof negative);
        slb_text_add(text, "%" PRId64, negative);
        break;
    case SLB_FIELD_F64:
        memcpy(&real, at, sizeof real);
        json_number(text, real);
        break;
    case SLB_FIELD_TEXT:
        slb_json_text(text, at);
        break;
    case SLB_FIELD_COUNTS:
        json_counts(text, (const uint64_t *)(const void *)at);
        break;
    default:
        memcpy(&small, at, sizeof small);
        if (field->type == SLB_FIELD_BOOL32)
            slb_text_add(text, small != 0 ? "true" : "false");
        else
            slb_text_add(text, "\"%s\"", slb_json_enumerator(field->enumerators, small));
    }
}

SLB_PRIVATE void slb_json_object(struct slb_text *text, const struct slb_field *fields, uint32_t count,
                                 const void *snapshot) {
    for (uint32_t i = 0; i < count; i++) {
        slb_text_add(text, "%s\"%s\":", i == 0 ? "{" : ",", fields[i].name);
        json_value(text, &fields[i], (const char *)snapshot + fields[i].offset);
    }
    slb_text_add(text, "}");
}
