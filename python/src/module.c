/* SPDX-License-Identifier: GPL-3.0-or-later */
/* slabby._types: the types of one interpreter, and the capsule through which the SWIG backend reaches them. */
#include "api.h"
#include "alloc_stack.h"
#include "numpy_memory.h"
#include "types.h"

/* Numbers of the slots that CPython 3.12 and 3.13 added; the limited API of 3.11 does not name them. */
#define SLOT_MULTIPLE_INTERPRETERS 3
#define PER_INTERPRETER_LOCK ((void *)2)
#define VERSION_3_12 0x030C0000u

static Pool *pool_or_error(PyObject *object) {
    if (is_pool(object))
        return pool_attached((Pool *)object) ? (Pool *)object : NULL;
    PyErr_Format(PyExc_TypeError, "pool takes a slabby.Allocator, not %R", object);
    return NULL;
}

static slabby_allocator *api_handle(PyObject *object) {
    Pool *pool = pool_or_error(object);

    return pool == NULL ? NULL : pool->allocator;
}

static PyObject *api_make_ref(PyObject *pool, slabby_ref ref, void *data) {
    return slab_ref_new((Pool *)pool, ref, data, 1);
}

static PyObject *api_make_refs(PyObject *pool, const slabby_ref *refs, void *const *datas, uint64_t count) {
    return pool_wrap_all((Pool *)pool, refs, datas, count);
}

static PyObject *api_make_fast(PyObject *pool, void *data, uint32_t id) {
    return fast_slab_pair((Pool *)pool, data, id);
}

static void api_fail(PyObject *object, slabby_ref ref, slabby_status status, const slabby_error *record) {
    Pool *pool = NULL;
    slabby_error bare = {.struct_size = sizeof bare, .status = status};

    if (record != NULL && record->status == status) {
        raise_record(record);
    } else if (object != NULL) {
        pool = pool_or_error(object);
        if (pool != NULL)
            raise_status(pool, ref, status);
    } else {
        raise_record(&bare);
    }
}

static struct slabby_types_api api = {api_handle, api_make_ref, api_make_refs, api_make_fast, api_fail};

/* _address_of(memory): a number as it is, or where a buffer begins. */
static PyObject *address_of(PyObject *self, PyObject *memory) {
    Py_buffer view;
    PyObject *address;

    (void)self;
    if (PyLong_Check(memory) || !PyObject_CheckBuffer(memory))
        return Py_NewRef(memory);
    if (PyObject_GetBuffer(memory, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    address = PyLong_FromVoidPtr(view.buf);
    PyBuffer_Release(&view);
    return address;
}

static void set_object(PyObject **entry, PyObject *object) {
    PyObject *old = *entry;

    *entry = Py_NewRef(object);
    Py_XDECREF(old);
}

/* _configure(error_factory, batch, folder): the objects that this module takes from the Python half. */
static PyObject *configure(PyObject *module, PyObject *arguments) {
    struct slabby_types *types = PyModule_GetState(module);
    PyObject *error_factory, *batch, *folder;

    if (!PyArg_ParseTuple(arguments, "OOU", &error_factory, &batch, &folder))
        return NULL;
    set_object(&types->error_factory, error_factory);
    set_object(&types->batch, batch);
    set_object(&types->folder, folder);
    Py_RETURN_NONE;
}

/* _leaks_reported(): slabs with a stack that are dropped from now on were reported before. */
static PyObject *leaks_reported(PyObject *module, PyObject *unused) {
    struct slabby_types *types = PyModule_GetState(module);

    (void)unused;
    types->leaks_reported = 1;
    Py_RETURN_NONE;
}

/* _set_running_loop(function): asyncio's, when a task waits for the first time. */
static PyObject *set_running_loop(PyObject *module, PyObject *function) {
    struct slabby_types *types = PyModule_GetState(module);

    set_object(&types->running_loop, function);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"_address_of", address_of, METH_O, NULL},
    {"_configure", configure, METH_VARARGS, NULL},
    {"_leaks_reported", leaks_reported, METH_NOARGS, NULL},
    {"_set_running_loop", set_running_loop, METH_O, NULL},
    {"_set_numpy_handler", set_numpy_handler, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* False with an exception set. */
static int names_ready(struct names *names) {
    names->done = PyUnicode_InternFromString("done");
    names->join_queue = PyUnicode_InternFromString("_join_queue");
    names->joining = PyUnicode_InternFromString("joining");
    names->set_result = PyUnicode_InternFromString("set_result");
    names->trio = PyUnicode_InternFromString("trio");
    return names->done != NULL && names->join_queue != NULL && names->joining != NULL &&
           names->set_result != NULL && names->trio != NULL;
}

static void names_end(struct names *names) {
    Py_CLEAR(names->done);
    Py_CLEAR(names->join_queue);
    Py_CLEAR(names->joining);
    Py_CLEAR(names->set_result);
    Py_CLEAR(names->trio);
}

static int execute(PyObject *module) {
    struct slabby_types *types = PyModule_GetState(module);
    PyObject *capsule = PyCapsule_New(&api, SLABBY_TYPES_CAPSULE, NULL);
    int added = capsule == NULL ? -1 : PyModule_AddObjectRef(module, "api", capsule);

    Py_XDECREF(capsule);
    stack_ready();
    if (!names_ready(&types->names))
        return -1;
    types->slab_refs.limit = types->fast_slabs.limit = types->bound_methods.limit = SPARES;
    if (added < 0 || pool_ready(module, types) < 0 || slab_ref_ready(module, types) < 0 ||
        fast_slab_ready(module, types) < 0 || acquisition_ready(module, types) < 0 ||
        tickets_ready(module, types) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "TRACEMALLOC_DOMAIN", SLABBY_TRACEMALLOC_DOMAIN);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    struct slabby_types *types = PyModule_GetState(module);
    int stopped = spares_traverse(&types->slab_refs, visit, arg);

    if (stopped == 0)
        stopped = spares_traverse(&types->fast_slabs, visit, arg);
    if (stopped == 0)
        stopped = spares_traverse(&types->bound_methods, visit, arg);
    if (stopped != 0)
        return stopped;
    Py_VISIT(types->pool);
    Py_VISIT(types->slab_ref);
    Py_VISIT(types->fast_slab);
    Py_VISIT(types->acquisition);
    Py_VISIT(types->tickets);
    Py_VISIT(types->running_loop);
    Py_VISIT(types->error_factory);
    Py_VISIT(types->batch);
    return 0;
}

/* Objects that live longer hold the types that they need. */
static int module_clear(PyObject *module) {
    struct slabby_types *types = PyModule_GetState(module);

    /* Spares end before their types, because freeing an object reads its type. */
    spares_end(&types->slab_refs);
    spares_end(&types->fast_slabs);
    spares_end(&types->bound_methods);
    fast_ids_end(types);
    Py_CLEAR(types->pool);
    Py_CLEAR(types->slab_ref);
    Py_CLEAR(types->fast_slab);
    Py_CLEAR(types->acquisition);
    Py_CLEAR(types->tickets);
    Py_CLEAR(types->running_loop);
    Py_CLEAR(types->error_factory);
    Py_CLEAR(types->batch);
    return 0;
}

static void module_free(void *module) {
    struct slabby_types *types = PyModule_GetState(module);

    (void)module_clear(module);
    Py_CLEAR(types->folder);
    names_end(&types->names);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "slabby._types",
    .m_doc = "The object types that both backends share.",
    .m_size = sizeof(struct slabby_types),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

struct slabby_types *types_of(PyTypeObject *type, PyObject **out_module) {
    PyObject *module = NULL;

    /* A Python subclass of our type belongs to no C module, so search its bases. */
    for (; type != NULL; type = PyType_GetSlot(type, Py_tp_base)) {
        module = PyType_GetModule(type);
        if (module != NULL && PyModule_GetDef(module) == &definition)
            break;
        PyErr_Clear();
    }
    if (type == NULL) {
        PyErr_SetString(PyExc_SystemError, "slabby._types was unloaded");
        return NULL;
    }
    *out_module = module;
    return PyModule_GetState(module);
}

PyMODINIT_FUNC PyInit__types(void);

PyMODINIT_FUNC PyInit__types(void) {
    if (Py_Version >= VERSION_3_12)
        slots[1] = (PyModuleDef_Slot){SLOT_MULTIPLE_INTERPRETERS, PER_INTERPRETER_LOCK};
    return PyModuleDef_Init(&definition);
}
