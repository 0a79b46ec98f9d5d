/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/tools.h"

#include "tiers/used_slabs.h"
#include "protect/guard_slots.h"

#include <stddef.h>

#ifdef SLABBY_VALGRIND
#include <valgrind/drd.h>
#include <valgrind/memcheck.h>
/* both headers have macros of the same names; the requests behind them do not clash */
#undef ANNOTATE_HAPPENS_BEFORE
#undef ANNOTATE_HAPPENS_AFTER
#include <valgrind/helgrind.h>
#define VALGRIND_ASK(request, first, second) VALGRIND_DO_CLIENT_REQUEST_STMT(request, first, second, 0, 0, 0)
#define VALGRIND_HAND_OVER(key)                                                                              \
    do {                                                                                                     \
        VALGRIND_ASK(_VG_USERREQ__HG_USERSO_SEND_PRE, key, 0);                                               \
        VALGRIND_ASK(VG_USERREQ__DRD_ANNOTATE_HAPPENS_BEFORE, key, 0);                                       \
    } while (0)
#define VALGRIND_TAKE_OVER(key)                                                                              \
    do {                                                                                                     \
        VALGRIND_ASK(_VG_USERREQ__HG_USERSO_RECV_POST, key, 0);                                              \
        VALGRIND_ASK(VG_USERREQ__DRD_ANNOTATE_HAPPENS_AFTER, key, 0);                                        \
    } while (0)
/* helgrind watches no memory that was inaccessible when it was mapped */
#define VALGRIND_WATCH_RACES(start, size) VALGRIND_ASK(_VG_USERREQ__HG_ARANGE_MAKE_TRACKED, start, size)
#define VALGRIND_IGNORE_RACES(start, size)                                                                   \
    do {                                                                                                     \
        VALGRIND_ASK(_VG_USERREQ__HG_ARANGE_MAKE_UNTRACKED, start, size);                                    \
        VALGRIND_ASK(VG_USERREQ__DRD_START_SUPPRESSION, start, size);                                        \
    } while (0)
#else /* the same names, for builds without the tools */
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_CREATE_MEMPOOL(pool, redzone, zeroed) (void)(pool)
#define VALGRIND_DESTROY_MEMPOOL(pool) (void)(pool)
#define VALGRIND_MEMPOOL_ALLOC(pool, data, size) (void)(pool)
#define VALGRIND_MEMPOOL_FREE(pool, data) (void)(pool)
#define VALGRIND_MAKE_MEM_DEFINED(data, size) (void)(data)
#define VALGRIND_MAKE_MEM_NOACCESS(data, size) (void)(data)
#define VALGRIND_DISABLE_ERROR_REPORTING (void)0
#define VALGRIND_ENABLE_ERROR_REPORTING (void)0
#define VALGRIND_HAND_OVER(key) (void)(key)
#define VALGRIND_TAKE_OVER(key) (void)(key)
#define VALGRIND_IGNORE_RACES(start, size) (void)(start), (void)(size)
#define VALGRIND_WATCH_RACES(start, size) (void)(start)
#endif

#ifdef __ELF__ /* null where the program has no AddressSanitizer */
void __asan_poison_memory_region(void const volatile *memory, size_t size) __attribute__((weak));
void __asan_unpoison_memory_region(void const volatile *memory, size_t size) __attribute__((weak));
#define HAS_ASAN (__asan_poison_memory_region != NULL && __asan_unpoison_memory_region != NULL)
#else
#define HAS_ASAN 0
static void __asan_poison_memory_region(void const volatile *memory, size_t size) {
    (void)memory, (void)size;
}
static void __asan_unpoison_memory_region(void const volatile *memory, size_t size) {
    (void)memory, (void)size;
}
#endif

/* In a core that is itself built with ThreadSanitizer, the tool sees the operations that order threads, and must not be
 * told about them. Go's race runtime has functions of these names with other parameters, but not the last one. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SEES_ITSELF 1
#endif
#endif
#if defined(__ELF__) && !defined(__SANITIZE_THREAD__) && !defined(SEES_ITSELF)
void __tsan_acquire(void *key) __attribute__((weak));
void __tsan_release(void *key) __attribute__((weak));
void __tsan_func_entry(void *caller) __attribute__((weak));
#define HAS_TSAN (__tsan_acquire != NULL && __tsan_release != NULL && __tsan_func_entry != NULL)
#else
#define HAS_TSAN 0
#define __tsan_acquire(key) (void)(key)
#define __tsan_release(key) (void)(key)
#endif

/* What one byte of AddressSanitizer's shadow stands for. */
#define ASAN_GRANULE 8u

SLB_PRIVATE bool slb_tools_watch(void) {
    return HAS_ASAN || HAS_TSAN || RUNNING_ON_VALGRIND;
}

/* If two slabs shared a granule, two threads would mark it at the same time. */
static bool asan_watches(const struct slabby_allocator *pool) {
    return HAS_ASAN && pool->stride % ASAN_GRANULE == 0;
}

static void forbid(struct slabby_allocator *pool, void *memory, uint64_t size) {
    if (asan_watches(pool))
        __asan_poison_memory_region(memory, size);
    if (RUNNING_ON_VALGRIND)
        VALGRIND_MAKE_MEM_NOACCESS(memory, size);
}

static void allow(struct slabby_allocator *pool, void *memory, uint64_t size) {
    if (asan_watches(pool))
        __asan_unpoison_memory_region(memory, size);
    if (RUNNING_ON_VALGRIND)
        VALGRIND_MAKE_MEM_DEFINED(memory, size);
}

/* Orders the calling thread's accesses to a slab before those of the next thread, which takes the slab over. */
static void hand_over(void *key) {
    if (HAS_TSAN)
        __tsan_release(key);
    if (RUNNING_ON_VALGRIND)
        VALGRIND_HAND_OVER(key);
}

static void take_over(void *key) {
    if (HAS_TSAN)
        __tsan_acquire(key);
    if (RUNNING_ON_VALGRIND)
        VALGRIND_TAKE_OVER(key);
}

static char *tools_data(struct slabby_allocator *pool, uint32_t id) {
    return pool->slabs + (uint64_t)id * pool->stride;
}

static bool is_reported(struct slabby_allocator *pool, uint32_t id) {
    return id < pool->reserved && !slb_guard_holds(pool, id);
}

/* helgrind and drd do not know atomic operations, so they must ignore the memory that the core shares between
 * threads. */
SLB_PRIVATE void slb_tools_begin(struct slabby_allocator *pool) {
    if (!RUNNING_ON_VALGRIND)
        return;
    VALGRIND_CREATE_MEMPOOL(pool->slab_base, 0, 0);
    VALGRIND_WATCH_RACES(pool->slab_base, pool->slab_range);
    slb_tools_ignore_races(slb_pool_table, sizeof slb_pool_table);
    slb_tools_ignore_races(pool->metadata_mapping, pool->metadata_mapping_size);
}

SLB_PRIVATE void slb_tools_ignore_races(void *memory, uint64_t size) {
    if (RUNNING_ON_VALGRIND)
        VALGRIND_IGNORE_RACES(memory, size);
}

/* The pages go back to the system, which may use them for anything. */
SLB_PRIVATE void slb_tools_end(struct slabby_allocator *pool) {
    if ((atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_TOOLS) == 0)
        return;
    for (uint32_t id = slb_next_used(pool, 0); id < pool->reserved; id = slb_next_used(pool, id + 1))
        allow(pool, tools_data(pool, id), pool->stride - (uint64_t)pool->guard_front);
    if (RUNNING_ON_VALGRIND)
        VALGRIND_DESTROY_MEMPOOL(pool->slab_base);
}

/* Memory that the pool promises to be zero counts as written: at the first use of a slab, and with `secure`. The gap is
 * marked last, because it may begin inside the slab's last granule. */
SLB_PRIVATE void slb_tools_issue(struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    char *data = tools_data(pool, id);
    take_over(&pool->words[id]);
    if (slb_guard_holds(pool, id))
        take_over(pool); /* a slot had other slabs before */
    bool zero = generation == 0 ||
                (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SECURE) != 0;
    if (!is_reported(pool, id))
        return;
    if (asan_watches(pool))
        __asan_unpoison_memory_region(data, pool->slab_size);
    if (RUNNING_ON_VALGRIND) {
        VALGRIND_MEMPOOL_ALLOC(pool->slab_base, data, pool->slab_size);
        if (zero)
            VALGRIND_MAKE_MEM_DEFINED(data, pool->slab_size);
    }
    if (pool->guard_front + pool->guard_back == 0 && pool->guard_bytes == 0)
        forbid(pool, data + pool->slab_size, pool->stride - pool->slab_size);
}

/* Behind the unpins of other threads. */
SLB_PRIVATE void slb_tools_return(struct slabby_allocator *pool, uint32_t id) {
    take_over(&pool->words[id]);
    hand_over(&pool->words[id]);
    if (!is_reported(pool, id))
        return;
    if (asan_watches(pool))
        __asan_poison_memory_region(tools_data(pool, id), pool->slab_size);
    if (RUNNING_ON_VALGRIND)
        VALGRIND_MEMPOOL_FREE(pool->slab_base, tools_data(pool, id));
}

/* Behind the unpins of other threads. */
SLB_PRIVATE void slb_tools_empty_guarded(struct slabby_allocator *pool, uint32_t id) {
    take_over(&pool->words[id]);
}

/* Before the slot is free for another slab. */
SLB_PRIVATE void slb_tools_return_guarded(struct slabby_allocator *pool, uint32_t id) {
    hand_over(&pool->words[id]);
    hand_over(pool);
}

SLB_PRIVATE void slb_tools_unpinning(struct slabby_allocator *pool, uint32_t id) {
    if (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_TOOLS)
        hand_over(&pool->words[id]);
}

static bool is_watched(struct slabby_allocator *pool, uint32_t id) {
    return id < pool->reserved &&
           (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_TOOLS) != 0;
}

SLB_PRIVATE void slb_tools_open(struct slabby_allocator *pool, uint32_t id) {
    if (!is_watched(pool, id))
        return;
    take_over(&pool->words[id]);
    allow(pool, tools_data(pool, id), pool->slab_size);
}

SLB_PRIVATE void slb_tools_shut(struct slabby_allocator *pool, uint32_t id) {
    if (!is_watched(pool, id))
        return;
    forbid(pool, tools_data(pool, id), pool->slab_size);
    hand_over(&pool->words[id]);
}

/* Byte by byte and volatile, because the tools replace memset. */
SLB_PRIVATE __attribute__((no_sanitize("address"))) void slb_tools_zero(void *memory, uint64_t size) {
    volatile unsigned char *bytes = memory;
    VALGRIND_DISABLE_ERROR_REPORTING;
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = 0;
    VALGRIND_ENABLE_ERROR_REPORTING;
}
