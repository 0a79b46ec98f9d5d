/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * __enter__ and __exit__ of SlabRef for CPython before 3.14, which binds both for each with block.
 *
 *   SlabRef's dictionary ── "__exit__" ──▶ BlockMethod ── on an instance ──▶ BoundMethod, used again
 *                                               └──────── on the type ──▶ the method that CPython made
 *
 * CPython makes a new object for each binding of a method of C: a third of what a block costs. A BoundMethod is one
 * that ended and is used again, as a SlabRef is. What a block does not ask, it answers as CPython's own method does.
 */
#include "slab_ref.h"

#include <structmember.h>

#define VERSION_3_14 0x030E0000

/* In the stable ABI since 3.12, and the same in 3.11. */
#define CALLED_BY_VECTOR (1UL << 11)
#define COUNT_BITS (~((size_t)1 << (8 * sizeof(size_t) - 1)))
typedef PyObject *(*vector_function)(PyObject *callable, PyObject *const *arguments, size_t count,
                                     PyObject *names);

typedef struct BlockMethod {
    PyObject_HEAD PyTypeObject *owner; /* SlabRef */
    PyObject *plain;                   /* the method of the type as CPython made it */
    PyTypeObject *bound;
    block_function function; /* it counts its arguments itself, and takes at most 3 */
} BlockMethod;

typedef struct BoundMethod {
    PyObject_HEAD PyObject *slab;
    BlockMethod *method;
    vector_function called;
    PyObject *weak_references;
} BoundMethod;

/* ------------------------------------------------------------------------------------------------ BoundMethod */

/* False with an exception set. */
static int without_names(const BoundMethod *self, Py_ssize_t names) {
    if (names == 0)
        return 1;
    PyErr_Format(PyExc_TypeError, "%R takes no keyword arguments", self->method->plain);
    return 0;
}

static PyObject *bound_called(PyObject *callable, PyObject *const *arguments, size_t count, PyObject *names) {
    BoundMethod *self = (BoundMethod *)callable;

    if (!without_names(self, names == NULL ? 0 : PyTuple_Size(names)))
        return NULL;
    return self->method->function(self->slab, arguments, (Py_ssize_t)(count & COUNT_BITS));
}

/* For callers that have a tuple and do not know of vectors. */
static PyObject *bound_call(PyObject *callable, PyObject *arguments, PyObject *names) {
    BoundMethod *self = (BoundMethod *)callable;
    PyObject *each[3] = {NULL, NULL, NULL};
    Py_ssize_t count = PyTuple_Size(arguments);

    if (!without_names(self, names == NULL ? 0 : PyDict_Size(names)))
        return NULL;
    for (Py_ssize_t i = 0; i < count && i < 3; i++)
        each[i] = PyTuple_GetItem(arguments, i);
    return self->method->function(self->slab, each, count);
}

static void bound_dealloc(PyObject *object) {
    BoundMethod *self = (BoundMethod *)object;
    PyObject *slab = self->slab;
    BlockMethod *method = self->method;

    PyObject_GC_UnTrack(object);
    if (self->weak_references != NULL)
        PyObject_ClearWeakRefs(object);
    /* The slab may be the last that holds the module and with it the spares. */
    spares_give(&((SlabRef *)slab)->pool->types->bound_methods, object);
    Py_DECREF((PyObject *)method);
    Py_DECREF(slab);
}

/* No tp_clear: a bound method is fixed when it is made, so every cycle through it has another member that can be
 * cleared. */
static int bound_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((BoundMethod *)object)->slab);
    Py_VISIT(((BoundMethod *)object)->method);
    return 0;
}

/* The method as CPython binds it. */
static PyObject *bound_plainly(PyObject *object, void *unused) {
    const BoundMethod *self = (BoundMethod *)object;

    (void)unused;
    return PyObject_CallMethod(self->method->plain, "__get__", "OO", self->slab, self->method->owner);
}

static PyObject *of_plain(PyObject *object, void *name) {
    PyObject *plain = bound_plainly(object, NULL);
    PyObject *attribute = plain == NULL ? NULL : PyObject_GetAttrString(plain, name);

    Py_XDECREF(plain);
    return attribute;
}

static PyObject *bound_repr(PyObject *object) {
    PyObject *plain = bound_plainly(object, NULL);
    PyObject *text = plain == NULL ? NULL : PyObject_Repr(plain);

    Py_XDECREF(plain);
    return text;
}

/* copy and pickle ask for it. */
static PyObject *bound_reduce(PyObject *object, PyObject *unused) {
    PyObject *plain = bound_plainly(object, NULL);
    PyObject *reduced = plain == NULL ? NULL : PyObject_CallMethod(plain, "__reduce__", NULL);

    (void)unused;
    Py_XDECREF(plain);
    return reduced;
}

/* As with methods: equal where they are of one object and one name. */
static PyObject *bound_compare(PyObject *object, PyObject *other, int operation) {
    const BoundMethod *self = (BoundMethod *)object, *peer = (BoundMethod *)other;
    int equal;

    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(object) != Py_TYPE(other))
        Py_RETURN_NOTIMPLEMENTED;
    equal = self->slab == peer->slab && self->method == peer->method;
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

static Py_hash_t bound_hash(PyObject *object) {
    const BoundMethod *self = (BoundMethod *)object;
    Py_hash_t hash = (Py_hash_t)((uintptr_t)self->slab / sizeof(void *) ^ (uintptr_t)self->method);

    return hash == -1 ? -2 : hash;
}

static PyMethodDef bound_methods[] = {
    {"__reduce__", bound_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef bound_properties[] = {
    {"__wrapped__", bound_plainly, NULL, NULL, NULL},
    {"__self__", of_plain, NULL, NULL, "__self__"},
    {"__name__", of_plain, NULL, NULL, "__name__"},
    {"__qualname__", of_plain, NULL, NULL, "__qualname__"},
    {"__text_signature__", of_plain, NULL, NULL, "__text_signature__"},
    {"__doc__", of_plain, NULL, NULL, "__doc__"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef bound_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(BoundMethod, called), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(BoundMethod, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot bound_slots[] = {
    {Py_tp_dealloc, bound_dealloc},     {Py_tp_traverse, bound_traverse},
    {Py_tp_call, bound_call},           {Py_tp_repr, bound_repr},
    {Py_tp_richcompare, bound_compare}, {Py_tp_hash, bound_hash},
    {Py_tp_methods, bound_methods},     {Py_tp_getset, bound_properties},
    {Py_tp_members, bound_members},     {0, NULL},
};

static PyType_Spec bound_spec = {
    .name = "slabby._types.BoundMethod",
    .basicsize = sizeof(BoundMethod),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE | CALLED_BY_VECTOR,
    .slots = bound_slots,
};

/* ------------------------------------------------------------------------------------------------ BlockMethod */

static PyObject *method_bind(PyObject *object, PyObject *slab, PyObject *type) {
    BlockMethod *self = (BlockMethod *)object;
    BoundMethod *bound;

    (void)type;
    if (slab == NULL)
        return Py_NewRef(self->plain);
    if (Py_TYPE(slab) != self->owner) {
        PyErr_Format(PyExc_TypeError, "%R is a method of a SlabRef, not of %R", self->plain, slab);
        return NULL;
    }
    Py_INCREF(object); /* a collection that begins here may run code that takes the method out of the type */
    bound = (BoundMethod *)spares_take(&((SlabRef *)slab)->pool->types->bound_methods, self->bound);
    if (bound == NULL) {
        Py_DECREF(object);
        return NULL;
    }
    bound->slab = Py_NewRef(slab);
    bound->method = self;
    bound->called = bound_called;
    bound->weak_references = NULL;
    PyObject_GC_Track(bound);
    return (PyObject *)bound;
}

static void method_dealloc(PyObject *object) {
    BlockMethod *self = (BlockMethod *)object;
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->plain);
    Py_CLEAR(self->bound);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

/* No tp_clear: the dictionary of the type is the other member of each cycle. */
static int method_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((BlockMethod *)object)->owner);
    Py_VISIT(((BlockMethod *)object)->plain);
    Py_VISIT(((BlockMethod *)object)->bound);
    return 0;
}

static PyType_Slot method_slots[] = {
    {Py_tp_dealloc, method_dealloc},
    {Py_tp_traverse, method_traverse},
    {Py_tp_descr_get, method_bind},
    {0, NULL},
};

static PyType_Spec method_spec = {
    .name = "slabby._types.BlockMethod",
    .basicsize = sizeof(BlockMethod),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = method_slots,
};

/* Sets one method of SlabRef anew. -1 with an exception set. */
static int set_method(PyTypeObject *owner, PyTypeObject *type, PyTypeObject *bound, const char *name,
                      block_function function) {
    PyObject *plain = PyObject_GetAttrString((PyObject *)owner, name);
    BlockMethod *method = plain == NULL ? NULL : PyObject_GC_New(BlockMethod, type);
    int set;

    if (method == NULL) {
        Py_XDECREF(plain);
        return -1;
    }
    method->owner = (PyTypeObject *)Py_NewRef((PyObject *)owner);
    method->plain = plain;
    method->bound = (PyTypeObject *)Py_NewRef((PyObject *)bound);
    method->function = function;
    PyObject_GC_Track(method);
    set = PyObject_SetAttrString((PyObject *)owner, name, (PyObject *)method);
    Py_DECREF((PyObject *)method);
    return set;
}

int block_methods_ready(PyObject *module, struct slabby_types *types) {
    PyObject *type, *bound;
    int ready = -1;

    if (Py_Version >= VERSION_3_14)
        return 0;
    type = PyType_FromModuleAndSpec(module, &method_spec, NULL);
    bound = PyType_FromModuleAndSpec(module, &bound_spec, NULL);
    if (type != NULL && bound != NULL) {
        ready = set_method(types->slab_ref, (PyTypeObject *)type, (PyTypeObject *)bound, "__enter__",
                           slab_ref_enter);
        if (ready == 0)
            ready = set_method(types->slab_ref, (PyTypeObject *)type, (PyTypeObject *)bound, "__exit__",
                               slab_ref_exit);
    }
    Py_XDECREF(type);
    Py_XDECREF(bound);
    return ready;
}
