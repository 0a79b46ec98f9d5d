/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A user of one lease, as a binding's own hot path is: by the layout that slabby.h promises, not by the core's types.
 * What go/lease.go and go/allocate.go do, access by access. */
#ifndef SLABBY_TESTS_LEASE_USER_H
#define SLABBY_TESTS_LEASE_USER_H

#include <stdatomic.h>
#include <stdint.h>

#include <slabby/slabby.h>

enum {
    LEASE_BYTES = 1088,
    LEASE_REFILLED = 512, /* from the given magazine to the refilled one */
    LEASE_LOCKED = 0xFFFF
};

struct lease_user {
    slabby_allocator *pool;
    slabby_view_info view;
    uint64_t lease;
    uint64_t crossings;
};

static inline _Atomic uint64_t *lease_header(uint64_t magazine) {
    return (_Atomic uint64_t *)(uintptr_t)magazine;
}

static inline _Atomic uint32_t *lease_field(uint64_t magazine, uint64_t offset) {
    return (_Atomic uint32_t *)(uintptr_t)(magazine + offset);
}

static inline uint32_t lease_max(uint64_t magazine) {
    return atomic_load_explicit(lease_field(magazine, 12), memory_order_relaxed); /* it never changes */
}

static inline _Atomic uint32_t *lease_id(uint64_t magazine, uint32_t at) {
    return lease_field(magazine, 16 + 4ull * at);
}

slabby_status lease_user_allocate(struct lease_user *user, slabby_ref *out_ref);
slabby_status lease_user_release(struct lease_user *user, slabby_ref ref);

#endif
