/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A slab as a tensor of bytes, by the protocol of DLPack: ref.__dlpack__() for numpy, torch, jax, cupy and their like.
 *
 *   capsule ──▶ struct export ──▶ Py_buffer ──▶ SlabRef
 *
 * The buffer pins the slab, as a memoryview does, until the consumer calls the deleter. The structures are those of
 * the protocol, which fixes their layout: of version 1, and the one from before it for consumers that ask for it.
 */
#include "dlpack.h"

#include <stdlib.h>

#define DEVICE_CPU 1
#define CODE_UNSIGNED 1u
#define VERSION_MAJOR 1u
#define VERSION_MINOR 0u
#define NAME "dltensor"
#define NAME_VERSIONED "dltensor_versioned"

struct device {
    int32_t type;
    int32_t id;
};

struct data_type {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
};

struct tensor {
    void *data;
    struct device device;
    int32_t ndim;
    struct data_type dtype;
    int64_t *shape;
    int64_t *strides; /* in elements */
    uint64_t byte_offset;
};

struct managed {
    struct tensor tensor;
    void *context;
    void (*deleter)(struct managed *);
};

struct managed_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct managed_versioned *);
    uint64_t flags;
    struct tensor tensor;
};

/* The object that the capsule points into. */
struct export {
    union {
        struct managed plain;
        struct managed_versioned versioned;
    } as;
    int64_t shape;
    int64_t stride;
    Py_buffer view;
};

/* The consumer's thread perhaps does not hold the interpreter's lock. After the end of the interpreter there is nothing
 * to do. */
static void end_export(struct export *export) {
    PyGILState_STATE state;

    if (!Py_IsInitialized())
        return;
    state = PyGILState_Ensure();
    PyBuffer_Release(&export->view);
    free(export);
    PyGILState_Release(state);
}

static void delete_plain(struct managed *managed) {
    end_export(managed->context);
}

static void delete_versioned(struct managed_versioned *managed) {
    end_export(managed->context);
}

/* A consumer renames the capsule and calls the deleter itself. */
static void end_capsule(PyObject *capsule) {
    if (PyCapsule_IsValid(capsule, NAME) || PyCapsule_IsValid(capsule, NAME_VERSIONED))
        end_export(PyCapsule_GetContext(capsule));
}

static struct tensor tensor_of(struct export *export) {
    export->shape = export->view.len;
    export->stride = 1;
    return (struct tensor){export->view.buf, {DEVICE_CPU, 0}, 1, {CODE_UNSIGNED, 8, 1},
                           &export->shape,   &export->stride, 0};
}

static PyObject *make_capsule(struct export *export, int versioned) {
    PyObject *capsule;

    if (versioned) {
        export->as.versioned = (struct managed_versioned){
            VERSION_MAJOR, VERSION_MINOR, export, delete_versioned, 0, tensor_of(export)};
        capsule = PyCapsule_New(&export->as.versioned, NAME_VERSIONED, NULL);
    } else {
        export->as.plain = (struct managed){tensor_of(export), export, delete_plain};
        capsule = PyCapsule_New(&export->as.plain, NAME, NULL);
    }
    if (capsule == NULL)
        return NULL;
    (void)PyCapsule_SetContext(capsule, export);
    (void)PyCapsule_SetDestructor(capsule, end_capsule);
    return capsule;
}

static PyObject *make_export(PyObject *ref, int versioned) {
    struct export *export = calloc(1, sizeof *export);
    PyObject *capsule;

    if (export == NULL)
        return PyErr_NoMemory();
    if (PyObject_GetBuffer(ref, &export->view, PyBUF_WRITABLE) < 0) {
        free(export);
        return NULL;
    }
    capsule = make_capsule(export, versioned);
    if (capsule == NULL)
        end_export(export);
    return capsule;
}

static int is_absent(PyObject *argument) {
    return argument == NULL || argument == Py_None;
}

/* False with BufferError set. */
static int check_request(PyObject *stream, PyObject *device, PyObject *copy) {
    int type = DEVICE_CPU, id = 0, copies;

    /* Deleters may run on any thread, and only the main interpreter can be entered from there. */
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        PyErr_SetString(PyExc_BufferError,
                        "DLPack works in the main interpreter alone; use memoryview(ref) in others");
        return 0;
    }
    if (!is_absent(stream)) {
        PyErr_Format(PyExc_BufferError, "stream is %R; a slab is memory of the CPU: pass None", stream);
        return 0;
    }
    if (!is_absent(device) && !PyArg_ParseTuple(device, "ii", &type, &id)) {
        PyErr_Clear();
        type = 0;
    }
    if (type != DEVICE_CPU || id != 0) {
        PyErr_Format(PyExc_BufferError, "dl_device is %R; a slab is memory of the CPU: pass (1, 0) or None",
                     device);
        return 0;
    }
    copies = is_absent(copy) ? 0 : PyObject_IsTrue(copy);
    if (copies > 0)
        PyErr_Format(PyExc_BufferError,
                     "copy is %R; a slab is exported as it is: pass None, then copy the array", copy);
    return copies == 0;
}

PyObject *slab_ref_dlpack(PyObject *self, PyObject *arguments, PyObject *names) {
    static char *keywords[] = {"stream", "max_version", "dl_device", "copy", NULL};
    PyObject *stream = NULL, *version = NULL, *device = NULL, *copy = NULL;
    int major = 0, minor = 0;

    if (!PyArg_ParseTupleAndKeywords(arguments, names, "|$OOOO", keywords, &stream, &version, &device, &copy))
        return NULL;
    if (!is_absent(version) && !(PyTuple_Check(version) && PyArg_ParseTuple(version, "ii", &major, &minor))) {
        PyErr_Clear();
        return PyErr_Format(PyExc_TypeError, "max_version takes a pair of numbers such as (1, 0), not %R",
                            version);
    }
    if (!is_absent(device) && !PyTuple_Check(device))
        return PyErr_Format(PyExc_TypeError, "dl_device takes a pair of numbers such as (1, 0), not %R",
                            device);
    return check_request(stream, device, copy) ? make_export(self, major >= (int)VERSION_MAJOR) : NULL;
}

PyObject *slab_ref_dlpack_device(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    return Py_BuildValue("(ii)", DEVICE_CPU, 0);
}
