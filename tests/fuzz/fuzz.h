/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the fuzzed targets share: bytes that run out become zeros, and a difference that ends the process. */
#ifndef SLABBY_FUZZ_H
#define SLABBY_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The entry that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
};

uint64_t fuzz_number(struct fuzz_bytes *bytes, unsigned width); /* width bytes, lowest first */

/* Up to capacity - 1 bytes, with a NUL behind; they may contain others. Answers how many. */
size_t fuzz_text(struct fuzz_bytes *bytes, char *out, size_t capacity);

/* Says what differs and aborts, which a fuzzer keeps the input for. */
#define FUZZ_REQUIRE(law)                                                                                    \
    do {                                                                                                     \
        if (!(law))                                                                                          \
            fuzz_fail(#law, __FILE__, __LINE__);                                                             \
    } while (0)

_Noreturn void fuzz_fail(const char *law, const char *file, int line);

#endif
