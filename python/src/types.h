/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The object types that both backends share. This module links no core: each pool carries the table of the
 * backend that opened it.
 *
 *   Pool ──core──▶ slabby_core_table (static in _cffi or _swig) ──▶ libslabby.so.0
 *     ▲  ──cell──▶ where a backend writes one allocation
 *     │
 *   SlabRef, FastSlab          (a memoryview holds the SlabRef, the SlabRef holds the Pool)
 *
 * Everything here runs with the GIL held: fields of objects need no other lock.
 */
#ifndef SLABBY_PYTHON_TYPES_H
#define SLABBY_PYTHON_TYPES_H

#include <Python.h>
#include <slabby/slabby.h>

#include "table.h"

struct fast_table;

typedef struct Pool {
    PyObject_HEAD const struct slabby_core_table *core; /* null until attached */
    struct slabby_cell cell;
    uint64_t slab_size;
    PyObject *allocate; /* the backend's functions, called with `argument` */
    PyObject *allocate_fast;
    PyObject *argument;            /* what they take; null: the pool itself, and they return objects */
    PyObject *native;              /* the handle as the backend knows it */
    struct fast_table *fast;       /* null until the first fast slab */
    PyObject *stacks;              /* alloc_stack.h; null until the first is noted */
    const volatile uint32_t *mode; /* of the core: zero while a pool has nothing switched on */
    char finalizers;               /* the option */
} Pool;

extern PyTypeObject *pool_type;
extern PyTypeObject *slab_ref_type;
extern PyTypeObject *fast_slab_type;

/* raise.c: set the exception of a status and return null. */
PyObject *raise_status(const Pool *pool, slabby_ref ref, slabby_status status);
PyObject *raise_record(const slabby_error *error);
PyObject *set_error_factory(PyObject *module, PyObject *factory);
void raise_clear(void);
/* Reports the pending exception where it cannot be raised; `where` is borrowed and never a dying object. */
void report_unraisable(PyObject *where);

/* pool.c */
int pool_ready(PyObject *module);
/* True for an attached pool; otherwise sets an exception. */
int pool_attached(const Pool *pool);
/* A list of SlabRefs that own what they name; on failure everything is released. */
PyObject *pool_wrap_all(Pool *pool, const slabby_ref *refs, void *const *datas, uint64_t count);

/* wait.c */
PyObject *pool_try_now(PyObject *self, PyObject *unused);
PyObject *pool_wait(PyObject *self, PyObject *timeout);

/* slab_ref.c */
int slab_ref_ready(PyObject *module);
PyObject *slab_ref_new(Pool *pool, slabby_ref ref, void *data, int owning);
PyObject *slab_ref_release(PyObject *self, PyObject *unused);
PyObject *pool_deallocate(PyObject *self, PyObject *ref);

/* fast_slab.c */
int fast_slab_ready(PyObject *module);
PyObject *fast_slab_pair(Pool *pool, void *data, uint32_t id);
PyObject *pool_deallocate_fast(PyObject *self, PyObject *id);
PyObject *pool_fast_views(PyObject *self, PyObject *unused);
PyObject *pool_fast_forget(PyObject *self, PyObject *unused);
/* Drops the pool's share of the table; null is accepted. */
void fast_table_leave(struct fast_table *table);

#endif
