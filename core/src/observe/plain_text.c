/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/plain_text.h"

SLB_PRIVATE void slb_plain_add(struct slb_text *text, const char *string) {
    for (; *string != '\0'; string++, text->length++)
        if (text->length + 1 < text->capacity)
            text->buffer[text->length] = *string;
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
