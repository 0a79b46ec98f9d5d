/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/audit_rings.h"

#include "os/os.h"
#include "tiers/cpu_cache_rseq.h"
#include "tiers/in_flight.h"

/* Rounds over all rings before a record is dropped. A ring stays locked only while its thread is stopped within a dozen
 * instructions. */
#define PUT_ROUNDS 64u

#define NO_KEY UINT64_MAX

SLB_PRIVATE void slb_audit_init(struct slabby_allocator *pool, const struct slb_layout *layout,
                                char *metadata) {
    pool->audit = (struct slb_audit){.size = layout->audit_records};
    pool->audit_chains = NULL;
    if (layout->audit_records == 0)
        return;
    pool->audit_chains = (struct slb_audit_chains *)(void *)(metadata + layout->audit_chains);
    pool->audit.merged = (struct slb_audit_merged *)(void *)(metadata + layout->audit_merged);
    pool->audit.rings = (struct slb_audit_ring *)(void *)(metadata + layout->audit_rings);
    pool->audit.entries = (struct slb_audit_entry *)(void *)(metadata + layout->audit_entries);
    pool->audit.keys = (_Atomic uint64_t *)(void *)(metadata + layout->audit_keys);
    pool->audit.mask = layout->audit_slots_a_ring - 1;
    struct slb_audit_slot *slots = (struct slb_audit_slot *)(void *)(metadata + layout->audit_slots);
    for (uint64_t i = 0; i < layout->cpus + SLB_AUDIT_SHARED_RINGS; i++)
        pool->audit.rings[i].slots = slots + i * layout->audit_slots_a_ring;
}

static struct slb_audit_slot *slot_of(const struct slb_audit *audit, const struct slb_audit_ring *ring,
                                      uint64_t record) {
    return &ring->slots[record & audit->mask];
}

SLB_PRIVATE void slb_audit_raise(_Atomic uint64_t *key, uint64_t to) {
    /* relaxed: the swap looks again */
    uint64_t found = atomic_load_explicit(key, memory_order_relaxed);
    while (found < to && !atomic_compare_exchange_weak(key, &found, to))
        ;
}

/* ------------------------------------------------------------------------------------------------- writing */

static uint64_t above(uint64_t key, uint64_t other) {
    return key > other ? key : other + 1;
}

/* Does the same as the sequence, under a lock that no thread waits for. False: the lock is taken. */
static bool put_locked(const struct slb_audit *audit, struct slb_audit_ring *ring, uint64_t *key,
                       uint64_t ref, uint64_t about) {
    uint32_t busy = 0;
    if (!atomic_compare_exchange_strong_explicit(&ring->busy, &busy, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    /* relaxed: only the holder of `busy` writes these, and taking it acquires */
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t before = atomic_load_explicit(&slot_of(audit, ring, head - 1)->key, memory_order_relaxed);
    struct slb_audit_slot *slot = slot_of(audit, ring, head);
    /* relaxed: what happened before this record has happened before this load, see audit_rings.h */
    *key = above(above(*key, before), atomic_load_explicit(&audit->merged->floor, memory_order_relaxed));
    SLB_POINT(SLB_POINT_RING_WRITE);
    /* release: the key after the head before it, the other words after the key */
    atomic_store_explicit(&slot->key, *key, memory_order_release);
    atomic_store_explicit(&slot->ref, ref, memory_order_release);
    atomic_store_explicit(&slot->about, about, memory_order_release);
    /* release: pairs with the reader's load of head; then with the next holder of `busy` */
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    atomic_store_explicit(&ring->busy, 0, memory_order_release);
    return true;
}

/* The sequences of a pool have the rings of the CPUs for themselves. */
static bool cpu_rings_are_locked(const struct slabby_allocator *pool) {
    return pool->backend != SLABBY_CPU_CACHE_BACKEND_RSEQ;
}

/* The rings that a thread may lock: its CPU's where no sequences write to it, then the shared ones. */
static bool put_somewhere(struct slabby_allocator *pool, uint64_t *key, uint64_t ref, uint64_t about) {
    const struct slb_audit *audit = &pool->audit;
    uint32_t cpu = slb_os_cpu();
    if (cpu_rings_are_locked(pool) && cpu < slb_used_cpus(pool) &&
        put_locked(audit, &audit->rings[cpu], key, ref, about))
        return true;
    for (uint32_t i = 0; i < SLB_AUDIT_SHARED_RINGS; i++)
        if (put_locked(audit, &audit->rings[pool->cpus + (cpu + i) % SLB_AUDIT_SHARED_RINGS], key, ref,
                       about))
            return true;
    return false;
}

SLB_PRIVATE uint64_t slb_audit_put_shared(struct slabby_allocator *pool, uint64_t key, uint64_t ref,
                                          uint64_t about) {
    for (uint32_t round = 0; round < PUT_ROUNDS; round++) {
        if (!put_somewhere(pool, &key, ref, about)) {
            slb_os_wait_a_little(round);
            continue;
        }
        /* before this thread's next sequence loads the floor: nothing else keeps the two in order */
        if (!cpu_rings_are_locked(pool))
            atomic_thread_fence(memory_order_seq_cst);
        return key;
    }
    slb_count(&pool->audit.merged->dropped, 1);
    return key;
}

/* ------------------------------------------------------------------------------------------------- merging */

/* The rings of the CPUs in use, then the shared ones; NULL behind the last. */
static struct slb_audit_ring *ring_at(struct slabby_allocator *pool, uint32_t used, uint32_t i) {
    if (i >= used + SLB_AUDIT_SHARED_RINGS)
        return NULL;
    return &pool->audit.rings[i < used ? i : pool->cpus + (i - used)];
}

/* The key of the last record in a ring, 0 where there is none; *out_head: how many there are. If writers have reached
 * this slot again meanwhile, it has the key of a later record; then this reads again. */
static uint64_t last_key(const struct slb_audit *audit, const struct slb_audit_ring *ring,
                         uint64_t *out_head) {
    for (;;) {
        /* acquire: pairs with the commit */
        *out_head = atomic_load_explicit(&ring->head, memory_order_acquire);
        uint64_t key = atomic_load_explicit(&slot_of(audit, ring, *out_head - 1)->key, memory_order_acquire);
        /* after the key: the writer of record n has seen n committed records, and overwrites record n - slots */
        if (atomic_load_explicit(&ring->head, memory_order_relaxed) < *out_head + audit->mask)
            return key;
    }
}

SLB_PRIVATE uint64_t slb_audit_newest(struct slabby_allocator *pool) {
    uint64_t newest = 0;
    uint32_t used = slb_used_cpus(pool);
    struct slb_audit_ring *ring;
    for (uint32_t i = 0; (ring = ring_at(pool, used, i)) != NULL; i++) {
        uint64_t head, key = last_key(&pool->audit, ring, &head);
        newest = key > newest ? key : newest;
    }
    return newest;
}

static uint64_t ring_read(const struct slb_audit_ring *ring) {
    return atomic_load_explicit(&ring->read, memory_order_relaxed); /* the reader's own */
}

/* relaxed: records that happened before this call are seen; the others may wait for the next call. */
static bool anything_is_new(struct slabby_allocator *pool) {
    const struct slb_audit_merged *merged = pool->audit.merged;
    uint32_t used = slb_used_cpus(pool);
    struct slb_audit_ring *ring;
    for (uint32_t i = 0; (ring = ring_at(pool, used, i)) != NULL; i++)
        if (atomic_load_explicit(&ring->head, memory_order_relaxed) != ring_read(ring))
            return true;
    return atomic_load_explicit(&merged->dropped, memory_order_relaxed) != merged->dropped_read;
}

static uint64_t next_number(const struct slb_audit_merged *merged) {
    return atomic_load_explicit(&merged->next, memory_order_relaxed); /* the reader's own */
}

/* The record's count goes up before the number of the next: see renumber. relaxed: both are the reader's own. */
static void number_records(struct slb_audit_merged *merged, struct slb_audit_ring *ring, uint64_t count) {
    atomic_store_explicit(&ring->read, ring_read(ring) + count, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&merged->next, next_number(merged) + count, memory_order_relaxed);
}

/* Records that were overwritten since the last merge are older than the remaining ones. */
static void skip_overwritten(const struct slb_audit *audit, struct slb_audit_ring *ring) {
    ring->last = last_key(audit, ring, &ring->end);
    if (ring->end - ring_read(ring) > audit->size)
        number_records(audit->merged, ring, ring->end - audit->size - ring_read(ring));
}

/* The key of the ring's next record; NO_KEY where it has none up to the floor. A key above the last committed one
 * belongs to a writer that has reached the slot again: the record that was there is lost. */
static void find_next(const struct slb_audit *audit, struct slb_audit_ring *ring, uint64_t floor) {
    for (ring->key = NO_KEY; ring_read(ring) != ring->end; number_records(audit->merged, ring, 1)) {
        /* acquire: the words of the record are loaded behind it */
        uint64_t key =
            atomic_load_explicit(&slot_of(audit, ring, ring_read(ring))->key, memory_order_acquire);
        if (key <= ring->last) {
            ring->key = key <= floor ? key : NO_KEY;
            return;
        }
    }
}

/* acquire, each word: if a word is newer, its newer key was stored before it, and the load at the end finds this
 * key. */
static bool copy_record(const struct slb_audit *audit, const struct slb_audit_ring *ring,
                        struct slb_audit_entry *out) {
    struct slb_audit_slot *slot = slot_of(audit, ring, ring_read(ring));
    out->time_ns = ring->key;
    out->ref = atomic_load_explicit(&slot->ref, memory_order_acquire);
    out->about = atomic_load_explicit(&slot->about, memory_order_acquire);
    return atomic_load_explicit(&slot->key, memory_order_relaxed) == ring->key;
}

static void merge_record(const struct slb_audit *audit, struct slb_audit_ring *ring, uint64_t floor,
                         uint64_t epoch_ns) {
    struct slb_audit_entry entry;
    if (copy_record(audit, ring, &entry)) {
        uint64_t sequence = next_number(audit->merged);
        entry.time_ns += epoch_ns;
        entry.sequence = sequence + 1;
        audit->entries[sequence & (audit->size - 1)] = entry;
    }
    number_records(audit->merged, ring, 1);
    find_next(audit, ring, floor);
}

static struct slb_audit_ring *lowest_ring(struct slabby_allocator *pool, uint32_t used) {
    struct slb_audit_ring *ring, *lowest = ring_at(pool, used, 0);
    for (uint32_t i = 1; (ring = ring_at(pool, used, i)) != NULL; i++)
        lowest = ring->key < lowest->key ? ring : lowest;
    return lowest;
}

/* The difference of the wall clock from the steady clock: the best of a few pairs of readings, because this thread may
 * be stopped between the two. */
static uint64_t wall_epoch_ns(void) {
    uint64_t best = UINT64_MAX, epoch_ns = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t before = slb_os_now_ns(), wall_ns = slb_os_wall_ns(), took = slb_os_now_ns() - before;
        if (took < best) {
            best = took;
            epoch_ns = wall_ns - (before + took / 2);
        }
    }
    return epoch_ns;
}

/* Under the reader's lock. */
static void merge(struct slabby_allocator *pool) {
    const struct slb_audit *audit = &pool->audit;
    struct slb_audit_ring *ring;
    if (!anything_is_new(pool))
        return;
    slb_audit_raise(&audit->merged->floor, slb_audit_newest(pool));
    uint64_t floor = atomic_load(&audit->merged->floor);
    /* the floor before the heads, see audit_rings.h */
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t used = slb_used_cpus(pool);
    uint64_t epoch_ns = wall_epoch_ns();
    /* relaxed: a number that publishes nothing else */
    uint64_t dropped = atomic_load_explicit(&audit->merged->dropped, memory_order_relaxed);
    atomic_fetch_add(&audit->merged->next, dropped - audit->merged->dropped_read);
    audit->merged->dropped_read = dropped;
    for (uint32_t i = 0; (ring = ring_at(pool, used, i)) != NULL; i++)
        skip_overwritten(audit, ring);
    for (uint32_t i = 0; (ring = ring_at(pool, used, i)) != NULL; i++)
        find_next(audit, ring, floor);
    while ((ring = lowest_ring(pool, used))->key != NO_KEY)
        merge_record(audit, ring, floor, epoch_ns);
}

/* ------------------------------------------------------------------------------------------------- reading */

/* A reader in the parent that was interrupted by the fork may have counted a record and not numbered it yet. */
static void renumber(struct slabby_allocator *pool) {
    struct slb_audit_merged *merged = pool->audit.merged;
    struct slb_audit_ring *ring;
    uint64_t next = merged->dropped_read;
    uint32_t used = slb_used_cpus(pool);
    for (uint32_t i = 0; (ring = ring_at(pool, used, i)) != NULL; i++)
        next += ring_read(ring);
    atomic_store(&merged->next, next);
}

/* A child made by fork does not wait for a thread that stayed in the parent. */
SLB_PRIVATE void slb_audit_lock(struct slabby_allocator *pool) {
    _Atomic uint32_t *reader = &pool->audit.merged->reader;
    uint32_t here = slb_os_process();
    for (uint32_t attempt = 0;; attempt++) {
        uint32_t found = atomic_load_explicit(reader, memory_order_relaxed); /* the swap looks again */
        if (found == here) {
            slb_os_wait_a_little(attempt);
        } else if (/* acquire: pairs with the reader before, in slb_audit_unlock */
                   atomic_compare_exchange_strong_explicit(reader, &found, here, memory_order_acquire,
                                                           memory_order_relaxed)) {
            if (found != 0)
                renumber(pool);
            return;
        }
    }
}

SLB_PRIVATE void slb_audit_unlock(struct slabby_allocator *pool) {
    atomic_store_explicit(&pool->audit.merged->reader, 0, memory_order_release);
}

SLB_PRIVATE enum slb_audit_found slb_audit_fetch(struct slabby_allocator *pool, uint64_t *cursor,
                                                 uint64_t *lost, struct slb_audit_entry *out_entry) {
    const struct slb_audit *audit = &pool->audit;
    if (*cursor >= next_number(audit->merged))
        merge(pool);
    uint64_t next = next_number(audit->merged);
    if (*cursor > next)
        return SLB_AUDIT_BAD_CURSOR;
    if (next - *cursor > audit->size) {
        *lost += next - audit->size - *cursor;
        *cursor = next - audit->size;
    }
    for (; *cursor != next; ++*lost) {
        *out_entry = audit->entries[*cursor & (audit->size - 1)];
        if (out_entry->sequence == ++*cursor)
            return SLB_AUDIT_RECORD;
    }
    return SLB_AUDIT_END;
}

SLB_PRIVATE uint64_t slb_audit_end(struct slabby_allocator *pool) {
    merge(pool);
    return next_number(pool->audit.merged);
}

SLB_PRIVATE void slb_audit_after_fork(struct slabby_allocator *pool) {
    struct slb_audit_ring *ring;
    uint32_t used = slb_used_cpus(pool);
    for (uint32_t i = 0; pool->audit.size != 0 && (ring = ring_at(pool, used, i)) != NULL; i++)
        atomic_store(&ring->busy, 0);
}
