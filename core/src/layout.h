/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The memory layout of a pool.
 *
 * Slabs: stride = slab_size rounded up to the alignment; if that is a multiple of 512 and the alignment is below 512,
 * the stride is one alignment unit (at least 64) longer, so that the first lines of neighbouring slabs do not fall into
 * the same cache set.
 *
 * With bit_guard, one pattern before and one after the user's bytes inside each stride; first_byte is where the user's
 * begin:
 *
 *   | front pattern | user's bytes | back pattern, to the end of the stride |
 *
 * With guard_pages, each stride ends with an inaccessible page that the user's last byte touches:
 *
 *   | slack | front pattern | user's bytes | guard page |
 *
 * Bookkeeping: one mapping, with offsets from its start. Cache headers do not begin on a page boundary, because the
 * first lines of many slabs compete for the cache set of such an address:
 *
 *   0x140 CPU caches | stripes | latency | shards | depot heads | words | next | depot links | depot ids | delay |
 *   event rates | events | audit: written chains | what readers share | rings | keys of slabs | entries | slots
 */
#ifndef SLB_LAYOUT_H
#define SLB_LAYOUT_H

#include "options.h"

struct slb_layout {
    uint64_t slab_size, stride, first_byte;
    uint64_t guard_at; /* guard_pages: offset of the guard page in each stride; 0 without */
    uint32_t guard_front, guard_back;
    uint64_t slab_bytes;   /* usable range: reserved x stride, rounded up to pages */
    uint64_t slab_mapping; /* with the guards at both ends and room to align */
    uint64_t edge;         /* alignment of the start of the usable range */
    uint64_t unit;         /* bytes that are committed at once: a page, or with huge_pages a huge page */
    uint64_t metadata_mapping;
    uint64_t caches, stripes, latency, shards, depot_heads, words, next, depot_next, depot_ids, delay,
        event_rates, events, audit_chains, audit_merged, audit_rings, audit_keys, audit_entries,
        audit_slots; /* offsets */
    uint64_t audit_records, audit_slots_a_ring, record_bytes;
    uint64_t delay_limit, delay_ring_bytes;
    uint64_t cache_bytes, list_bytes;
    uint32_t reserved, heap_limit, id_bits; /* reserved: slabs with address space */
    uint32_t cpus, usable_cpus, cache_max, cache_sets, batch, shard_count, depot_nodes, delay_rings;
};

#define SLB_MAX_SLAB_SIZE (1ull << 30)

/* The bookkeeping of a pool begins up to so many bytes into its mapping, by the number of its entry, so that what many
 * pools use most lies in different sets of the caches. */
#define SLB_LAYOUT_SPREAD 4096u
#define SLB_LAYOUT_SPREAD_STEP 640u /* five pairs of lines: 32 steps until one comes again */

/* Checks every total for overflow. Lowers the default alignment if guard_pages requires it. */
SLB_PRIVATE slabby_status slb_layout_compute(struct slb_layout *out, uint64_t slab_size, uint64_t reserved,
                                             struct slb_options *options, slabby_error *error);

/* The limits alone, before options that depend on the capacity are resolved. */
SLB_PRIVATE slabby_status slb_layout_check(uint64_t slab_size, uint64_t capacity, slabby_error *error);

#endif
