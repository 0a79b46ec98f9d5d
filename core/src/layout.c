/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "layout.h"

#include "observe/audit_state.h"
#include "observe/event_state.h"
#include "os/os.h"
#include "pool.h"
#include "protect/bit_guard_state.h"
#include "status.h"

#include <inttypes.h>
#include <string.h>

#define LAYOUT_FIRST_CACHE 0x140u

static uint64_t layout_round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

SLB_PRIVATE slabby_status slb_layout_check(uint64_t slab_size, uint64_t capacity, slabby_error *error) {
    if (slab_size < 1 || slab_size > SLB_MAX_SLAB_SIZE)
        return slb_error_set(
            error, SLABBY_INVALID_SLAB_SIZE, 0, slb_error_value(slab_size), 1, SLB_MAX_SLAB_SIZE,
            "slab size %" PRIu64 " is out of range; choose 1 to %llu bytes", slab_size, SLB_MAX_SLAB_SIZE);
    if (capacity < 1)
        return slb_error_set(error, SLABBY_INVALID_CAPACITY, 0, slb_error_value(capacity), 1, INT32_MAX,
                             "capacity %" PRIu64 " is out of range; choose 1 to %d slabs", capacity,
                             INT32_MAX);
    if (capacity > INT32_MAX)
        return slb_error_set(error, SLABBY_CAPACITY_EXCEEDED, 0, slb_error_value(capacity), 1, INT32_MAX,
                             "capacity %" PRIu64
                             " is above what a reference can number; choose 1 to %d slabs",
                             capacity, INT32_MAX);
    return SLABBY_OK;
}

static uint64_t layout_max(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* The first lines of neighbouring slabs must not fall into the same cache set. */
static uint64_t layout_colour(uint64_t stride, uint64_t alignment) {
    if (stride % 512 == 0 && alignment < 512)
        stride += layout_max(alignment, 64);
    return stride;
}

static void layout_packed(struct slb_layout *out, uint64_t alignment, bool bit_guard) {
    if (!bit_guard) {
        out->stride = layout_colour(layout_round_up(out->slab_size, alignment), alignment);
        return;
    }
    out->first_byte = layout_round_up(SLB_GUARD_MINIMUM, alignment);
    out->stride = layout_round_up(out->first_byte + out->slab_size + SLB_GUARD_MINIMUM, alignment);
    out->stride = layout_colour(out->stride, alignment);
    uint64_t back = out->stride - out->first_byte - out->slab_size;
    out->guard_front = (uint32_t)(out->first_byte < SLB_GUARD_MAXIMUM ? out->first_byte : SLB_GUARD_MAXIMUM);
    out->guard_back = (uint32_t)(back < SLB_GUARD_MAXIMUM ? back : SLB_GUARD_MAXIMUM);
}

/* User bytes end at the guard page. An alignment that the size does not allow leaves slack before the page, which is
 * patterned; without guard_slack it was refused, or lowered where it was only the default. */
static void layout_guarded(struct slb_layout *out, uint64_t alignment, bool bit_guard, bool slack) {
    uint64_t page = slb_os_page_size();
    uint64_t unit = layout_max(page, alignment);
    uint64_t user = slack ? layout_round_up(out->slab_size, alignment) : out->slab_size;
    uint64_t front = bit_guard ? layout_round_up(SLB_GUARD_MINIMUM, alignment) : 0;
    uint64_t body = layout_round_up(front + user, unit);
    out->first_byte = body - user;
    out->guard_at = body;
    out->stride = layout_round_up(body + page, unit);
    out->guard_front = (uint32_t)(front < SLB_GUARD_MAXIMUM ? front : SLB_GUARD_MAXIMUM);
    out->guard_back = (uint32_t)(user - out->slab_size);
}

/* The alignment that holds with guard pages, where every slab's end is fixed. */
static slabby_status layout_alignment(struct slb_options *options, uint64_t slab_size, slabby_error *error) {
    int64_t *alignment = &options->value[SLABBY_OPTION_ALIGNMENT - 1];
    bool asked = (options->set >> (SLABBY_OPTION_ALIGNMENT - 1) & 1) != 0;
    if (!slb_option(options, SLABBY_OPTION_GUARD_PAGES) || slb_option(options, SLABBY_OPTION_GUARD_SLACK))
        return SLABBY_OK;
    uint64_t largest = slab_size & -slab_size;
    if (largest >= (uint64_t)*alignment)
        return SLABBY_OK;
    if (asked)
        return slb_error_set(error, SLABBY_OPTION_CONFLICT, SLABBY_OPTION_ALIGNMENT, *alignment, 1,
                             (int64_t)largest,
                             "options alignment = %" PRId64 " and guard_pages: slabs of %" PRIu64
                             " bytes that end at a page begin at multiples of %" PRIu64
                             "; lower the alignment or set guard_slack",
                             *alignment, slab_size, largest);
    *alignment = (int64_t)largest;
    return SLABBY_OK;
}

static uint32_t layout_id_bits(uint64_t ids) {
    uint32_t bits = SLB_WORD_LOW_BITS;
    while ((1ull << bits) < ids)
        bits++;
    return bits;
}

/* A CPU cache holds at most a quarter of its CPU's part of the pool, so the caches of all CPUs that the process may use
 * now hold at most a quarter of the pool. If it may use more CPUs later, the gate ensures that no slab is missed. A
 * batch is half a cache: after a refill or a flush, the next one is half a cache away in both directions. Fewer batches
 * that move between CPUs mean fewer cache lines that do. A batch covers whole lines of words, so the never-used batches
 * of two CPUs have no line in common. */
static void layout_tiers(struct slb_layout *out, const struct slb_options *options) {
    uint64_t share = (uint64_t)out->reserved / out->usable_cpus;
    uint64_t cache_max = share / 4 < SLB_CACHE_IDS ? share / 4 : SLB_CACHE_IDS;
    uint64_t batch = cache_max / 2;
    if (batch > SLB_WORDS_A_LINE)
        batch -= batch % SLB_WORDS_A_LINE;
    if (slb_option(options, SLABBY_OPTION_PER_CPU_CACHE) == 0)
        cache_max = 0;
    out->cache_max = (uint32_t)cache_max;
    out->cache_sets = cache_max != 0 && slb_option(options, SLABBY_OPTION_SHUFFLE) != 0 ? 2 : 1;
    out->batch = batch < 1 ? 1 : (uint32_t)batch;
    out->shard_count = (uint32_t)slb_option(options, SLABBY_OPTION_SHARDS);
    out->depot_nodes = cache_max == 0 ? 0 : out->reserved / out->batch;
}

/* A ring for each CPU, as long as all rings together hold at most a quarter of the pool; else fewer, and at least one.
 * A power of two. No more slabs can wait than there are. */
static void layout_delay(struct slb_layout *out, uint64_t delay) {
    out->delay_limit = delay < out->reserved ? delay : out->reserved;
    if (delay == 0)
        return;
    out->delay_rings = 1;
    while (out->delay_rings < out->cpus && 2 * out->delay_rings * out->delay_limit <= out->reserved / 4)
        out->delay_rings *= 2;
    out->delay_ring_bytes = layout_round_up(
        sizeof(struct slb_delay_ring) + out->delay_limit * sizeof(_Atomic uint64_t), SLB_CACHE_LINE);
}

/* The slots of the rings and the merged records are touched as they are written, so a ring may have all `audit` records
 * on each CPU. At most 2^24 records of 24 bytes for each of 4,100 rings. */
static uint64_t layout_audit(struct slb_layout *out, uint64_t at) {
    uint64_t ids = (uint64_t)out->reserved + out->heap_limit;
    uint64_t rings = out->cpus + SLB_AUDIT_SHARED_RINGS;
    if (out->audit_records == 0)
        return at;
    out->audit_slots_a_ring = layout_max(out->audit_records, 2);
    out->audit_chains = at;
    out->audit_merged = layout_round_up(at + sizeof(struct slb_audit_chains), SLB_CACHE_LINE);
    out->audit_rings = out->audit_merged + sizeof(struct slb_audit_merged);
    out->audit_keys = out->audit_rings + rings * sizeof(struct slb_audit_ring);
    out->audit_entries = layout_round_up(out->audit_keys + ids * sizeof(uint64_t), SLB_CACHE_LINE);
    out->audit_slots = layout_round_up(
        out->audit_entries + out->audit_records * sizeof(struct slb_audit_entry), SLB_CACHE_LINE);
    return out->audit_slots + rings * out->audit_slots_a_ring * sizeof(struct slb_audit_slot);
}

/* The end of the metadata: events and, with the option, audit records. */
static void layout_records(struct slb_layout *out, uint64_t at) {
    out->event_rates = at;
    out->events = layout_round_up(at + SLB_EVENT_CODES * sizeof(struct slb_event_rate), SLB_CACHE_LINE);
    uint64_t end = out->events + slb_ring_bytes(SLB_EVENTS_CAPACITY, SLB_EVENT_STRIDE);
    end = layout_audit(out, layout_round_up(end, SLB_CACHE_LINE));
    out->record_bytes = end - at;
    out->metadata_mapping = layout_round_up(end + SLB_LAYOUT_SPREAD, slb_os_page_size());
}

/* At most 2^31 ids, 4,096 CPUs and 4,096 shards: no sum here comes near 2^64. */
static void layout_metadata(struct slb_layout *out) {
    uint64_t ids = (uint64_t)out->reserved + out->heap_limit;
    uint64_t caches =
        out->cache_max == 0 ? 0 : (uint64_t)out->cache_sets * out->cpus * sizeof(union slb_cpu_cache_entry);
    out->caches = LAYOUT_FIRST_CACHE;
    out->stripes = layout_round_up(out->caches + caches, _Alignof(struct slb_stripe));
    out->latency = out->stripes + out->cpus * sizeof(struct slb_stripe);
    out->shards =
        layout_round_up(out->latency + (out->cpus + 1ull) * sizeof(struct slb_latency), SLB_CACHE_LINE);
    out->depot_heads =
        layout_round_up(out->shards + out->shard_count * sizeof(struct slb_shard), SLB_CACHE_LINE);
    out->words = layout_round_up(out->depot_heads + sizeof(struct slb_depot_heads), SLB_CACHE_LINE);
    /* each id that a reference can have has a word, so that a release may read it before it checks the id */
    out->next = layout_round_up(out->words + (sizeof(uint64_t) << out->id_bits), SLB_CACHE_LINE);
    out->depot_next = layout_round_up(out->next + ids * sizeof(uint32_t), SLB_CACHE_LINE);
    out->depot_ids = layout_round_up(out->depot_next + out->depot_nodes * sizeof(uint32_t), SLB_CACHE_LINE);
    out->delay = layout_round_up(out->depot_ids + (uint64_t)out->depot_nodes * out->batch * sizeof(uint32_t),
                                 SLB_CACHE_LINE);
    layout_records(out,
                   layout_round_up(out->delay + out->delay_rings * out->delay_ring_bytes, SLB_CACHE_LINE));
    out->cache_bytes = out->shards;
    out->list_bytes = out->shard_count * sizeof(struct slb_shard) + sizeof(struct slb_depot_heads) +
                      out->reserved * sizeof(uint32_t) + out->depot_nodes * sizeof(uint32_t) +
                      (uint64_t)out->depot_nodes * out->batch * sizeof(uint32_t);
}

SLB_PRIVATE slabby_status slb_layout_compute(struct slb_layout *out, uint64_t slab_size, uint64_t reserved,
                                             struct slb_options *options, slabby_error *error) {
    uint64_t page = slb_os_page_size();
    slabby_status status = layout_alignment(options, slab_size, error);
    uint64_t alignment = (uint64_t)slb_option(options, SLABBY_OPTION_ALIGNMENT);
    uint64_t huge = slb_option(options, SLABBY_OPTION_HUGE_PAGES) ? slb_os_huge_page_size() : 0;
    uint64_t edge = layout_max(layout_max(alignment, page), huge);
    bool bit_guard = slb_option(options, SLABBY_OPTION_BIT_GUARD) != 0;
    if (status != SLABBY_OK)
        return status;
    memset(out, 0, sizeof *out);
    out->slab_size = slab_size;
    out->reserved = (uint32_t)reserved;
    out->heap_limit = (uint32_t)slb_option(options, SLABBY_OPTION_HEAP_FALLBACK_LIMIT);
    out->id_bits = layout_id_bits(reserved + out->heap_limit);
    out->cpus = slb_os_cpu_count();
    out->usable_cpus = slb_os_usable_cpus();
    if (slb_option(options, SLABBY_OPTION_GUARD_PAGES))
        layout_guarded(out, alignment, bit_guard, slb_option(options, SLABBY_OPTION_GUARD_SLACK) != 0);
    else
        layout_packed(out, alignment, bit_guard);
    layout_delay(out, (uint64_t)slb_option(options, SLABBY_OPTION_REUSE_DELAY));
    if (__builtin_mul_overflow(out->stride, reserved, &out->slab_bytes) || out->slab_bytes > (1ull << 62))
        return slb_error_set(error, SLABBY_NO_SYSTEM_MEMORY, 0, (int64_t)reserved, 1, INT32_MAX,
                             "%" PRIu64 " slabs of %" PRIu64
                             " bytes exceed the address space; lower one of them",
                             reserved, slab_size);
    out->slab_bytes = layout_round_up(out->slab_bytes, page);
    if (huge != 0 && out->slab_bytes >= huge) /* the last slabs get one as well */
        out->slab_bytes = layout_round_up(out->slab_bytes, huge);
    out->edge = edge;
    out->unit = layout_max(page, huge);
    out->slab_mapping = out->slab_bytes + page + (edge > page ? 2 * edge : page);
    out->audit_records = (uint64_t)slb_option(options, SLABBY_OPTION_AUDIT);
    layout_tiers(out, options);
    layout_metadata(out);
    return SLABBY_OK;
}
