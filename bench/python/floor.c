/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The floor of what bench/python/pairs.py measures: an object of C that does nothing, made and freed as a SlabRef is.
 * What is above it, slabs cost. Nothing is below it but a with block: SlabRef saves CPython the objects that it makes
 * for the block's two calls (python/src/block_methods.c).
 */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#define SIZE 4096

static char memory[SIZE];
static PyTypeObject *empty_type;
static PyObject *spare;  /* the last object that ended */
static PyObject *number; /* beyond the integers that CPython has ready */

static PyObject *make_empty(void) {
    PyObject *made = spare;

    spare = NULL;
    made = made == NULL ? PyObject_GC_New(PyObject, empty_type) : PyObject_Init(made, empty_type);
    if (made != NULL)
        PyObject_GC_Track(made);
    return made;
}

static void empty_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (spare == NULL)
        spare = self;
    else
        PyObject_GC_Del(self);
    Py_DECREF(type);
}

static int empty_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static PyObject *empty_release(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    Py_RETURN_NONE;
}

static PyObject *empty_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *empty_exit(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    (void)self;
    (void)arguments;
    (void)count;
    Py_RETURN_NONE;
}

static int empty_getbuffer(PyObject *self, Py_buffer *view, int flags) {
    return PyBuffer_FillInfo(view, self, memory, SIZE, 0, flags);
}

static PyMethodDef empty_methods[] = {
    {"release", empty_release, METH_NOARGS, NULL},
    {"__enter__", empty_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))empty_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot empty_slots[] = {
    {Py_tp_dealloc, empty_dealloc},
    {Py_tp_traverse, empty_traverse},
    {Py_tp_methods, empty_methods},
    {Py_bf_getbuffer, empty_getbuffer},
    {0, NULL},
};

static PyType_Spec empty_spec = {
    .name = "floor.Empty",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = empty_slots,
};

/* As pool.allocate() takes its arguments. */
static PyObject *allocate(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names) {
    (void)self;
    (void)arguments;
    (void)count;
    (void)names;
    return make_empty();
}

static PyObject *allocate_fast(PyObject *self, PyObject *unused) {
    PyObject *made = make_empty(), *pair = made == NULL ? NULL : PyTuple_Pack(2, made, number);

    (void)self;
    (void)unused;
    Py_XDECREF(made);
    return pair;
}

static PyObject *deallocate_fast(PyObject *self, PyObject *id) {
    (void)self;
    if (PyLong_AsUnsignedLong(id) == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"allocate", (PyCFunction)(void (*)(void))allocate, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"allocate_fast", allocate_fast, METH_NOARGS, NULL},
    {"deallocate_fast", deallocate_fast, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "floor", .m_size = -1,
                                        .m_methods = functions};

PyMODINIT_FUNC PyInit_floor(void);

PyMODINIT_FUNC PyInit_floor(void) {
    empty_type = (PyTypeObject *)PyType_FromSpec(&empty_spec);
    number = PyLong_FromLong(1000);
    return empty_type == NULL || number == NULL ? NULL : PyModule_Create(&definition);
}
