/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Built twice, with frames of different sizes and otherwise alike: the second is loaded where the first was. */
#include <string.h>

__attribute__((visibility("default"))) int call_back(int (*callback)(void *), void *argument);

int call_back(int (*callback)(void *), void *argument) {
    volatile char frame[FRAME_BYTES];
    frame[0] = 1;
    return callback(argument) + frame[0] - 1;
}
