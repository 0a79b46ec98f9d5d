/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scale.h"

#include <stdlib.h>

uint64_t scaled(uint64_t count) {
    const char *text = getenv("SLABBY_TEST_SCALE");
    uint64_t percent = text ? strtoull(text, NULL, 10) : 100;
    uint64_t result = count * percent / 100 / (TEST_UNDER_TSAN ? 10 : 1);

    return result ? result : 1;
}
