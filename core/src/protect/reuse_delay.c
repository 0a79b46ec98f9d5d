/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/reuse_delay.h"

#include "protect/quarantine.h"
#include "protect/secure.h"
#include "protect/tools.h"
#include "ref.h"

#include <string.h>

/* Offset of the first byte that is not zero, or the slab size. */
static uint64_t first_written(const unsigned char *data, uint64_t size) {
    if (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0)
        return size;
    uint64_t offset = 0;
    while (offset < size && data[offset] == 0)
        offset++;
    return offset;
}

/* Where a slab that waited was written to, with the byte found there, or the slab size. */
static uint64_t check_for_writes(struct slabby_allocator *pool, uint32_t id, uint8_t *out_found) {
    const unsigned char *data = slb_slab_data(pool, id);
    slb_tools_open(pool, id);
    uint64_t offset = first_written(data, pool->slab_size);
    *out_found = offset < pool->slab_size ? data[offset] : 0;
    slb_tools_shut(pool, id);
    return offset;
}

SLB_PRIVATE bool slb_delay_check(struct slabby_allocator *pool, uint32_t id,
                                 struct slb_notification *out_notification) {
    uint8_t found;
    uint64_t offset = check_for_writes(pool, id, &found);
    if (offset == pool->slab_size)
        return true;
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    struct slb_damage damage = {.offset = (int64_t)offset, .expected = 0, .found = found};
    damage.ref = slb_ref_make(pool, slb_word_generation(pool->id_bits, word) - 1, id);
    if (slb_corruption_found(pool, id, &damage, out_notification))
        return false; /* its bytes can be looked at until it is reclaimed */
    /* what was written late is not the next owner's; relaxed: as at a release */
    if (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SECURE)
        slb_secure_zero_slab(pool, id);
    return true;
}

SLB_PRIVATE bool slb_delay_pop(struct slabby_allocator *pool, uint32_t *out_id,
                               struct slb_notification *out_notification) {
    while (slb_delay_take(pool, out_id))
        if (slb_delay_check(pool, *out_id, out_notification))
            return true;
    return false;
}
