/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "exchange.h"

#include <stdatomic.h>
#include <time.h>

uint64_t market_swap(uint64_t *slot, uint64_t ref) {
    return atomic_exchange((_Atomic uint64_t *)slot, ref);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int32_t sell(uint64_t *out_ref, slabby_allocator *pool, uint64_t dice) {
    void *data;
    slabby_status status = dice % 8 == 2
                               ? slabby_allocate_timeout(out_ref, &data, pool, MARKET_LONGEST_WAIT_NS)
                               : slabby_allocate(out_ref, &data, pool);
    if (status != SLABBY_OK)
        return status;
    volatile uint64_t *words = data;
    if (words[0] != 0)
        return MARKET_TWO_HANDS;
    words[0] = *out_ref;
    words[1] = *out_ref ^ MARKET_SEAL;
    return MARKET_OK;
}

static int32_t release_under_pin(slabby_allocator *pool, slabby_ref ref) {
    slabby_status status = slabby_pin(pool, ref);
    if (status != SLABBY_OK)
        return status;
    if (slabby_release(pool, ref) != SLABBY_PINNED)
        return MARKET_RELEASED_UNDER_PIN;
    return slabby_unpin(pool, ref);
}

/* Cleared first: the unpin hands the slab on. */
static int32_t release_by_unpin(slabby_allocator *pool, slabby_ref ref, volatile uint64_t *words) {
    slabby_status status = slabby_pin(pool, ref);
    if (status != SLABBY_OK)
        return status;
    words[0] = 0;
    status = slabby_release_deferred(pool, ref);
    if (status != SLABBY_OK)
        return status;
    return slabby_unpin(pool, ref);
}

static int32_t buy(slabby_allocator *pool, slabby_ref ref, uint64_t dice) {
    void *data;
    slabby_status status = slabby_data(&data, pool, ref);
    if (status != SLABBY_OK)
        return status;
    volatile uint64_t *words = data;
    if (words[0] != ref || words[1] != (ref ^ MARKET_SEAL))
        return MARKET_BAD_STAMP;
    if (dice % 8 == 1)
        return release_by_unpin(pool, ref, words);
    int32_t failed = dice % 4 == 0 ? release_under_pin(pool, ref) : MARKET_OK;
    if (failed != MARKET_OK)
        return failed;
    words[0] = 0;
    status = slabby_release(pool, ref);
    if (status != SLABBY_OK)
        return status;
    if (dice % 16 == 0 && slabby_release(pool, ref) != SLABBY_DOUBLE_DEALLOCATION)
        return MARKET_RELEASED_TWICE;
    return MARKET_OK;
}

int32_t market_work(uint64_t *out_trades, uint64_t allocator_address, uint64_t *slots, uint64_t slot_count,
                    uint64_t milliseconds, uint64_t seed) {
    slabby_allocator *pool = (slabby_allocator *)(uintptr_t)allocator_address;
    uint64_t until = now_ms() + milliseconds;
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (*out_trades = 0; *out_trades % 256 != 0 || now_ms() < until; ++*out_trades) {
        uint64_t dice = random_next(&state);
        uint64_t ref;
        int32_t failed = sell(&ref, pool, dice);
        if (failed != MARKET_OK)
            return failed;
        failed = buy(pool, market_swap(&slots[(dice >> 8) % slot_count], ref), dice);
        if (failed != MARKET_OK)
            return failed;
    }
    return MARKET_OK;
}
