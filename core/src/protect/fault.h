/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Finds what an address belongs to, for faults on guards. It uses the address only, because the system reports
 * different details for guard regions and for protected pages. Everything here is async-signal-safe.
 */
#ifndef SLB_PROTECT_FAULT_H
#define SLB_PROTECT_FAULT_H

#include "pool.h"
#include "status.h"

/* The slab that an address concerns: the one that holds it, or else the nearest. */
struct slb_fault_info {
    struct slabby_allocator *pool;
    uint32_t id;
    bool used;           /* false: the slab was never handed out, and the next two mean nothing */
    bool released;       /* the allocation is over */
    bool guarded;        /* on a guard slot */
    uint64_t generation; /* the allocation concerned: the present one, or the last */
    int64_t offset;      /* from the slab's first byte */
};

/* False where the address is in no pool. */
SLB_PRIVATE bool slb_fault_locate(uintptr_t address, struct slb_fault_info *out);

/* Fills a report about an address, `inside` 0 where it is in no pool. */
SLB_PRIVATE void slb_fault_classify(uintptr_t address, slabby_fault *out);

/* Once a process: handlers that explain faults on guards. False where the system refuses them. */
SLB_PRIVATE bool slb_fault_handler_install(void);

/* "write 1 byte past the end of slab 17 (4096 bytes) of pool 'orders'" */
SLB_PRIVATE void slb_fault_print(struct slb_text *text, const char *verb, const struct slb_fault_info *info);

#endif
