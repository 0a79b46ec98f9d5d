/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions that the SWIG backend takes from slabby._types, through the capsule "slabby._types.api": the same
 * functions in every interpreter of the process, with nothing of one interpreter behind them. */
#ifndef SLABBY_PYTHON_API_H
#define SLABBY_PYTHON_API_H

#include "refcounts.h"
#include <slabby/slabby.h>

#define SLABBY_TYPES_CAPSULE "slabby._types.api"

struct slabby_types_api {
    /* The handle of a Pool object; null with TypeError set for anything else. */
    slabby_allocator *(*handle)(PyObject *pool);
    /* New references, or null with an exception set. */
    PyObject *(*make_ref)(PyObject *pool, slabby_ref ref, void *data);
    PyObject *(*make_refs)(PyObject *pool, const slabby_ref *refs, void *const *datas, uint64_t count);
    PyObject *(*make_fast)(PyObject *pool, void *data, uint32_t id);
    /* Set an exception. pool may be null; the record is used when its status is set. */
    void (*fail)(PyObject *pool, slabby_ref ref, slabby_status status, const slabby_error *record);
};

#endif
