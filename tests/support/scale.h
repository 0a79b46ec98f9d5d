/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How much work a test does: SLABBY_TEST_SCALE is a percentage, and sanitizers are slow. */
#ifndef SLABBY_TEST_SCALE_H
#define SLABBY_TEST_SCALE_H

#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define TEST_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_UNDER_TSAN 1
#endif
#endif
#ifndef TEST_UNDER_TSAN
#define TEST_UNDER_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__) || TEST_UNDER_TSAN
#define TEST_UNDER_SANITIZER 1
#else
#define TEST_UNDER_SANITIZER 0
#endif

/* count x SLABBY_TEST_SCALE / 100, a tenth of it under ThreadSanitizer, at least 1. */
uint64_t scaled(uint64_t count);

#endif
