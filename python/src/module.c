/* SPDX-License-Identifier: GPL-3.0-or-later */
/* slabby._types: the types, and the capsule through which the SWIG backend reaches them. */
#include "api.h"
#include "alloc_stack.h"
#include "types.h"

static Pool *pool_or_error(PyObject *object) {
    if (PyObject_TypeCheck(object, pool_type))
        return pool_attached((Pool *)object) ? (Pool *)object : NULL;
    PyErr_Format(PyExc_TypeError, "expected a slabby.Allocator, not %R", Py_TYPE(object));
    return NULL;
}

static slabby_allocator *api_handle(PyObject *object) {
    Pool *pool = pool_or_error(object);

    return pool == NULL ? NULL : pool->cell.allocator;
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

static PyMethodDef functions[] = {
    {"_address_of", address_of, METH_O, NULL},
    {"_set_error_factory", set_error_factory, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static void module_free(void *module) {
    (void)module;
    raise_clear();
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "slabby._types", .m_doc = "The object types that both backends share.",
    .m_size = -1,          .m_methods = functions,    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__types(void);

PyMODINIT_FUNC PyInit__types(void) {
    PyObject *module = PyModule_Create(&definition);
    PyObject *capsule = PyCapsule_New(&api, SLABBY_TYPES_CAPSULE, NULL);

    stack_ready();
    if (module == NULL || capsule == NULL || pool_ready(module) < 0 || slab_ref_ready(module) < 0 ||
        fast_slab_ready(module) < 0 ||
        PyModule_AddIntConstant(module, "TRACEMALLOC_DOMAIN", SLABBY_TRACEMALLOC_DOMAIN) < 0 ||
        PyModule_AddObjectRef(module, "api", capsule) < 0) {
        Py_XDECREF(capsule);
        Py_XDECREF(module);
        return NULL;
    }
    Py_DECREF(capsule);
    return module;
}
