/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t fuzz_number(struct fuzz_bytes *bytes, unsigned width) {
    uint64_t number = 0;
    for (unsigned i = 0; i < width && bytes->left > 0; i++, bytes->at++, bytes->left--)
        number |= (uint64_t)*bytes->at << (8 * i);
    return number;
}

size_t fuzz_text(struct fuzz_bytes *bytes, char *out, size_t capacity) {
    size_t length = (size_t)fuzz_number(bytes, 1) % capacity;
    if (length > bytes->left)
        length = bytes->left;
    if (length > 0)
        memcpy(out, bytes->at, length);
    out[length] = '\0';
    bytes->at += length;
    bytes->left -= length;
    return length;
}

_Noreturn void fuzz_fail(const char *law, const char *file, int line) {
    fprintf(stderr, "%s does not hold (%s:%d)\n", law, file, line);
    abort();
}
