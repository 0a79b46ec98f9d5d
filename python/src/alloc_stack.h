/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where slabs were allocated, in Python's terms: function, file and line.
 *
 *   pool->stacks    {id: (ref, (code, position, ...), owned)}, innermost frame first; with `debug` or `finalizers` on
 *   tracemalloc     each slab that a SlabRef owns, under a domain of its own, whenever tracemalloc traces
 *
 * An entry of stacks stays until the next one of its id, so that a stale reference still shows its stack. Lines are
 * computed from code and position when they are read.
 */
#ifndef SLABBY_PYTHON_STACK_H
#define SLABBY_PYTHON_STACK_H

#include "types.h"

/* The domain of slabs in tracemalloc; slabby.TRACEMALLOC_DOMAIN. */
#define SLABBY_TRACEMALLOC_DOMAIN 0x51ABu

/* Finds functions that the limited API lacks and the interpreter exports. */
void stack_ready(void);

/* False where no stack is recorded. `debug` is hot: while it is on the core's mode word is not zero. */
static inline int stack_possible(const Pool *pool) {
    return pool->finalizers || (pool->mode != NULL && *pool->mode != 0);
}

/* Whether stacks of allocations are recorded now. */
int stack_wanted(const Pool *pool);

/* Notes the calling frames of an allocation where the pool asks for them; an exception is never left behind. */
void stack_record(Pool *pool, slabby_ref ref);

/* Other code releases the slab from now on. */
void stack_detach(Pool *pool, slabby_ref ref);

/* A traceback.StackSummary, outermost frame first, or None. */
PyObject *stack_summary(const Pool *pool, slabby_ref ref);

/* "app.py:12 in load"; empty where it is not known. */
void stack_text(const Pool *pool, slabby_ref ref, char *buffer, size_t size);

/* True where tracemalloc traces and has noted the slab, which is then to be forgotten. */
int stack_track(const Pool *pool, slabby_ref ref);
void stack_untrack(slabby_ref ref);

/* _live_stacks(): [(ref, StackSummary)] of the slabs with a stack that are live and were not detached. */
PyObject *pool_live_stacks(PyObject *self, PyObject *unused);
/* _stack_of(ref): a StackSummary or None. */
PyObject *pool_stack_of(PyObject *self, PyObject *ref);

#endif
