/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The most slabs that were in use at once, for the blocks of slabby.statistics(). */
#include "types.h"

/* The pool's own count, of all languages and threads; 0 where it cannot be read. */
static uint64_t used_slabs(const Pool *pool) {
    slabby_stats stats = {.struct_size = sizeof stats};

    return pool->core->get_stats(&stats, pool->allocator) == SLABBY_OK ? stats.used_slabs : 0;
}

/* Relaxed: only the number matters, and no thread orders other memory by it. numpy may call from any thread. */
static void raise_peak(Pool *pool, uint64_t used) {
    uint64_t before = atomic_load_explicit(&pool->peak, memory_order_relaxed);

    while (used > before && !atomic_compare_exchange_weak_explicit(
                                &pool->peak, &before, used, memory_order_relaxed, memory_order_relaxed))
        ;
}

void measure_use(Pool *pool) {
    raise_peak(pool, used_slabs(pool));
}

/* _take_peak(measured): the most slabs in use since the call before; whether allocations are noted from now on. */
PyObject *pool_take_peak(PyObject *self, PyObject *measured) {
    Pool *pool = (Pool *)self;
    uint64_t used, peak;
    int goes_on = PyObject_IsTrue(measured);

    if (goes_on < 0 || !pool_attached(pool))
        return NULL;
    used = used_slabs(pool);
    raise_peak(pool, used);
    atomic_store_explicit(&pool->measured, (char)goes_on, memory_order_relaxed);
    peak = atomic_exchange_explicit(&pool->peak, used, memory_order_relaxed);
    return PyLong_FromUnsignedLongLong(peak);
}
