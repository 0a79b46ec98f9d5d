/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The library itself: versions, the names of statuses, the binding of a thread. */
#include <slabby/slabby.h>

#include "observe/audit.h"
#include "os/os.h"
#include "status.h"

SLB_PUBLIC const char *slabby_version(void) {
    return SLB_VERSION_TEXT;
}

SLB_PUBLIC uint32_t slabby_abi_version(void) {
    return SLB_ABI_VERSION;
}

SLB_PUBLIC uint64_t slabby_instance_id(void) {
    static _Atomic uint64_t instance;
    uint64_t id = atomic_load_explicit(&instance, memory_order_relaxed);
    uint64_t fresh = slb_os_unique();
    if (id == 0 && atomic_compare_exchange_strong(&instance, &id, fresh))
        id = fresh;
    return id;
}

SLB_PUBLIC const char *slabby_status_name(slabby_status status) {
    return slb_status_name(status);
}

SLB_PUBLIC const char *slabby_status_message(slabby_status status) {
    return slb_status_message(status);
}

SLB_PUBLIC slabby_status slabby_set_binding(int32_t binding) {
    if (binding < -1 || binding > SLABBY_BINDING_GO)
        return SLABBY_INVALID_ARGUMENT;
    slb_audit_set_binding(binding);
    return SLABBY_OK;
}
