/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One allocation as an object. */
#ifndef SLABBY_PYTHON_SLAB_REF_H
#define SLABBY_PYTHON_SLAB_REF_H

#include "types.h"

typedef struct SlabRef {
    PyObject_HEAD Pool *pool;
    slabby_ref ref;
    void *data;
    PyObject *weak_references;
    char owning; /* release it when the object dies */
    char done;   /* this object released it */
    char traced; /* tracemalloc counts it */
} SlabRef;

typedef slabby_status (*release_function)(slabby_allocator *, slabby_ref);

/* Calls the core: without the interpreter's lock where the call may zero a large slab. */
slabby_status release_by(const Pool *pool, release_function release, slabby_ref ref);

/* What a release means for the object; true when it was released. */
int slab_ref_finish(SlabRef *self, slabby_status status);

/* The slab is no longer this object's. */
void slab_ref_forget(SlabRef *self);

/* slab_bytes.c: reading and writing bytes without a view. */
PyObject *slab_ref_item(PyObject *self, PyObject *key);
int slab_ref_set_item(PyObject *self, PyObject *key, PyObject *value);
PyObject *slab_ref_tobytes(PyObject *self, PyObject *unused);

#endif
