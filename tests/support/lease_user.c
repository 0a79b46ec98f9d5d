/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lease_user.h"

#include <stdbool.h>

static bool mode_is_set(const struct lease_user *user) {
    return atomic_load((_Atomic uint32_t *)(uintptr_t)user->view.mode_address) != 0;
}

static _Atomic uint64_t *word_of(const struct lease_user *user, uint64_t id) {
    return (_Atomic uint64_t *)(uintptr_t)(user->view.words_address + id * 8);
}

static bool take_from(uint64_t magazine, uint32_t *out_id) {
    uint64_t header = atomic_load(lease_header(magazine));
    uint32_t top = (uint32_t)(header & LEASE_LOCKED) - 1;
    /* relaxed: the core moves the sampling point on beside this; the swap below finds that out */
    uint32_t sample_at = atomic_load_explicit(lease_field(magazine, 8), memory_order_relaxed);
    if (top >= lease_max(magazine) || (uint32_t)(header >> 16) == sample_at)
        return false;
    *out_id = atomic_load_explicit(lease_id(magazine, top), memory_order_relaxed);
    return atomic_compare_exchange_strong(lease_header(magazine), &header, header + 0xFFFF);
}

slabby_status lease_user_allocate(struct lease_user *user, slabby_ref *out_ref) {
    uint32_t id = 0;
    if (mode_is_set(user) ||
        (!take_from(user->lease, &id) && !take_from(user->lease + LEASE_REFILLED, &id))) {
        user->crossings++;
        return slabby_lease_allocate(out_ref, user->pool, user->lease);
    }
    uint64_t word = atomic_load(word_of(user, id));
    atomic_store(word_of(user, id), word | SLABBY_SLAB_STATE_LIVE);
    *out_ref = word + id + user->view.ref_bias;
    return SLABBY_OK;
}

static bool give(uint64_t magazine, uint32_t id) {
    uint64_t header = atomic_load(lease_header(magazine));
    uint32_t length = (uint32_t)(header & LEASE_LOCKED);
    if (length >= lease_max(magazine))
        return false;
    atomic_store_explicit(lease_id(magazine, length), id, memory_order_relaxed);
    return atomic_compare_exchange_strong(lease_header(magazine), &header, header + 1);
}

slabby_status lease_user_release(struct lease_user *user, slabby_ref ref) {
    uint64_t relative = ref - user->view.ref_bias;
    uint64_t id = relative & ((1ull << user->view.id_bits) - 1);
    uint64_t live = relative - id + SLABBY_SLAB_STATE_LIVE;
    if (mode_is_set(user) || !atomic_compare_exchange_strong(word_of(user, id), &live,
                                                             relative - id + (1ull << user->view.id_bits)))
        return slabby_release(user->pool, ref);
    if (!mode_is_set(user) && give(user->lease, (uint32_t)id))
        return SLABBY_OK;
    user->crossings++;
    return slabby_lease_return(user->pool, user->lease, ref, 0);
}
