/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where slabs were allocated, in Python's terms: function, file and line.
 *
 *   pool->origins   {id: (ref, ((file, line, function), ...))}, innermost frame first; with `debug` or `finalizers` on
 *   tracemalloc     each slab that a SlabRef owns, under a domain of its own, whenever tracemalloc traces
 *
 * An entry of origins stays until the next one of its id, so that a stale reference still tells.
 */
#ifndef SLABBY_PYTHON_STACK_H
#define SLABBY_PYTHON_STACK_H

#include "types.h"

/* The domain of slabs in tracemalloc; slabby.TRACEMALLOC_DOMAIN. */
#define SLABBY_TRACEMALLOC_DOMAIN 0x51ABu

/* Finds what the limited API lacks and the interpreter exports. */
void stack_ready(void);

/* Notes the calling frames of an allocation where the pool asks for them; an exception is never left behind. */
void stack_record(Pool *pool, slabby_ref ref);

/* The frames of one allocation, borrowed; null without an exception where they are not known. */
PyObject *stack_frames(const Pool *pool, slabby_ref ref);

/* A traceback.StackSummary, outermost frame first, or None. */
PyObject *stack_summary(const Pool *pool, slabby_ref ref);

/* "app.py:12 in load"; empty where it is not known. */
void stack_text(const Pool *pool, slabby_ref ref, char *buffer, size_t size);

/* True where tracemalloc traces and has noted the slab, which is then to be forgotten. */
int stack_track(const Pool *pool, slabby_ref ref);
void stack_untrack(slabby_ref ref);

#endif
