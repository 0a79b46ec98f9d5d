/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/tools.h"

#include "tiers/used_slabs.h"
#include "protect/guard_slots.h"

#include <stddef.h>

#ifdef SLABBY_VALGRIND
#include <valgrind/memcheck.h>
#else /* the same words, and never a tool */
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_CREATE_MEMPOOL(pool, redzone, zeroed) (void)(pool)
#define VALGRIND_DESTROY_MEMPOOL(pool) (void)(pool)
#define VALGRIND_MEMPOOL_ALLOC(pool, data, size) (void)(pool)
#define VALGRIND_MEMPOOL_FREE(pool, data) (void)(pool)
#define VALGRIND_MAKE_MEM_DEFINED(data, size) (void)(data)
#define VALGRIND_MAKE_MEM_NOACCESS(data, size) (void)(data)
#define VALGRIND_DISABLE_ERROR_REPORTING (void)0
#define VALGRIND_ENABLE_ERROR_REPORTING (void)0
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

/* What one byte of AddressSanitizer's shadow stands for. */
#define ASAN_GRANULE 8u

SLB_PRIVATE bool slb_tools_watch(void) {
    return HAS_ASAN || RUNNING_ON_VALGRIND;
}

/* Two slabs in one granule would be marked by two threads at once. */
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

static char *tools_data(struct slabby_allocator *pool, uint32_t id) {
    return pool->slabs + (uint64_t)id * pool->stride;
}

static bool is_reported(struct slabby_allocator *pool, uint32_t id) {
    return id < pool->reserved && !slb_guard_holds(pool, id);
}

SLB_PRIVATE void slb_tools_begin(struct slabby_allocator *pool) {
    if (RUNNING_ON_VALGRIND)
        VALGRIND_CREATE_MEMPOOL(pool->slab_base, 0, 0);
}

/* The pages go back to the system, which may hand them to anybody. */
SLB_PRIVATE void slb_tools_end(struct slabby_allocator *pool) {
    if ((atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_TOOLS) == 0)
        return;
    for (uint32_t id = slb_next_used(pool, 0); id < pool->reserved; id = slb_next_used(pool, id + 1))
        allow(pool, tools_data(pool, id), pool->stride - (uint64_t)pool->guard_front);
    if (RUNNING_ON_VALGRIND)
        VALGRIND_DESTROY_MEMPOOL(pool->slab_base);
}

/* What is zero by promise counts as written: the first use of a slab, and `secure`. The gap comes last: it may begin
 * inside the slab's last granule. */
SLB_PRIVATE void slb_tools_issue(struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    char *data = tools_data(pool, id);
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

SLB_PRIVATE void slb_tools_return(struct slabby_allocator *pool, uint32_t id) {
    if (!is_reported(pool, id))
        return;
    if (asan_watches(pool))
        __asan_poison_memory_region(tools_data(pool, id), pool->slab_size);
    if (RUNNING_ON_VALGRIND)
        VALGRIND_MEMPOOL_FREE(pool->slab_base, tools_data(pool, id));
}

static bool is_watched(struct slabby_allocator *pool, uint32_t id) {
    return id < pool->reserved &&
           (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_TOOLS) != 0;
}

SLB_PRIVATE void slb_tools_open(struct slabby_allocator *pool, uint32_t id) {
    if (is_watched(pool, id))
        allow(pool, tools_data(pool, id), pool->slab_size);
}

SLB_PRIVATE void slb_tools_shut(struct slabby_allocator *pool, uint32_t id) {
    if (is_watched(pool, id))
        forbid(pool, tools_data(pool, id), pool->slab_size);
}

/* Byte by byte and volatile: memset is the tools' own. */
SLB_PRIVATE __attribute__((no_sanitize("address"))) void slb_tools_zero(void *memory, uint64_t size) {
    volatile unsigned char *bytes = memory;
    VALGRIND_DISABLE_ERROR_REPORTING;
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = 0;
    VALGRIND_ENABLE_ERROR_REPORTING;
}
