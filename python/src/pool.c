/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pool: holds one owner's share of a core allocator, and the hot half of slabby.Allocator. */
#include "alloc_stack.h"
#include "numpy_memory.h"
#include "types.h"

#include <string.h>
#include <structmember.h>

int pool_attached(const Pool *pool) {
    if (pool->core != NULL)
        return 1;
    PyErr_SetString(PyExc_RuntimeError,
                    "this Allocator holds no pool: call Allocator.__init__ or use Allocator.adopt");
    return 0;
}

static PyObject *pool_new(PyTypeObject *type, PyObject *arguments, PyObject *names) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *module = NULL;
    struct slabby_types *types = types_of(type, &module);
    Pool *pool;

    (void)arguments;
    (void)names;
    if (types == NULL)
        return NULL;
    if (types->slab_ref == NULL || types->fast_slab == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no Allocator can be made while the interpreter ends");
        return NULL;
    }
    pool = (Pool *)allocate(type, 0);
    if (pool == NULL)
        return NULL;
    pool->types = types;
    pool->module = Py_NewRef(module);
    pool->ref_type = (PyTypeObject *)Py_NewRef((PyObject *)types->slab_ref);
    pool->fast_type = (PyTypeObject *)Py_NewRef((PyObject *)types->fast_slab);
    return (PyObject *)pool;
}

/* Reads the options that decide whether stacks are recorded. */
static void inspect(Pool *pool) {
    slabby_view_info view = {.struct_size = sizeof view};
    int64_t finalizers = 0;

    if (pool->core->view(&view, pool->allocator) == SLABBY_OK)
        pool->mode = (const volatile uint32_t *)(uintptr_t)view.mode_address;
    (void)pool->core->get_option(&finalizers, pool->allocator, SLABBY_OPTION_FINALIZERS);
    pool->finalizers = finalizers != 0;
}

/* False with an exception set. */
static int is_empty(const Pool *pool) {
    if (pool->core != NULL)
        PyErr_SetString(PyExc_RuntimeError, "this Allocator holds a pool already; make another Allocator");
    return pool->core == NULL;
}

/* Takes over one owner's share of a handle that was just made, also when it fails. `native` makes of the address the
 * handle as the backend knows it; None if it needs none. */
static PyObject *hold(Pool *pool, const struct slabby_core_table *core, slabby_allocator *made,
                      PyObject *native) {
    PyObject *known;

    if (!is_empty(pool)) {
        (void)core->abandon(made);
        return NULL;
    }
    pool->core = core;
    pool->allocator = made;
    pool->native = Py_NewRef(Py_None);
    /* A handle that was just made has a size. */
    (void)core->size(&pool->slab_size, pool->allocator);
    inspect(pool);
    if (native == Py_None)
        Py_RETURN_NONE;
    known = PyObject_CallFunction(native, "K", (unsigned long long)(uintptr_t)made);
    if (known == NULL)
        return NULL;
    Py_DECREF(pool->native);
    pool->native = known;
    Py_RETURN_NONE;
}

/* Options as a backend has them, as a number or a capsule; null with an exception set. */
static slabby_options *options_from(PyObject *object) {
    if (PyCapsule_CheckExact(object))
        return PyCapsule_GetPointer(object, "slabby_options");
    return PyLong_AsVoidPtr(object);
}

/* _create(table, native, slab_size, capacity, options): makes a pool and holds it, in one step: between two the handler
 * of a signal might raise, and nobody would have the pool. */
static PyObject *pool_create(PyObject *self, PyObject *arguments) {
    Pool *pool = (Pool *)self;
    slabby_error error = {.struct_size = sizeof error};
    unsigned long long table, slab_size, capacity;
    const struct slabby_core_table *core;
    PyObject *native, *settings;
    slabby_allocator *made = NULL;
    slabby_options *options;
    slabby_status status;

    if (!PyArg_ParseTuple(arguments, "KOKKO", &table, &native, &slab_size, &capacity, &settings) ||
        (options = options_from(settings)) == NULL || !is_empty(pool))
        return NULL;
    core = (const struct slabby_core_table *)(uintptr_t)table;
    Py_BEGIN_ALLOW_THREADS status = core->create(&made, slab_size, capacity, options, &error);
    Py_END_ALLOW_THREADS return status == SLABBY_OK ? hold(pool, core, made, native)
                                                    : raise_recorded(NULL, status, &error);
}

/* _adopt(table, native, address, instance_id): the same with a pool that others hold. */
static PyObject *pool_adopt(PyObject *self, PyObject *arguments) {
    Pool *pool = (Pool *)self;
    slabby_error error = {.struct_size = sizeof error};
    unsigned long long table, address, instance_id;
    const struct slabby_core_table *core;
    slabby_allocator *made = NULL;
    slabby_status status;
    PyObject *native;

    if (!PyArg_ParseTuple(arguments, "KOKK", &table, &native, &address, &instance_id) || !is_empty(pool))
        return NULL;
    core = (const struct slabby_core_table *)(uintptr_t)table;
    status = core->adopt(&made, address, instance_id, &error);
    return status == SLABBY_OK ? hold(pool, core, made, native) : raise_recorded(NULL, status, &error);
}

static int pool_traverse(PyObject *self, visitproc visit, void *arg) {
    Pool *pool = (Pool *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(pool->module);
    Py_VISIT(pool->ref_type);
    Py_VISIT(pool->fast_type);
    Py_VISIT(pool->native);
    Py_VISIT(pool->queue);
    Py_VISIT(pool->spare_pair);
    return 0;
}

/* No tp_clear: no reference leads from the objects that a pool holds back to the pool. Cycles through an Allocator's
 * attributes are broken at its dictionary. */

/* A FastSlab that somebody has takes the pool over: true. */
static int outlives_its_end(Pool *pool) {
    PyObject *object = (PyObject *)pool;

    if (!spare_pair_is_held(pool))
        return 0;
    Py_SET_REFCNT(object, 1);
    spare_pair_give_up(pool);
    Py_SET_REFCNT(object, Py_REFCNT(object) - 1);
    return Py_REFCNT(object) > 0;
}

static void pool_dealloc(PyObject *self) {
    Pool *pool = (Pool *)self;
    PyTypeObject *type = Py_TYPE(self);

    if (outlives_its_end(pool))
        return;
    PyObject_GC_UnTrack(self);
    spare_pair_give_up(pool);
    if (pool->core != NULL)
        (void)pool->core->abandon(pool->allocator);
    fast_table_leave(pool->types, pool->fast);
    Py_CLEAR(pool->native);
    Py_CLEAR(pool->stacks);
    Py_CLEAR(pool->queue);
    Py_CLEAR(pool->ref_type);
    Py_CLEAR(pool->fast_type);
    Py_CLEAR(pool->module);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

int is_pool(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);

    while (type != NULL && (destructor)PyType_GetSlot(type, Py_tp_dealloc) != pool_dealloc)
        type = PyType_GetSlot(type, Py_tp_base);
    return type != NULL;
}

/* _fail(status, ref): raises the core's error for a status. */
static PyObject *pool_fail(PyObject *self, PyObject *arguments) {
    unsigned long long ref;
    int status;

    if (!PyArg_ParseTuple(arguments, "iK", &status, &ref) || !pool_attached((Pool *)self))
        return NULL;
    return raise_status((Pool *)self, ref, status);
}

/* The gauges of a pool, also of one that was closed. False with an exception set. */
static int read_stats(Pool *pool, slabby_stats *out_stats) {
    slabby_status status;

    if (!pool_attached(pool))
        return 0;
    memset(out_stats, 0, sizeof *out_stats);
    out_stats->struct_size = sizeof *out_stats;
    status = pool->core->get_stats(out_stats, pool->allocator);
    if (status != SLABBY_OK)
        raise_status(pool, 0, status);
    return status == SLABBY_OK;
}

static PyObject *get_capacity(PyObject *self, void *unused) {
    slabby_stats stats;

    (void)unused;
    return read_stats((Pool *)self, &stats) ? PyLong_FromUnsignedLongLong(stats.total_slabs) : NULL;
}

static PyObject *get_closed(PyObject *self, void *unused) {
    slabby_stats stats;

    (void)unused;
    return read_stats((Pool *)self, &stats) ? PyBool_FromLong(stats.pool_state != SLABBY_POOL_STATE_OPEN)
                                            : NULL;
}

static Py_ssize_t pool_length(PyObject *self) {
    slabby_stats stats;

    return read_stats((Pool *)self, &stats) ? (Py_ssize_t)stats.total_slabs : -1;
}

static PyObject *get_native(PyObject *self, void *unused) {
    Pool *pool = (Pool *)self;

    (void)unused;
    if (!pool_attached(pool))
        return NULL;
    return Py_NewRef(pool->native);
}

static PyObject *get_address(PyObject *self, void *unused) {
    Pool *pool = (Pool *)self;

    (void)unused;
    if (!pool_attached(pool))
        return NULL;
    return PyLong_FromVoidPtr(pool->allocator);
}

static PyObject *get_slab_size(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(((Pool *)self)->slab_size);
}

/* A method by keywords, for the table. */
#define KEYWORDS(FUNCTION) (PyCFunction)(void (*)(void))(FUNCTION), METH_FASTCALL | METH_KEYWORDS

static PyMethodDef pool_methods[] = {
    {"allocate", KEYWORDS(pool_allocate),
     "allocate($self, /, timeout=0)\n--\n\nOne slab. Tries once; with a timeout in seconds it waits up to "
     "that long, and with None for ever. OutOfMemoryError: there was none; TimeoutError: none in time."},
    {"acquire", KEYWORDS(pool_acquire),
     "acquire($self, /, timeout=None)\n--\n\nOne slab, for which the thread waits first come, first served: "
     "up to "
     "`timeout` seconds, None for ever, 0 tries once. TimeoutError: none came in time."},
    {"acquire_async", KEYWORDS(pool_acquire_async),
     "acquire_async($self, /, timeout=None)\n--\n\nOne slab, for which the task waits without a thread, as "
     "acquire() does: `await pool.acquire_async()`, or `async with pool.acquire_async() as ref:`."},
    {"allocate_async", KEYWORDS(pool_acquire_async),
     "allocate_async($self, /, timeout=None)\n--\n\nThe same as acquire_async()."},
    {"allocate_batch", KEYWORDS(pool_allocate_batch),
     "allocate_batch($self, /, count)\n--\n\n`count` slabs at once, all or none, as a Batch."},
    {"allocate_fast", pool_allocate_fast, METH_NOARGS,
     "allocate_fast($self, /)\n--\n\nOne slab known by its bare id: (FastSlab, id)."},
    {"deallocate", pool_deallocate, METH_O,
     "deallocate($self, ref, /)\n--\n\nReleases a slab; the same as ref.release() for a ref of this pool."},
    {"deallocate_batch", KEYWORDS(pool_deallocate_batch),
     "deallocate_batch($self, /, refs)\n--\n\nReleases each as release() would, tries all, and returns how "
     "many. "
     "The first error is raised at the end, with the count as its `value`; it says which reference it is "
     "about."},
    {"deallocate_fast", pool_deallocate_fast, METH_O,
     "deallocate_fast($self, id, /)\n--\n\nReleases a slab of allocate_fast() by its id."},
    {"reset", pool_reset, METH_NOARGS,
     "reset($self, /)\n--\n\nReleases every live slab; all references become stale. Refused while a view "
     "lives."},
    {"_create", pool_create, METH_VARARGS, NULL},
    {"_adopt", pool_adopt, METH_VARARGS, NULL},
    {"_wrap", pool_wrap, METH_VARARGS, NULL},
    {"_wrap_all", pool_wrap_batch, METH_VARARGS, NULL},
    {"_try_now", pool_try_now, METH_NOARGS, NULL},
    {"_wait", pool_wait, METH_O, NULL},
    {"_wait_inside", pool_wait_inside, METH_O, NULL},
    {"_listen", pool_listen, METH_NOARGS, NULL},
    {"_fail", pool_fail, METH_VARARGS, NULL},
    {"_live_stacks", pool_live_stacks, METH_NOARGS, NULL},
    {"_stack_of", pool_stack_of, METH_O, NULL},
    {"_take_peak", pool_take_peak, METH_O, NULL},
    {"_numpy_handler", pool_numpy_handler, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef pool_properties[] = {
    {"slab_size", get_slab_size, NULL, "Usable bytes of each slab.", NULL},
    {"capacity", get_capacity, NULL, "How many slabs the pool has at this moment; len() is the same.", NULL},
    {"closed", get_closed, NULL, "Whether allocations are over: the pool was closed, by any language.", NULL},
    {"_native", get_native, NULL, NULL, NULL},
    {"_address", get_address, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef pool_members[] = {
    {"_crowded", T_BOOL, offsetof(Pool, crowded), 0, NULL},
    {"_queue", T_OBJECT, offsetof(Pool, queue), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot pool_slots[] = {
    {Py_tp_doc, "The holder of one pool; use slabby.Allocator."},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_traverse, pool_traverse},
    {Py_tp_methods, pool_methods},
    {Py_tp_getset, pool_properties},
    {Py_tp_members, pool_members},
    {Py_tp_new, pool_new},
    {Py_sq_length, pool_length},
    {0, NULL},
};

static PyType_Spec pool_spec = {
    .name = "slabby._types.Pool",
    .basicsize = sizeof(Pool),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = pool_slots,
};

int pool_ready(PyObject *module, struct slabby_types *types) {
    types->pool = (PyTypeObject *)PyType_FromModuleAndSpec(module, &pool_spec, NULL);
    if (types->pool == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "Pool", (PyObject *)types->pool);
}
