/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/memory.h"

#include "os/os.h"
#include "status.h"

#include <string.h>

static struct slb_slab_area area_of(const struct slb_memory *memory, const struct slb_layout *layout) {
    return (struct slb_slab_area){.base = memory->slab_base,
                                  .range = layout->slab_bytes,
                                  .stride = layout->stride,
                                  .unit = layout->unit,
                                  .guard_at = layout->guard_at,
                                  .reserved = layout->reserved,
                                  .shards = layout->shard_count};
}

/* The last guard of guard_pages lies inside the range; the reserved pages around the range guard its two ends. */
static slabby_status map_slabs(struct slb_memory *out, const struct slb_layout *layout, uint32_t capacity,
                               const struct slb_options *options, slabby_error *error) {
    uint64_t page = slb_os_page_size();
    uint64_t edge = layout->edge;
    struct slb_slab_area area = area_of(out, layout);
    slabby_status status = slb_slabs_check_prefault(&area, capacity, options, error);
    if (status != SLABBY_OK)
        return status;
    out->slab_mapping = slb_os_reserve(layout->slab_mapping);
    if (out->slab_mapping == NULL)
        return slb_error_refused(error, layout->slab_mapping, "the slabs' address space",
                                 "raise the limit of address space (ulimit -v), or lower max_capacity or the "
                                 "slab size");
    out->slab_base = (char *)(((uintptr_t)out->slab_mapping + page + edge - 1) / edge * edge);
    area.base = out->slab_base;
    return slb_slabs_commit(&area, 0, capacity, options, &out->guards, error);
}

SLB_PRIVATE void slb_memory_unmap(const struct slb_memory *memory, const struct slb_layout *layout) {
    slb_os_unmap(memory->slab_mapping, layout->slab_mapping);
    slb_os_unmap(memory->metadata, layout->metadata_mapping);
    slb_os_return_guards(memory->guards.claimed);
}

SLB_PRIVATE slabby_status slb_memory_map(struct slb_memory *out, const struct slb_layout *layout,
                                         uint32_t capacity, const struct slb_options *options,
                                         slabby_error *error) {
    memset(out, 0, sizeof *out);
    slabby_status status = map_slabs(out, layout, capacity, options, error);
    if (status == SLABBY_OK) {
        out->metadata = slb_os_map(layout->metadata_mapping);
        if (out->metadata == NULL)
            status = slb_error_refused(error, layout->metadata_mapping, "bookkeeping",
                                       "lower max_capacity, heap_fallback_limit or audit");
    }
    if (status != SLABBY_OK)
        slb_memory_unmap(out, layout);
    return status;
}
