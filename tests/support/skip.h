/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A program that cannot run here says why, and ctest counts it as skipped (SKIP_RETURN_CODE). */
#ifndef SLABBY_TEST_SKIP_H
#define SLABBY_TEST_SKIP_H

#define TEST_SKIPPED 77

/* Ends the program as skipped, with the reason. */
_Noreturn void skip_all(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
