/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Restartable sequences, simulated: what the assembly does, access by access. Before each access the scheduler may let
 * others go on; if one of them ran on this CPU, or a fence restarted the sequence, the access does not happen and the
 * sequence has been restarted. The last access is the commit.
 */
#include "prelude.h"

#include "scheduler.h"

#include "tiers/cpu_cache.h"
#include "tiers/rseq_run.h"

/* A sequence up to its first look at the header. */
struct sequence {
    struct slb_cpu_cache *cache;
    uint64_t header;
    uint32_t length; /* SLB_CACHE_LOCKED where it is locked */
};

static bool reach(const volatile void *location, enum access access) {
    schedule_access(location, access, __builtin_return_address(0));
    return schedule_sequence_goes_on();
}

static int end(enum slb_rseq_result result) {
    schedule_sequence_end();
    return (int)result;
}

static enum slb_rseq_result begin(union slb_cpu_cache_entry *const *stacks, const _Atomic uint32_t *cpus,
                                  struct sequence *out) {
    schedule_sequence_begin();
    uint32_t cpu = schedule_cpu();
    if (!reach((const volatile void *)cpus, ACCESS_READ))
        return SLB_RSEQ_RESTARTED;
    if (cpu >= *cpus)
        return SLB_RSEQ_REFUSED;
    out->cache = &(*stacks)[cpu].cache;
    if (!reach(&out->cache->header, ACCESS_READ))
        return SLB_RSEQ_RESTARTED;
    out->header = out->cache->header;
    out->length = (uint32_t)(out->header & SLB_CACHE_LOCKED);
    return SLB_RSEQ_DONE;
}

static int commit(const struct sequence *sequence, uint64_t header) {
    if (!reach(&sequence->cache->header, ACCESS_WRITE))
        return end(SLB_RSEQ_RESTARTED);
    sequence->cache->header = header;
    schedule_changed(&sequence->cache->header);
    return end(SLB_RSEQ_DONE);
}

/* With a count ahead of the header, which a restart between the two leaves behind. */
static int commit_counted(const struct sequence *sequence, uint64_t header, _Atomic uint64_t *counter) {
    if (!reach((const volatile void *)counter, ACCESS_WRITE))
        return end(SLB_RSEQ_RESTARTED);
    *(uint64_t *)(void *)counter += 1;
    schedule_changed((const volatile void *)counter);
    int result = commit(sequence, header);
    return result == SLB_RSEQ_RESTARTED ? SLB_RSEQ_COUNTED : result;
}

static int take(struct slabby_allocator *pool, const _Atomic uint32_t *cpus, bool untimed, bool fast,
                uint32_t *out_id, struct slb_cpu_cache **out_cache) {
    struct sequence it;
    enum slb_rseq_result begun = begin(&pool->caches, cpus, &it);
    if (begun != SLB_RSEQ_DONE)
        return end(begun);
    if (untimed && slb_sample_is_due(it.header, it.cache->sample_at))
        return end(SLB_RSEQ_REFUSED);
    if (it.length - 1 >= pool->cache_max)
        return end(SLB_RSEQ_REFUSED);
    if (!reach(&it.cache->ids[it.length - 1], ACCESS_READ))
        return end(SLB_RSEQ_RESTARTED);
    *out_id = it.cache->ids[it.length - 1];
    *out_cache = it.cache;
    return fast ? commit_counted(&it, it.header + SLB_CACHE_TAKE, &it.cache->fast_taken)
                : commit(&it, it.header + SLB_CACHE_TAKE);
}

/* Every access of the harness is in order. */
void slb_rseq_order_counts(void) {
}

int slb_rseq_try_take(struct slabby_allocator *pool, uint32_t *out_id) {
    struct slb_cpu_cache *cache;
    return take(pool, &pool->rseq_cpus, false, false, out_id, &cache);
}

bool slb_rseq_take_untimed(struct slabby_allocator *pool, const _Atomic uint32_t *limit, uint64_t *out_id,
                           void *out_cache) {
    uint32_t id;
    if (take(pool, limit, true, false, &id, out_cache) != SLB_RSEQ_DONE)
        return false;
    *out_id = id;
    return true;
}

int slb_rseq_take_fast(struct slabby_allocator *pool, const _Atomic uint32_t *limit, uint32_t *out_id,
                       void *out_cache) {
    return take(pool, limit, true, true, out_id, out_cache);
}

int slb_rseq_try_take_counted(struct slabby_allocator *pool, uint32_t *out_id) {
    struct slb_cpu_cache *cache;
    return take(pool, &pool->rseq_cpus, false, true, out_id, &cache);
}

/* From the look at the word on. */
static int swap(_Atomic uint64_t *entry, uint64_t biased, uint64_t word) {
    uint64_t *location = (uint64_t *)(void *)entry;
    if (!reach(location, ACCESS_READ))
        return end(SLB_RSEQ_RESTARTED);
    if (*location != (biased | (uint64_t)schedule_cpu() << SLB_WORD_HIGH))
        return end(SLB_RSEQ_REFUSED);
    if (!reach(location, ACCESS_WRITE))
        return end(SLB_RSEQ_RESTARTED);
    *location = word;
    schedule_changed(location);
    return end(SLB_RSEQ_DONE);
}

int slb_rseq_try_swap(struct slabby_allocator *pool, uint64_t id, uint64_t biased, uint64_t word) {
    schedule_sequence_begin();
    if (!reach(&pool->rseq_cpus, ACCESS_READ))
        return end(SLB_RSEQ_RESTARTED);
    if (schedule_cpu() >= pool->rseq_cpus)
        return end(SLB_RSEQ_REFUSED);
    return swap(&pool->words[id], biased, word);
}

int slb_rseq_try_read(struct slabby_allocator *pool, uint64_t id, uint64_t *out_word) {
    uint64_t *location = (uint64_t *)(void *)&pool->words[id];
    schedule_sequence_begin();
    if (!reach(&pool->word_cpus, ACCESS_READ))
        return end(SLB_RSEQ_RESTARTED);
    if (schedule_cpu() >= pool->word_cpus)
        return end(SLB_RSEQ_REFUSED);
    if (!reach(location, ACCESS_READ))
        return end(SLB_RSEQ_RESTARTED);
    *out_word = *location;
    return end(SLB_RSEQ_DONE);
}

int slb_rseq_try_exchange(struct slabby_allocator *pool, uint64_t id, uint64_t expected, uint64_t word,
                          uint64_t *out_found) {
    uint64_t *location = (uint64_t *)(void *)&pool->words[id];
    schedule_sequence_begin();
    if (!reach(&pool->word_cpus, ACCESS_READ))
        return end(SLB_RSEQ_RESTARTED);
    if (schedule_cpu() >= pool->word_cpus)
        return end(SLB_RSEQ_REFUSED);
    if (!reach(location, ACCESS_WRITE))
        return end(SLB_RSEQ_RESTARTED);
    *out_found = *location;
    if (*location == expected) {
        *location = word;
        schedule_changed(location);
    }
    return end(SLB_RSEQ_DONE);
}

int slb_rseq_try_peek(struct slabby_allocator *pool, uint64_t *out_header, uint32_t *out_sample_at) {
    struct sequence it;
    enum slb_rseq_result begun = begin(&pool->caches, &pool->rseq_cpus, &it);
    if (begun != SLB_RSEQ_DONE)
        return end(begun);
    if (!reach(&it.cache->sample_at, ACCESS_READ))
        return end(SLB_RSEQ_RESTARTED);
    *out_header = it.header;
    *out_sample_at = it.cache->sample_at;
    return end(SLB_RSEQ_DONE);
}

int slb_rseq_try_note_fast_given(struct slabby_allocator *pool) {
    struct sequence it;
    enum slb_rseq_result begun = begin(&pool->caches, &pool->rseq_cpus, &it);
    if (begun != SLB_RSEQ_DONE)
        return end(begun);
    if (!reach(&it.cache->fast_given, ACCESS_WRITE))
        return end(SLB_RSEQ_RESTARTED);
    it.cache->fast_given++;
    return end(SLB_RSEQ_DONE);
}

int slb_rseq_release(intptr_t area, struct slabby_allocator *pool, const _Atomic uint64_t *limit, uint64_t id,
                     uint64_t free_word) {
    (void)area;
    /* Others may go on between what the caller has read and the sequence, which no fence restarts yet. */
    schedule_access((const volatile void *)limit, ACCESS_READ, __builtin_return_address(0));
    schedule_sequence_begin();
    if (!reach((const volatile void *)limit, ACCESS_READ) || free_word >= *limit)
        return end(SLB_RSEQ_RESTARTED);
    return swap(&pool->words[id], free_word + (SLABBY_SLAB_STATE_LIVE | SLB_WORD_BIASED),
                free_word + pool->generation_step);
}

bool slb_rseq_release_next(intptr_t area, _Atomic uint64_t *entry, const _Atomic uint32_t *limit,
                           uint64_t biased, uint64_t word) {
    (void)area;
    schedule_access((const volatile void *)limit, ACCESS_READ, __builtin_return_address(0));
    schedule_sequence_begin();
    if (!reach((const volatile void *)limit, ACCESS_READ) || schedule_cpu() >= *limit)
        return end(SLB_RSEQ_RESTARTED) == SLB_RSEQ_DONE;
    return swap(entry, biased, word) == SLB_RSEQ_DONE;
}

/* The part of a run that stores words. */
static enum slb_rseq_result store_words(struct slabby_allocator *pool, const uint64_t *refs, uint32_t *ids,
                                        uint64_t count, struct sequence *it, struct slb_rseq_run *run) {
    for (uint64_t i = 0; i < count; i++) {
        uint64_t relative = refs[i] - pool->ref_bias, id = relative & pool->id_mask;
        uint64_t *location = (uint64_t *)(void *)&pool->words[id];
        if (!reach(&pool->ref_limit, ACCESS_READ))
            return SLB_RSEQ_RESTARTED;
        if (relative >= pool->ref_limit)
            return SLB_RSEQ_DONE;
        ids[i] = (uint32_t)id;
        if (!reach(&it->cache->ids[it->length + i], ACCESS_WRITE))
            return SLB_RSEQ_RESTARTED;
        it->cache->ids[it->length + i] = (uint32_t)id;
        if (!reach(location, ACCESS_READ))
            return SLB_RSEQ_RESTARTED;
        if (*location != relative - id + (SLABBY_SLAB_STATE_LIVE | slb_word_mark(schedule_cpu())))
            return SLB_RSEQ_DONE;
        if (!reach(location, ACCESS_WRITE))
            return SLB_RSEQ_RESTARTED;
        *location = relative - id + pool->generation_step;
        schedule_changed(location);
        run->freed = i + 1;
    }
    return SLB_RSEQ_DONE;
}

void slb_rseq_release_run(struct slabby_allocator *pool, const uint64_t *refs, uint32_t *ids, uint64_t count,
                          void *out_run) {
    struct slb_rseq_run *run = out_run;
    struct sequence it;
    *run = (struct slb_rseq_run){.result = begin(&pool->return_caches, &pool->release_cpus, &it)};
    if (run->result == SLB_RSEQ_DONE && it.length + count > pool->cache_max)
        run->result = SLB_RSEQ_REFUSED;
    if (run->result == SLB_RSEQ_DONE)
        run->result = store_words(pool, refs, ids, count, &it, run);
    run->result = run->result == SLB_RSEQ_DONE ? (enum slb_rseq_result)commit(&it, it.header + run->freed)
                                               : (enum slb_rseq_result)end(run->result);
}

int slb_rseq_release_fast(struct slabby_allocator *pool, uint64_t id) {
    uint64_t *location = (uint64_t *)(void *)&pool->words[id];
    uint64_t live = SLABBY_SLAB_STATE_LIVE_FAST | slb_word_mark(schedule_cpu()), generation;
    schedule_sequence_begin();
    if (!reach(&pool->release_cpus, ACCESS_READ) || schedule_cpu() >= pool->release_cpus)
        return end(SLB_RSEQ_RESTARTED);
    if (!reach(location, ACCESS_READ))
        return end(SLB_RSEQ_RESTARTED);
    generation = *location - live;
    if ((generation & pool->id_mask) != 0 || generation >= pool->ref_end)
        return end(SLB_RSEQ_REFUSED);
    if (!reach(location, ACCESS_WRITE))
        return end(SLB_RSEQ_RESTARTED);
    *location = generation + pool->generation_step;
    schedule_changed(location);
    return end(SLB_RSEQ_DONE);
}

static int give(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks, const uint32_t *ids,
                uint32_t count, bool fast) {
    struct sequence it;
    enum slb_rseq_result begun = begin(stacks, &pool->rseq_cpus, &it);
    if (begun != SLB_RSEQ_DONE)
        return end(begun);
    if (it.length + count > pool->cache_max)
        return end(SLB_RSEQ_REFUSED);
    for (uint32_t i = 0; i < count; i++) {
        if (!reach(&it.cache->ids[it.length + i], ACCESS_WRITE))
            return end(SLB_RSEQ_RESTARTED);
        it.cache->ids[it.length + i] = ids[i];
    }
    return fast ? commit_counted(&it, it.header + count, &it.cache->fast_given)
                : commit(&it, it.header + count);
}

int slb_rseq_try_give(intptr_t area, struct slabby_allocator *pool, uint32_t id) {
    (void)area;
    return give(pool, &pool->return_caches, &id, 1, false);
}

int slb_rseq_try_give_fast(struct slabby_allocator *pool, uint32_t id) {
    return give(pool, &pool->return_caches, &id, 1, true);
}

int slb_rseq_try_give_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                            const uint32_t *ids, uint32_t count) {
    return give(pool, stacks, ids, count, false);
}

int slb_rseq_try_take_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                            const _Atomic uint32_t *limit, uint32_t *ids, uint32_t count, uint64_t change,
                            void *out_cache) {
    struct sequence it;
    enum slb_rseq_result begun = begin(stacks, limit, &it);
    if (begun != SLB_RSEQ_DONE)
        return end(begun);
    if (it.length > pool->cache_max || it.length < count)
        return end(SLB_RSEQ_REFUSED);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *location = &it.cache->ids[it.length - count + i];
        if (!reach(location, ACCESS_READ))
            return end(SLB_RSEQ_RESTARTED);
        ids[i] = *location;
    }
    *(struct slb_cpu_cache **)out_cache = it.cache;
    return commit(&it, it.header + change);
}

uint32_t slb_rseq_cpu(void) {
    return schedule_cpu();
}

int slb_rseq_try_add(uint32_t cpu, volatile void *counter, uint64_t by) {
    schedule_sequence_begin();
    if (schedule_cpu() != cpu)
        return end(SLB_RSEQ_REFUSED);
    if (!reach(counter, ACCESS_WRITE))
        return end(SLB_RSEQ_RESTARTED);
    *(volatile uint64_t *)counter += by;
    schedule_changed(counter);
    return end(SLB_RSEQ_DONE);
}

bool slb_rseq_enter_single(struct slabby_allocator *pool, struct slb_stripe **out_stripe, uint32_t *out_cpu,
                           uint64_t *out_number) {
    /* Others may go on between the look at the gate and the sequence, which no fence restarts yet. */
    schedule_access(&pool->single_cpus, ACCESS_READ, __builtin_return_address(0));
    schedule_sequence_begin();
    uint32_t cpu = schedule_cpu();
    if (!reach(&pool->single_cpus, ACCESS_READ) || cpu >= pool->single_cpus)
        return end(SLB_RSEQ_REFUSED) == SLB_RSEQ_DONE;
    struct slb_stripe *stripe = &pool->stripes[cpu];
    if (!reach(&stripe->single_entered, ACCESS_WRITE))
        return end(SLB_RSEQ_RESTARTED) == SLB_RSEQ_DONE;
    *out_number = (*(uint64_t *)(void *)&stripe->single_entered)++;
    *out_stripe = stripe;
    *out_cpu = cpu;
    return end(SLB_RSEQ_DONE) == SLB_RSEQ_DONE;
}

static bool read_word(const _Atomic uint64_t *location, uint64_t *out) {
    if (!reach(location, ACCESS_READ))
        return false;
    *out = *(const uint64_t *)(const void *)location;
    return true;
}

static bool write_word(_Atomic uint64_t *location, uint64_t word) {
    if (!reach(location, ACCESS_WRITE))
        return false;
    *(uint64_t *)(void *)location = word;
    schedule_changed(location);
    return true;
}

int slb_rseq_try_audit(struct slabby_allocator *pool, uint64_t *key, uint64_t ref, uint64_t about) {
    struct slb_audit_ring *ring = &pool->audit.rings[schedule_cpu()];
    uint64_t head, before, floor, given = *key;
    schedule_sequence_begin();
    if (!reach(&pool->rseq_cpus, ACCESS_READ))
        return end(SLB_RSEQ_RESTARTED);
    if (schedule_cpu() >= pool->rseq_cpus)
        return end(SLB_RSEQ_REFUSED);
    if (!read_word(&ring->head, &head) ||
        !read_word(&ring->slots[(head - 1) & pool->audit.mask].key, &before) ||
        !read_word(&pool->audit.merged->floor, &floor))
        return end(SLB_RSEQ_RESTARTED);
    given = given > before ? given : before + 1;
    given = given > floor ? given : floor + 1;
    struct slb_audit_slot *slot = &ring->slots[head & pool->audit.mask];
    if (!write_word(&slot->key, given) || !write_word(&slot->ref, ref) || !write_word(&slot->about, about) ||
        !write_word(&ring->head, head + 1))
        return end(SLB_RSEQ_RESTARTED);
    *key = given;
    return end(SLB_RSEQ_DONE);
}

int slb_rseq_try_fold(struct slabby_allocator *pool, uint64_t amount) {
    struct sequence it;
    enum slb_rseq_result begun = begin(&pool->caches, &pool->rseq_cpus, &it);
    if (begun != SLB_RSEQ_DONE)
        return end(begun);
    if (it.length > pool->cache_max || it.header < amount << 16)
        return end(SLB_RSEQ_REFUSED);
    return commit(&it, it.header - (amount << 16));
}
