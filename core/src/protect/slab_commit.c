/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/slab_commit.h"

#include "os/os.h"
#include "status.h"
#include "tiers/shards.h"

#include <errno.h>
#include <inttypes.h>

/* -------------------------------------------------------------------------------------------------- ranges */

SLB_PRIVATE struct slb_slab_area slb_slab_area_of(const struct slabby_allocator *pool) {
    uint64_t guard = pool->guard_bytes / pool->reserved;
    return (struct slb_slab_area){.base = pool->slab_base,
                                  .range = pool->slab_range,
                                  .stride = pool->stride,
                                  .unit = pool->commit_unit,
                                  .guard_at = guard == 0 ? 0 : pool->stride - guard,
                                  .reserved = pool->reserved,
                                  .shards = pool->shard_mask + 1};
}

static uint32_t share_of(const struct slb_slab_area *area, uint32_t slabs, uint32_t shard) {
    return slb_shard_share(area->reserved, area->shards, slabs, shard);
}

/* The pages that hold the first `count` slabs of a shard begin and end here. */
static uint64_t part_start(const struct slb_slab_area *area, uint32_t shard) {
    return slb_shard_begins(area->reserved, area->shards, shard) * area->stride / area->unit * area->unit;
}

static uint64_t part_end(const struct slb_slab_area *area, uint32_t shard, uint32_t count) {
    uint64_t slabs = (uint64_t)slb_shard_begins(area->reserved, area->shards, shard) + count;
    uint64_t end = (slabs * area->stride + area->unit - 1) / area->unit * area->unit;
    return end < area->range ? end : area->range;
}

/* The last page of a part may be the first page of a later shard's part, and may be committed already. */
static uint64_t without_later(const struct slb_slab_area *area, uint32_t before, uint32_t shard,
                              uint64_t from, uint64_t to) {
    for (uint32_t later = shard + 1; later < area->shards && part_start(area, later) < to; later++)
        if (share_of(area, before, later) != 0)
            return part_start(area, later) > from ? part_start(area, later) : from;
    return to;
}

/* The new pages of a shard's part; a page on which an earlier part ends belongs to that part. */
static bool new_part(const struct slb_slab_area *area, uint32_t before, uint32_t now,
                     const struct slb_slab_run *run, uint64_t *out_from, uint64_t *out_to) {
    uint32_t had = share_of(area, before, run->shard), has = share_of(area, now, run->shard);
    uint64_t from = had == 0 ? part_start(area, run->shard) : part_end(area, run->shard, had);
    if (has == had)
        return false;
    *out_from = from < run->covered ? run->covered : from;
    *out_to = without_later(area, before, run->shard, *out_from, part_end(area, run->shard, has));
    return *out_from < *out_to;
}

/* Parts that touch are one run. */
SLB_PRIVATE bool slb_next_run(const struct slb_slab_area *area, uint32_t before, uint32_t now,
                              struct slb_slab_run *run) {
    bool found = false;
    for (; run->shard < area->shards; run->shard++) {
        uint64_t from, to;
        bool is_new = new_part(area, before, now, run, &from, &to);
        if (is_new && found && from > run->to)
            return true;
        if (is_new) {
            run->from = found ? run->from : from;
            run->to = to;
            found = true;
        }
        uint32_t has = share_of(area, now, run->shard);
        if (has != 0)
            run->covered = part_end(area, run->shard, has);
    }
    return found;
}

/* ------------------------------------------------------------------------------------------------ one commit */

struct commit {
    const struct slb_slab_area *area;
    uint32_t before, now;
    const struct slb_options *options;
    struct slb_slab_guards *guards;
    slabby_error *error;
};

static bool is_on(const struct commit *commit, int32_t option) {
    return slb_option(commit->options, option) != 0;
}

/* If a pool populates more memory than the machine has, the system reports no error but kills some process. */
SLB_PRIVATE slabby_status slb_slabs_check_prefault(const struct slb_slab_area *area, uint32_t now,
                                                   const struct slb_options *options, slabby_error *error) {
    uint64_t memory = slb_option(options, SLABBY_OPTION_PREFAULT) == 0 ? 0 : slb_os_physical_memory();
    uint64_t bytes = now * area->stride;
    if (memory == 0 || bytes <= memory)
        return SLABBY_OK;
    return slb_error_set(error, SLABBY_NO_SYSTEM_MEMORY, SLABBY_OPTION_PREFAULT, (int64_t)bytes, 1,
                         (int64_t)memory,
                         "prefault would touch %" PRIu64 " bytes and this machine has %" PRIu64
                         "; leave prefault off, or lower the capacity or the slab size",
                         bytes, memory);
}

static slabby_status commit_run(const struct commit *commit, char *start, uint64_t size) {
    if (!slb_os_commit(start, size))
        return slb_error_refused(commit->error, size, commit->before == 0 ? "the slabs" : "further slabs",
                                 "lower the capacity or the slab size; or raise RLIMIT_DATA, or what "
                                 "vm.overcommit_memory = 2 allows");
    if (is_on(commit, SLABBY_OPTION_HUGE_PAGES) && !slb_os_huge_pages(start, size))
        return slb_error_set(
            commit->error, SLABBY_NOT_SUPPORTED, SLABBY_OPTION_HUGE_PAGES, 1, 0, 1,
            "option huge_pages = on: this system offers none, or they are switched off (%s); "
            "leave it off",
            "/sys/kernel/mm/transparent_hugepage/enabled, or prctl PR_SET_THP_DISABLE");
    if (is_on(commit, SLABBY_OPTION_NO_DUMP) && !slb_os_no_dump(start, size))
        return slb_error_set(commit->error, SLABBY_NOT_SUPPORTED, SLABBY_OPTION_NO_DUMP, 1, 0, 1,
                             "option no_dump = on: this system cannot keep memory out of core dumps");
    return SLABBY_OK;
}

/* Guards that cost mappings are refused before they would exhaust the mappings: a process without mappings left cannot
 * even start a thread. */
static slabby_status claim_guards(const struct commit *commit) {
    uint32_t count = commit->now - commit->before;
    if (commit->guards->claimed != 0)
        return SLABBY_OK;
    if (!slb_os_claim_guards(count))
        return slb_error_set(
            commit->error, SLABBY_NO_SYSTEM_MEMORY, SLABBY_OPTION_GUARD_PAGES, commit->now, 1,
            (int64_t)slb_os_guard_limit(),
            "guard_pages for %" PRIu32 " slabs would exceed the system's mappings; choose at most "
            "%" PRIu64 " slabs in all pools, bit_guard, or a kernel with guard regions (6.13)",
            commit->now, slb_os_guard_limit());
    commit->guards->claimed = count;
    return SLABBY_OK;
}

/* One page behind each slab of a shard's part. */
static slabby_status guard_part(const struct commit *commit, uint32_t shard, enum slb_guard_way *way) {
    const struct slb_slab_area *area = commit->area;
    uint32_t start = slb_shard_begins(area->reserved, area->shards, shard);
    uint64_t end = (uint64_t)start + share_of(area, commit->now, shard);
    slabby_status status = SLABBY_OK;
    for (uint64_t i = (uint64_t)start + share_of(area, commit->before, shard); i < end && status == SLABBY_OK;
         i++) {
        uint64_t size = area->stride - area->guard_at;
        if (!slb_os_guard(area->base + i * area->stride + area->guard_at, size, way))
            return slb_error_refused(commit->error, size, "a guard page",
                                     "raise vm.max_map_count, or lower the capacity");
        if (*way == SLB_GUARD_PROTECT)
            status = claim_guards(commit);
    }
    return status;
}

static slabby_status init_guards(const struct commit *commit) {
    enum slb_guard_way way = SLB_GUARD_UNKNOWN;
    slabby_status status = SLABBY_OK;
    for (uint32_t shard = 0; shard < commit->area->shards && status == SLABBY_OK; shard++)
        status = guard_part(commit, shard, &way);
    commit->guards->refused = status != SLABBY_OK;
    return status;
}

static slabby_status lock_run(const struct commit *commit, char *start, uint64_t size) {
    int64_t request = slb_option(commit->options, SLABBY_OPTION_LOCK_MEMORY);
    if (request == SLABBY_LOCK_MEMORY_OFF || slb_os_lock_memory(start, size) ||
        request == SLABBY_LOCK_MEMORY_BEST_EFFORT)
        return SLABBY_OK;
    return slb_error_set(
        commit->error, SLABBY_NO_SYSTEM_MEMORY, SLABBY_OPTION_LOCK_MEMORY, (int64_t)size, 0, 0,
        "the system refused to lock %" PRIu64
        " bytes (lock_memory = required, errno %d); raise RLIMIT_MEMLOCK or choose best_effort",
        size, errno);
}

/* Populating a range that contains guards fails at the first guard, so such a range is populated slab by slab. */
static bool touch(const struct slb_slab_area *area, uint64_t from, uint64_t to) {
    if (area->guard_at == 0)
        return slb_os_populate(area->base + from, to - from);
    for (uint64_t slab = from / area->stride * area->stride; slab < to; slab += area->stride)
        if (slab >= from && slab + area->guard_at <= to &&
            !slb_os_populate(area->base + slab, area->guard_at))
            return false;
    return true;
}

static slabby_status lock_and_touch(const struct commit *commit, const struct slb_slab_run *run) {
    uint64_t size = run->to - run->from;
    slabby_status status = lock_run(commit, commit->area->base + run->from, size);
    if (status == SLABBY_OK && is_on(commit, SLABBY_OPTION_PREFAULT) &&
        !touch(commit->area, run->from, run->to))
        status = slb_error_refused(commit->error, size, "touching every page (option prefault)",
                                   "leave prefault off, free memory, or lower the capacity");
    return status;
}

/* Guards come first, because locked memory takes no guards. Then the lock, then the touching: the lock makes the
 * touched pages permanent. */
static slabby_status commit_all(const struct commit *commit) {
    const struct slb_slab_area *area = commit->area;
    slabby_status status = slb_slabs_check_prefault(area, commit->now, commit->options, commit->error);
    for (struct slb_slab_run run = {0};
         status == SLABBY_OK && slb_next_run(area, commit->before, commit->now, &run);)
        status = commit_run(commit, area->base + run.from, run.to - run.from);
    if (status == SLABBY_OK && area->guard_at != 0)
        status = init_guards(commit);
    for (struct slb_slab_run run = {0};
         status == SLABBY_OK && slb_next_run(area, commit->before, commit->now, &run);)
        status = lock_and_touch(commit, &run);
    return status;
}

SLB_PRIVATE slabby_status slb_slabs_commit(const struct slb_slab_area *area, uint32_t before, uint32_t now,
                                           const struct slb_options *options, struct slb_slab_guards *out,
                                           slabby_error *error) {
    struct commit commit = {area, before, now, options, out, error};
    *out = (struct slb_slab_guards){0};
    slabby_status status = commit_all(&commit);
    if (status == SLABBY_OK)
        return status;
    for (struct slb_slab_run run = {0}; slb_next_run(area, before, now, &run);)
        slb_os_decommit(area->base + run.from, run.to - run.from);
    slb_os_return_guards(out->claimed);
    out->claimed = 0;
    return status;
}

SLB_PRIVATE bool slb_slabs_lock(const struct slabby_allocator *pool) {
    struct slb_slab_area area = slb_slab_area_of(pool);
    bool all = true;
    for (struct slb_slab_run run = {0}; slb_next_run(&area, 0, pool->capacity.committed, &run);)
        all &= slb_os_lock_memory(area.base + run.from, run.to - run.from);
    return all;
}
