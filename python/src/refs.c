/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slabs one by one and in batches: from the core's numbers to SlabRefs, and back. */
#include "slab_ref.h"

#include <limits.h>
#include <stdlib.h>

/* Up to this many slabs a batch needs no memory of its own. */
#define SMALL_BATCH 64
/* Slabs in one batch above which the pool's limit is read before the arrays are made. */
#define LARGE_BATCH 65536

PyObject *allocate_now(Pool *pool) {
    slabby_status status;
    slabby_ref ref;
    void *data;

    if (!pool_attached(pool))
        return NULL;
    status = pool->core->allocate(&ref, &data, pool->allocator);
    return status == SLABBY_OK ? slab_ref_new(pool, ref, data, 1) : raise_status(pool, 0, status);
}

/* _wrap(value, address, owned): a SlabRef for an allocation that arrived as numbers. */
PyObject *pool_wrap(PyObject *self, PyObject *arguments) {
    unsigned long long value, address;
    int owning;

    if (!PyArg_ParseTuple(arguments, "KKp", &value, &address, &owning) || !pool_attached((Pool *)self))
        return NULL;
    return slab_ref_new((Pool *)self, value, (void *)(uintptr_t)address, owning);
}

PyObject *pool_wrap_all(Pool *pool, const slabby_ref *refs, void *const *datas, uint64_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    uint64_t made = 0;

    for (; list != NULL && made < count; made++) {
        PyObject *ref = slab_ref_new(pool, refs[made], datas[made], 1);
        if (ref == NULL) {
            Py_CLEAR(list);
            made++;
            break;
        }
        PyList_SetItem(list, (Py_ssize_t)made, ref);
    }
    /* If there is no list, the slabs that became objects were released with these objects, and the failed one by
     * itself. */
    for (; list == NULL && made < count; made++)
        (void)pool->core->release(pool->allocator, refs[made]);
    return list;
}

/* _wrap_all(refs_address, datas_address, count): SlabRefs for a batch. */
PyObject *pool_wrap_batch(PyObject *self, PyObject *arguments) {
    unsigned long long refs, datas, count;

    if (!PyArg_ParseTuple(arguments, "KKK", &refs, &datas, &count) || !pool_attached((Pool *)self))
        return NULL;
    return pool_wrap_all((Pool *)self, (const slabby_ref *)(uintptr_t)refs, (void *const *)(uintptr_t)datas,
                         count);
}

/* How many slabs at most a batch of this pool can have. */
static uint64_t batch_limit(Pool *pool) {
    slabby_view_info view = {.struct_size = sizeof view};

    return pool->core->view(&view, pool->allocator) == SLABBY_OK ? view.id_limit : UINT64_MAX;
}

/* Limits the size of the arrays to a batch that could succeed, for any requested number. */
static PyObject *refuse_count(Pool *pool, PyObject *count, slabby_status status) {
    return PyObject_CallMethod((PyObject *)pool, "_refuse_batch", "(Oi)", count, (int)status);
}

static PyObject *make_batch(Pool *pool, PyObject *list) {
    PyObject *batch = NULL;

    if (list != NULL && pool->types->batch == NULL)
        PyErr_SetString(PyExc_RuntimeError, "no batch can be made while the interpreter ends");
    else if (list != NULL)
        batch = PyObject_CallFunctionObjArgs(pool->types->batch, list, NULL);
    Py_XDECREF(list);
    return batch;
}

static PyObject *allocate_into(Pool *pool, slabby_ref *refs, void **datas, uint64_t count, PyObject *number) {
    slabby_status status = pool->core->allocate_batch(refs, datas, pool->allocator, count);

    if (status == SLABBY_OK)
        return make_batch(pool, pool_wrap_all(pool, refs, datas, count));
    if (status == SLABBY_INVALID_BATCH_SIZE || status == SLABBY_OUT_OF_MEMORY)
        return refuse_count(pool, number, status);
    return raise_status(pool, 0, status);
}

static PyObject *allocate_batch(Pool *pool, PyObject *number) {
    slabby_ref small_refs[SMALL_BATCH], *refs;
    void *small_datas[SMALL_BATCH], **datas;
    PyObject *batch;
    long count = PyLong_AsLong(number);

    if (count == -1 && PyErr_Occurred())
        PyErr_Clear(); /* beyond every count */
    if (count < 0 || (count > LARGE_BATCH && (uint64_t)count > batch_limit(pool)))
        return refuse_count(pool, number, SLABBY_OK);
    if (count <= SMALL_BATCH)
        return allocate_into(pool, small_refs, small_datas, (uint64_t)count, number);
    refs = calloc((size_t)count, sizeof *refs);
    datas = calloc((size_t)count, sizeof *datas);
    batch = refs == NULL || datas == NULL ? PyErr_NoMemory()
                                          : allocate_into(pool, refs, datas, (uint64_t)count, number);
    free(refs);
    free(datas);
    return batch;
}

PyObject *pool_allocate_batch(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names) {
    PyObject *given = one_argument("allocate_batch", "count", arguments, count, names, NULL), *number, *batch;

    if (given == NULL || !pool_attached((Pool *)self))
        return NULL;
    number = whole_number(given);
    if (number == NULL)
        return PyErr_Occurred() ? NULL : refuse_count((Pool *)self, given, SLABBY_OK);
    batch = allocate_batch((Pool *)self, number);
    Py_DECREF(number);
    return batch;
}

/* --------------------------------------------------------------------------------------------------- release */

/* The SlabRef, or null with TypeError set. */
static SlabRef *slab_ref_or_error(const Pool *pool, PyObject *object, const char *call, Py_ssize_t index) {
    if (Py_TYPE(object) == pool->ref_type)
        return (SlabRef *)object;
    if (index < 0)
        PyErr_Format(PyExc_TypeError, "%s() takes a SlabRef, not %R", call, object);
    else
        PyErr_Format(PyExc_TypeError, "%s() takes SlabRefs; item %zd is %R", call, index, object);
    return NULL;
}

PyObject *pool_deallocate(PyObject *pool_object, PyObject *object) {
    Pool *pool = (Pool *)pool_object;
    SlabRef *self;
    slabby_status status;

    if (!pool_attached(pool) || (self = slab_ref_or_error(pool, object, "deallocate", -1)) == NULL)
        return NULL;
    status = release_by(pool, pool->core->release, self->ref);
    if (!slab_ref_finish(self, status))
        return raise_status(pool, self->ref, status);
    Py_RETURN_NONE;
}

/* The first refusal. */
struct refusal {
    slabby_status status;
    slabby_ref ref;
    Py_ssize_t index;
};

static PyObject *raise_refusal(Pool *pool, const struct refusal *first, Py_ssize_t released,
                               Py_ssize_t count) {
    char text[512] = "";

    (void)pool->core->explain(text, sizeof text, NULL, pool->allocator, first->ref, first->status);
    return PyObject_CallMethod((PyObject *)pool, "_refuse_release", "(nnniy)", released, count, first->index,
                               (int)first->status, text);
}

/* The items are SlabRefs. No other code has this list. */
static Py_ssize_t release_all(Pool *pool, PyObject *list, struct refusal *out_first) {
    Py_ssize_t count = PyList_Size(list), released = 0;

    for (Py_ssize_t i = 0; i < count; i++) {
        SlabRef *ref = (SlabRef *)PyList_GetItem(list, i);
        slabby_status status = release_by(pool, pool->core->release, ref->ref);
        if (slab_ref_finish(ref, status))
            released++;
        else if (out_first->status == SLABBY_OK)
            *out_first = (struct refusal){status, ref->ref, i};
    }
    return released;
}

static PyObject *list_of(PyObject *refs) {
    PyObject *iterator = PyObject_GetIter(refs), *list;

    if (iterator == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            PyErr_Format(PyExc_TypeError, "deallocate_batch() takes SlabRefs, not %R", refs);
        }
        return NULL;
    }
    /* An exception of the caller's generator stays as it is. */
    list = PySequence_List(iterator);
    Py_DECREF(iterator);
    return list;
}

PyObject *pool_deallocate_batch(PyObject *pool_object, PyObject *const *arguments, Py_ssize_t given,
                                PyObject *names) {
    Pool *pool = (Pool *)pool_object;
    PyObject *refs = one_argument("deallocate_batch", "refs", arguments, given, names, NULL);
    PyObject *list = refs != NULL && pool_attached(pool) ? list_of(refs) : NULL, *result = NULL;
    struct refusal first = {SLABBY_OK, 0, 0};
    Py_ssize_t count, released, checked = 0;

    if (list == NULL)
        return NULL;
    count = PyList_Size(list);
    while (checked < count &&
           slab_ref_or_error(pool, PyList_GetItem(list, checked), "deallocate_batch", checked) != NULL)
        checked++;
    if (checked == count) {
        released = release_all(pool, list, &first);
        result = first.status == SLABBY_OK ? PyLong_FromSsize_t(released)
                                           : raise_refusal(pool, &first, released, count);
    }
    Py_DECREF(list);
    return result;
}
