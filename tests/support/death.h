/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Death tests: a piece of code runs in a child; how it ended and what it said come back. */
#ifndef SLABBY_TEST_DEATH_H
#define SLABBY_TEST_DEATH_H

struct death {
    int signal;      /* that ended the child, or 0 */
    int status;      /* it exited with, or -1 */
    char said[8192]; /* on stderr */
};

/* Runs body(context) in a child with every signal at its default; the child ends with exit status 0
 * where the body returns. Sanitizers' own handlers are taken away in it. */
struct death run_in_child(void (*body)(void *context), void *context);

#endif
