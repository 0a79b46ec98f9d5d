/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One allocation as an object. */
#ifndef SLABBY_PYTHON_SLAB_REF_H
#define SLABBY_PYTHON_SLAB_REF_H

#include "alloc_stack.h"
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

slabby_status release_unlocked(const Pool *pool, release_function release, slabby_ref ref);

/* Calls the core: without the interpreter's lock where the call may zero a large slab. The core's mode is not zero
 * while a protection is on. */
static inline slabby_status release_by(const Pool *pool, release_function release, slabby_ref ref) {
    return pool->slab_size <= LARGE_SLAB || pool->mode == NULL || *pool->mode == 0
               ? release(pool->allocator, ref)
               : release_unlocked(pool, release, ref);
}

/* The object no longer owns the slab. */
static inline void slab_ref_forget(SlabRef *self) {
    self->done = 1;
    if (self->traced)
        stack_untrack(self->ref);
    self->traced = 0;
}

/* Updates the object after a release; true if the slab was released. MemoryCorruption consumes the reference: nothing
 * is left to release. */
static inline int slab_ref_finish(SlabRef *self, slabby_status status) {
    if (status == SLABBY_OK || status == SLABBY_MEMORY_CORRUPTION)
        slab_ref_forget(self);
    return status == SLABBY_OK;
}

/* block_methods.c: a with block makes no object for its calls. */
typedef PyObject *(*block_function)(PyObject *self, PyObject *const *arguments, Py_ssize_t count);

PyObject *slab_ref_enter(PyObject *self, PyObject *const *arguments, Py_ssize_t count);
int block_methods_ready(PyObject *module, struct slabby_types *types);

/* slab_bytes.c: reading and writing bytes without a view. */
PyObject *slab_ref_item(PyObject *self, PyObject *key);
int slab_ref_set_item(PyObject *self, PyObject *key, PyObject *value);
PyObject *slab_ref_tobytes(PyObject *self, PyObject *unused);

#endif
