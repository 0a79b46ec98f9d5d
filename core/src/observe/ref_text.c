/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/ref_text.h"

#include "ref.h"

#include <inttypes.h>

SLB_PRIVATE void slb_pool_name(struct slb_text *text, const struct slabby_allocator *pool) {
    if (pool->options.name[0] != '\0')
        slb_text_add(text, "%s", pool->options.name);
    else
        slb_text_add(text, "pool%" PRIu64, slb_pool_tag(pool));
}

SLB_PRIVATE slabby_status slb_ref_text(struct slb_text *text, struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t generation;
    uint32_t id;
    if (!slb_ref_was_issued(pool, ref, &generation, &id))
        return SLABBY_INVALID_REFERENCE;
    slb_pool_name(text, pool);
    slb_text_add(text, ":%" PRIu32 "#%" PRIu64, id, generation);
    return SLABBY_OK;
}
