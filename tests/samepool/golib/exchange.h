/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The market where all bindings trade slabs, and the binding of plain C.
 *
 * `slots` hold one live reference each. A worker allocates a slab, stamps it, puts it into a slot and takes
 * out what lay there: often another binding's slab, which it checks and releases. A worker holds at most one
 * slab beside the market, so slots + workers slabs always suffice: any OutOfMemory is a fault of the pool.
 *
 * Now and then an allocation waits, a release is tried under a pin or twice, or it is deferred to an unpin.
 *
 * A stamp is {ref, ref ^ MARKET_SEAL}; a free slab begins with 0. So a slab in two hands shows.
 */
#ifndef SAMEPOOL_EXCHANGE_H
#define SAMEPOOL_EXCHANGE_H

#include <slabby/slabby.h>
#include <stdint.h>

#define MARKET_SEAL UINT64_C(0x5ab1ab1e5ea1ed00)

/* No wait takes so long where there are slabs enough. */
#define MARKET_LONGEST_WAIT_NS UINT64_C(60000000000)

/* Where a worker stopped early. Statuses are negative, so both fit one number. */
enum market_fault {
    MARKET_OK = 0,
    MARKET_TWO_HANDS = 1,
    MARKET_BAD_STAMP = 2,
    MARKET_RELEASED_UNDER_PIN = 3,
    MARKET_RELEASED_TWICE = 4
};

/* Puts a reference into a slot and returns what lay there. */
uint64_t market_swap(uint64_t *slot, uint64_t ref);

/* Runs one worker of plain C for a time. Returns MARKET_OK, a fault, or the status that must not be; out_trades
 * counts the slabs that were allocated. */
int32_t market_work(uint64_t *out_trades, uint64_t allocator_address, uint64_t *slots, uint64_t slot_count,
                    uint64_t milliseconds, uint64_t seed);

#endif
