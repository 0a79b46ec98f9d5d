/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/plain_text.h"

#include <string.h>

SLB_PRIVATE void slb_plain_add(struct slb_text *text, const char *string) {
    uint64_t length = strlen(string);
    uint64_t space = text->length < text->capacity ? text->capacity - text->length - 1 : 0;
    uint64_t stored = length < space ? length : space;
    if (stored != 0)
        memcpy(text->buffer + text->length, string, stored);
    text->length += length;
    if (text->capacity != 0)
        text->buffer[text->length < text->capacity ? text->length : text->capacity - 1] = '\0';
}

static void plain_digits(struct slb_text *text, uint64_t number, uint64_t base) {
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    slb_plain_add(text, &digits[at]);
}

SLB_PRIVATE void slb_plain_number(struct slb_text *text, uint64_t number) {
    plain_digits(text, number, 10);
}

SLB_PRIVATE void slb_plain_hex(struct slb_text *text, uint64_t number) {
    slb_plain_add(text, "0x");
    plain_digits(text, number, 16);
}

/* Also false for what is no number. */
SLB_PRIVATE bool slb_is_decimal(double value) {
    return value > -9e15 && value < 9e15;
}

SLB_PRIVATE void slb_plain_decimal(struct slb_text *text, double value) {
    char fraction[] = ".000000000";
    if (!slb_is_decimal(value)) {
        slb_plain_add(text, "NaN");
        return;
    }
    double size = value < 0 ? -value : value;
    uint64_t whole = (uint64_t)size;
    uint64_t part = (uint64_t)((size - (double)whole) * 1e9 + 0.5);
    whole += part / 1000000000;
    part %= 1000000000;
    for (uint32_t digit = sizeof fraction - 2; digit > 0; digit--, part /= 10)
        fraction[digit] = (char)('0' + part % 10);
    slb_plain_add(text, value < 0 ? "-" : "");
    slb_plain_number(text, whole);
    slb_plain_add(text, fraction);
}
