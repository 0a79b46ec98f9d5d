/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A record before it is in a ring: its time, its thread, and its place in the life of a slab. Inline for the paths on
 * which a slab changes hands; observe/audit.h has the same as a call.
 *
 * Time. Reading the clock may cost more than everything else of a record (20 ns and more for a virtual machine's
 * counter). So a thread that writes records in a burst, SLB_RECORDS_DENSE_NS apart or closer, reads it for one in
 * SLB_RECORDS_A_READING. The other records have the time of that reading, each a nanosecond later than the one before.
 * At the end of a burst this time would be old. The coarse clock, which is a load from memory, limits its age: the
 * clock is read when the coarse clock has ticked.
 */
#ifndef SLB_OBSERVE_AUDIT_RECORD_H
#define SLB_OBSERVE_AUDIT_RECORD_H

#include "observe/audit_rings.h"
#include "os/os.h"

#define SLB_RECORDS_A_READING 32u
#define SLB_RECORDS_DENSE_NS 256u

/* Of a thread. */
struct slb_recorder {
    uint64_t key; /* of its last record */
    uint64_t read_ns, coarse_ns;
    uint32_t left;   /* records that need no reading */
    uint32_t run;    /* records that the last reading was for */
    uint64_t thread; /* 0: not asked for yet */
    int32_t binding; /* the language of its calls + 1; 0: it did not say */
};

/* initial-exec as in tiers/in_flight.h: a signal handler may allocate. */
SLB_SHARED_DATA SLB_THREAD_LOCAL struct slb_recorder slb_recorder;

SLB_PRIVATE uint64_t slb_record_time(struct slb_recorder *own, uint64_t coarse_ns);
SLB_PRIVATE SLB_COLD void slb_record_left_out(struct slabby_allocator *pool);

/* The lowest key that the thread's next record may have. */
SLB_INLINE uint64_t slb_record_next_key(struct slb_recorder *own) {
    uint64_t coarse_ns = slb_os_coarse_ns();
    if (slb_unlikely(own->left == 0 || own->coarse_ns != coarse_ns))
        return slb_record_time(own, coarse_ns);
    own->left--;
    return own->key + 1;
}

/* A signal handler may have written later records meanwhile. */
SLB_INLINE uint64_t slb_record_put(struct slabby_allocator *pool, struct slb_recorder *own, uint64_t key,
                                   int32_t operation, uint64_t ref, slabby_status status) {
    int32_t binding = own->binding == 0 ? pool->binding : own->binding - 1;
    if (slb_unlikely(own->thread == 0))
        own->thread = slb_os_thread();
    SLB_ASSERT(operation >= 0 && operation < 256 && binding >= 0 && binding < 256);
    SLB_ASSERT(status <= 0 && status > -256);
    uint64_t about = own->thread << SLB_AUDIT_THREAD_AT | (uint64_t)-status << SLB_AUDIT_STATUS_AT |
                     (uint64_t)binding << SLB_AUDIT_BINDING_AT | (uint64_t)operation;
    key = slb_audit_put(pool, key, ref, about);
    if (slb_likely(own->key < key))
        own->key = key;
    return key;
}

/* Whether a degraded pool leaves this record out. */
SLB_INLINE bool slb_record_is_left_out(const struct slabby_allocator *pool, uint64_t ref,
                                       slabby_status status) {
    return slb_degrade_thins(&pool->degrade, ref & pool->id_mask) && status == SLABBY_OK;
}

/* For a thread that has the slab in hand, see observe/audit.h. */
SLB_INLINE void slb_record_hand_over(struct slabby_allocator *pool, int32_t operation, uint32_t id,
                                     uint64_t ref, slabby_status status) {
    struct slb_recorder *own = &slb_recorder;
    if (slb_unlikely(slb_record_is_left_out(pool, ref, status))) {
        slb_record_left_out(pool);
        return;
    }
    uint64_t key = slb_record_next_key(own);
    /* relaxed: this thread has the slab in hand, which orders its key with the slab's word and bytes */
    uint64_t last = atomic_load_explicit(&pool->audit.keys[id], memory_order_relaxed);
    key = slb_record_put(pool, own, last < key ? key : last + 1, operation, ref, status);
    atomic_store_explicit(&pool->audit.keys[id], key, memory_order_relaxed);
}

#endif
