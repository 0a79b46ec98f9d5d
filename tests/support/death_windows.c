/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Windows has no fork, so a test that needs a child is skipped. tests/misuse starts the same deaths as programs. */
#include "death.h"

#include "support.h"

struct death run_in_child(void (*body)(void *context), void *context) {
    (void)body, (void)context;
    skip();
    return (struct death){.status = -1};
}
