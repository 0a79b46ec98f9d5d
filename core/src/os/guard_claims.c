/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Guards that cost mappings, in all pools of the process. */
#include "os/os.h"

static _Atomic uint64_t guards_claimed;

/* relaxed: a number alone */
SLB_PRIVATE bool slb_os_claim_guards(uint64_t count) {
    uint64_t limit = slb_os_guard_limit();
    uint64_t before = atomic_load_explicit(&guards_claimed, memory_order_relaxed);
    do {
        if (count > limit || before > limit - count)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&guards_claimed, &before, before + count,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

SLB_PRIVATE void slb_os_return_guards(uint64_t count) {
    atomic_fetch_sub_explicit(&guards_claimed, count, memory_order_relaxed);
}
