/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pool: holds one owner's share of a core allocator, and the hot half of slabby.Allocator. */
#include "types.h"

/* Timeouts below are in range. */
#define LONG_SECONDS 1e9

PyTypeObject *pool_type;

int pool_attached(const Pool *pool) {
    if (pool->core != NULL)
        return 1;
    PyErr_SetString(PyExc_RuntimeError,
                    "this Allocator holds no pool: call Allocator.__init__ or use Allocator.adopt");
    return 0;
}

static PyObject *new_reference_or_null(PyObject *object) {
    if (object == Py_None)
        return NULL;
    Py_INCREF(object);
    return object;
}

/* What says whether origins are wanted. */
static void inspect(Pool *pool) {
    slabby_view_info view = {.struct_size = sizeof view};
    int64_t finalizers = 0;

    if (pool->core->view(&view, pool->cell.allocator) == SLABBY_OK)
        pool->mode = (const volatile uint32_t *)(uintptr_t)view.mode_address;
    (void)pool->core->get_option(&finalizers, pool->cell.allocator, SLABBY_OPTION_FINALIZERS);
    pool->finalizers = finalizers != 0;
}

/* _attach(table, handle, allocate, allocate_fast, argument, native): takes over one owner's share of the
 * handle, also when it fails. */
static PyObject *pool_attach(PyObject *self, PyObject *arguments) {
    Pool *pool = (Pool *)self;
    unsigned long long table, handle;
    const struct slabby_core_table *core;
    PyObject *allocate, *allocate_fast, *argument, *native;

    if (!PyArg_ParseTuple(arguments, "KKOOOO", &table, &handle, &allocate, &allocate_fast, &argument,
                          &native))
        return NULL;
    core = (const struct slabby_core_table *)(uintptr_t)table;
    if (pool->core != NULL) {
        (void)core->abandon((slabby_allocator *)(uintptr_t)handle);
        PyErr_SetString(PyExc_RuntimeError, "this Allocator holds a pool already; make another Allocator");
        return NULL;
    }
    pool->core = core;
    pool->cell.allocator = (slabby_allocator *)(uintptr_t)handle;
    pool->allocate = Py_NewRef(allocate);
    pool->allocate_fast = Py_NewRef(allocate_fast);
    pool->argument = new_reference_or_null(argument);
    pool->native = new_reference_or_null(native);
    /* A handle that was just made has a size. */
    (void)core->size(&pool->slab_size, pool->cell.allocator);
    inspect(pool);
    Py_RETURN_NONE;
}

static int pool_traverse(PyObject *self, visitproc visit, void *arg) {
    Pool *pool = (Pool *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(pool->allocate);
    Py_VISIT(pool->allocate_fast);
    Py_VISIT(pool->argument);
    Py_VISIT(pool->native);
    return 0;
}

/* No tp_clear: what a pool holds never leads back to it. Cycles through an Allocator's attributes are broken
 * at its dictionary. */
static void pool_dealloc(PyObject *self) {
    Pool *pool = (Pool *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (pool->core != NULL)
        (void)pool->core->abandon(pool->cell.allocator);
    fast_table_leave(pool->fast);
    Py_CLEAR(pool->allocate);
    Py_CLEAR(pool->allocate_fast);
    Py_CLEAR(pool->argument);
    Py_CLEAR(pool->native);
    Py_CLEAR(pool->stacks);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* The status a CFFI function returned; consumes it. -1 with an exception set when it is no number. */
static int status_of(PyObject *result, slabby_status *out_status) {
    long status = PyLong_AsLong(result);

    Py_DECREF(result);
    if (status == -1 && PyErr_Occurred())
        return -1;
    *out_status = (slabby_status)status;
    return 0;
}

/* Calls a backend's function. 1: it returned the object, 0: the cell is filled, -1: an exception is set. */
static int call_backend(Pool *pool, PyObject *function, PyObject **out_object) {
    slabby_status status;
    PyObject *argument = pool->argument != NULL ? pool->argument : (PyObject *)pool;
    PyObject *result;

    if (!pool_attached(pool))
        return -1;
    result = PyObject_CallFunctionObjArgs(function, argument, NULL);
    if (result == NULL)
        return -1;
    if (pool->argument == NULL) {
        *out_object = result;
        return 1;
    }
    if (status_of(result, &status) < 0)
        return -1;
    if (status != SLABBY_OK) {
        raise_status(pool, 0, status);
        return -1;
    }
    return 0;
}

static PyObject *allocate_now(Pool *pool) {
    PyObject *object = NULL;

    switch (call_backend(pool, pool->allocate, &object)) {
    case 0:
        return slab_ref_new(pool, pool->cell.ref, pool->cell.data, 1);
    case 1:
        return object;
    default:
        return NULL;
    }
}

/* Whether a timeout is a plain number of seconds in range: 1; 0: it is 0; -1: the Python half looks at it closely. */
static int is_plain_timeout(PyObject *timeout) {
    double seconds = -1;

    if (PyFloat_CheckExact(timeout))
        seconds = PyFloat_AsDouble(timeout);
    else if (PyLong_CheckExact(timeout))
        seconds = PyLong_AsDouble(timeout);
    if (seconds == -1 && PyErr_Occurred())
        PyErr_Clear(); /* a whole number beyond every double */
    if (seconds == 0)
        return 0;
    return seconds > 0 && seconds < LONG_SECONDS ? 1 : -1;
}

/* The free slab first, which most waits find. */
static PyObject *allocate_timeout(Pool *pool, PyObject *timeout) {
    int plain = is_plain_timeout(timeout);
    PyObject *slab;

    if (plain == 0)
        return allocate_now(pool);
    if (plain == 1) {
        slab = pool_try_now((PyObject *)pool, NULL);
        if (slab != Py_None)
            return slab;
        Py_DECREF(slab);
    }
    return PyObject_CallMethod((PyObject *)pool, "_allocate_timeout", "O", timeout);
}

/* allocate(timeout=None): the wait itself is a cold path and belongs to the Python half. */
static PyObject *pool_allocate(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                               PyObject *names) {
    PyObject *timeout = NULL;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);

    if (count + named == 0)
        return allocate_now((Pool *)self);
    if (count + named > 1) {
        PyErr_Format(PyExc_TypeError, "allocate() takes at most 1 argument, timeout (%zd given)",
                     count + named);
        return NULL;
    }
    timeout = arguments[0];
    if (named == 1) {
        PyObject *name = PyTuple_GetItem(names, 0);
        if (PyUnicode_CompareWithASCIIString(name, "timeout") != 0) {
            PyErr_Format(PyExc_TypeError, "allocate() has no argument %R; it takes timeout", name);
            return NULL;
        }
    }
    if (timeout == Py_None)
        return allocate_now((Pool *)self);
    return allocate_timeout((Pool *)self, timeout);
}

static PyObject *pool_allocate_fast(PyObject *self, PyObject *unused) {
    Pool *pool = (Pool *)self;
    PyObject *object = NULL;

    (void)unused;
    switch (call_backend(pool, pool->allocate_fast, &object)) {
    case 0:
        return fast_slab_pair(pool, pool->cell.data, pool->cell.id);
    case 1:
        return object;
    default:
        return NULL;
    }
}

/* _wrap(value, address, owned): a SlabRef for an allocation that arrived as numbers. */
static PyObject *pool_wrap(PyObject *self, PyObject *arguments) {
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
    /* Without the list, those that became objects went back with them, and the failed one by itself. */
    for (; list == NULL && made < count; made++)
        (void)pool->core->release(pool->cell.allocator, refs[made]);
    return list;
}

/* _wrap_all(refs_address, datas_address, count): SlabRefs for a batch. */
static PyObject *pool_wrap_batch(PyObject *self, PyObject *arguments) {
    unsigned long long refs, datas, count;

    if (!PyArg_ParseTuple(arguments, "KKK", &refs, &datas, &count) || !pool_attached((Pool *)self))
        return NULL;
    return pool_wrap_all((Pool *)self, (const slabby_ref *)(uintptr_t)refs, (void *const *)(uintptr_t)datas,
                         count);
}

/* _fail(status, ref): raises what the core says about a status. */
static PyObject *pool_fail(PyObject *self, PyObject *arguments) {
    unsigned long long ref;
    int status;

    if (!PyArg_ParseTuple(arguments, "iK", &status, &ref) || !pool_attached((Pool *)self))
        return NULL;
    return raise_status((Pool *)self, ref, status);
}

static PyObject *get_native(PyObject *self, void *unused) {
    Pool *pool = (Pool *)self;

    (void)unused;
    if (!pool_attached(pool))
        return NULL;
    return Py_NewRef(pool->native != NULL ? pool->native : Py_None);
}

static PyObject *get_address(PyObject *self, void *unused) {
    Pool *pool = (Pool *)self;

    (void)unused;
    if (!pool_attached(pool))
        return NULL;
    return PyLong_FromVoidPtr(pool->cell.allocator);
}

static PyObject *get_cell(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromVoidPtr(&((Pool *)self)->cell);
}

static PyObject *get_slab_size(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(((Pool *)self)->slab_size);
}

static PyMethodDef pool_methods[] = {
    {"allocate", (PyCFunction)(void (*)(void))pool_allocate, METH_FASTCALL | METH_KEYWORDS,
     "allocate(timeout=None)\n--\n\nOne slab. Without a timeout at once or not at all; with one, in seconds, "
     "waits up to that long."},
    {"allocate_fast", pool_allocate_fast, METH_NOARGS,
     "allocate_fast()\n--\n\nOne slab known by its bare id: (FastSlab, id)."},
    {"deallocate", pool_deallocate, METH_O,
     "deallocate(ref)\n--\n\nGive a slab back; the same as ref.release() for a ref of this pool."},
    {"deallocate_fast", pool_deallocate_fast, METH_O,
     "deallocate_fast(id)\n--\n\nGive a slab of allocate_fast() back by its id."},
    {"_attach", pool_attach, METH_VARARGS, NULL},
    {"_wrap", pool_wrap, METH_VARARGS, NULL},
    {"_wrap_all", pool_wrap_batch, METH_VARARGS, NULL},
    {"_try_now", pool_try_now, METH_NOARGS, NULL},
    {"_wait", pool_wait, METH_O, NULL},
    {"_fail", pool_fail, METH_VARARGS, NULL},
    {"_fast_views", pool_fast_views, METH_NOARGS, NULL},
    {"_fast_forget", pool_fast_forget, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef pool_properties[] = {
    {"slab_size", get_slab_size, NULL, "Usable bytes of each slab.", NULL},
    {"_native", get_native, NULL, NULL, NULL},
    {"_address", get_address, NULL, NULL, NULL},
    {"_cell", get_cell, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot pool_slots[] = {
    {Py_tp_doc, "The holder of one pool; use slabby.Allocator."},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_traverse, pool_traverse},
    {Py_tp_methods, pool_methods},
    {Py_tp_getset, pool_properties},
    {Py_tp_new, PyType_GenericNew},
    {0, NULL},
};

static PyType_Spec pool_spec = {
    .name = "slabby._types.Pool",
    .basicsize = sizeof(Pool),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = pool_slots,
};

int pool_ready(PyObject *module) {
    pool_type = (PyTypeObject *)PyType_FromSpec(&pool_spec);
    if (pool_type == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "Pool", (PyObject *)pool_type);
}
