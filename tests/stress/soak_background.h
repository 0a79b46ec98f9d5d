/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef SLABBY_SOAK_BACKGROUND_H
#define SLABBY_SOAK_BACKGROUND_H

#include <stdint.h>

/* The whole life of a pool with other options each time: threads, waits, listeners, heap, guards, texts, upkeep. All
 * that it took is given back at the end. */
void soak_live(uint64_t number);

#endif
