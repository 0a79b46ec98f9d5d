/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "alloc_stack.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Frames kept of one allocation. */
#define STACK_FRAMES 16

/* ------------------------------------------------------------------------------------------- tracemalloc */

/* Public functions of the interpreter, but none of the limited API. */
static int (*trace_track)(unsigned int domain, uintptr_t address, size_t size);
static int (*trace_untrack)(unsigned int domain, uintptr_t address);

void stack_ready(void) {
    /* ISO C has no conversion from void * to a function; POSIX promises that the bytes are the same. */
    *(void **)&trace_track = dlsym(RTLD_DEFAULT, "PyTraceMalloc_Track");
    *(void **)&trace_untrack = dlsym(RTLD_DEFAULT, "PyTraceMalloc_Untrack");
}

/* The reference stands for the address: the slab's next owner cannot be mistaken for this one. */
int stack_track(const Pool *pool, slabby_ref ref) {
    return trace_track != NULL && trace_untrack != NULL &&
           trace_track(SLABBY_TRACEMALLOC_DOMAIN, (uintptr_t)ref, (size_t)pool->slab_size) == 0;
}

void stack_untrack(slabby_ref ref) {
    (void)trace_untrack(SLABBY_TRACEMALLOC_DOMAIN, (uintptr_t)ref);
}

/* ------------------------------------------------------------------------------------------------ noting */

/* `debug` is hot. While it is on the core's mode word is not zero, and most pools need no more than that look. */
static int wants_stacks(const Pool *pool) {
    int64_t debug = 0;

    if (pool->finalizers)
        return 1;
    return pool->mode != NULL && *pool->mode != 0 &&
           pool->core->get_option(&debug, pool->cell.allocator, SLABBY_OPTION_DEBUG) == SLABBY_OK &&
           debug != 0;
}

/* Whether a frame is of this package: callers begin behind it. */
static int is_ours(PyObject *frame) {
    PyObject *globals = PyObject_GetAttrString(frame, "f_globals");
    PyObject *name = globals == NULL ? NULL : PyDict_GetItemString(globals, "__name__");
    PyObject *prefix = PyUnicode_FromString("slabby.");
    int ours = name != NULL && prefix != NULL && PyUnicode_Check(name) &&
               PyUnicode_Tailmatch(name, prefix, 0, PY_SSIZE_T_MAX, -1) == 1;

    Py_XDECREF(prefix);
    Py_XDECREF(globals);
    return ours;
}

/* (file, line, function) */
static PyObject *describe_frame(PyObject *frame) {
    PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
    PyObject *file = PyObject_GetAttrString(code, "co_filename");
    PyObject *name = PyObject_GetAttrString(code, "co_qualname");
    PyObject *triple = NULL;

    if (file != NULL && name != NULL)
        triple = Py_BuildValue("(OiO)", file, PyFrame_GetLineNumber((PyFrameObject *)frame), name);
    Py_XDECREF(file);
    Py_XDECREF(name);
    Py_DECREF(code);
    return triple;
}

/* Moves on to the caller's frame; consumes the one given. */
static PyObject *outward(PyObject *frame) {
    PyObject *back = PyObject_GetAttrString(frame, "f_back");

    Py_DECREF(frame);
    if (back != Py_None)
        return back;
    Py_DECREF(back);
    return NULL;
}

static PyObject *capture(void) {
    PyObject *frames = PyList_New(0), *tuple;
    PyObject *frame = Py_XNewRef((PyObject *)PyEval_GetFrame());

    while (frame != NULL && is_ours(frame))
        frame = outward(frame);
    while (frames != NULL && frame != NULL && PyList_Size(frames) < STACK_FRAMES) {
        PyObject *triple = describe_frame(frame);
        if (triple == NULL || PyList_Append(frames, triple) < 0)
            Py_CLEAR(frames);
        Py_XDECREF(triple);
        frame = outward(frame);
    }
    Py_XDECREF(frame);
    if (frames == NULL)
        return NULL;
    tuple = PyList_AsTuple(frames);
    Py_DECREF(frames);
    return tuple;
}

static PyObject *key_of(const Pool *pool, slabby_ref ref) {
    uint32_t id;

    if (pool->core->id(&id, pool->cell.allocator, ref) != SLABBY_OK)
        return NULL;
    return PyLong_FromUnsignedLong(id);
}

void stack_record(Pool *pool, slabby_ref ref) {
    PyObject *type, *value, *traceback, *key, *frames, *entry;

    if (!wants_stacks(pool))
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (pool->stacks == NULL)
        pool->stacks = PyDict_New();
    key = key_of(pool, ref);
    frames = capture();
    entry = frames == NULL ? NULL : Py_BuildValue("(KO)", (unsigned long long)ref, frames);
    if (pool->stacks != NULL && key != NULL && entry != NULL)
        (void)PyDict_SetItem(pool->stacks, key, entry);
    Py_XDECREF(entry);
    Py_XDECREF(frames);
    Py_XDECREF(key);
    PyErr_Clear(); /* no memory for the origin is no reason to refuse the slab */
    PyErr_Restore(type, value, traceback);
}

/* ----------------------------------------------------------------------------------------------- telling */

PyObject *stack_frames(const Pool *pool, slabby_ref ref) {
    PyObject *key, *entry, *frames = NULL;

    if (pool->stacks == NULL)
        return NULL;
    key = key_of(pool, ref);
    entry = key == NULL ? NULL : PyDict_GetItem(pool->stacks, key);
    if (entry != NULL && PyLong_AsUnsignedLongLong(PyTuple_GetItem(entry, 0)) == ref)
        frames = PyTuple_GetItem(entry, 1);
    Py_XDECREF(key);
    return frames;
}

PyObject *stack_summary(const Pool *pool, slabby_ref ref) {
    PyObject *frames = stack_frames(pool, ref), *list, *module, *kind, *summary = NULL;

    if (frames == NULL)
        Py_RETURN_NONE;
    list = PyList_New(0);
    for (Py_ssize_t i = PyTuple_Size(frames) - 1; list != NULL && i >= 0; i--) {
        PyObject *triple = PyTuple_GetItem(frames, i);
        PyObject *row = Py_BuildValue("(OOOO)", PyTuple_GetItem(triple, 0), PyTuple_GetItem(triple, 1),
                                      PyTuple_GetItem(triple, 2), Py_None);
        if (row == NULL || PyList_Append(list, row) < 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    module = list == NULL ? NULL : PyImport_ImportModule("traceback");
    kind = module == NULL ? NULL : PyObject_GetAttrString(module, "StackSummary");
    if (kind != NULL)
        summary = PyObject_CallMethod(kind, "from_list", "O", list);
    Py_XDECREF(kind);
    Py_XDECREF(module);
    Py_XDECREF(list);
    return summary;
}

void stack_text(const Pool *pool, slabby_ref ref, char *buffer, size_t size) {
    PyObject *frames = stack_frames(pool, ref), *innermost, *text = NULL, *bytes;
    const char *whole, *slash;

    buffer[0] = '\0';
    innermost = frames == NULL || PyTuple_Size(frames) == 0 ? NULL : PyTuple_GetItem(frames, 0);
    if (innermost != NULL)
        text = PyUnicode_FromFormat("%U:%S in %U", PyTuple_GetItem(innermost, 0),
                                    PyTuple_GetItem(innermost, 1), PyTuple_GetItem(innermost, 2));
    bytes = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    if (bytes != NULL) {
        whole = PyBytes_AsString(bytes);
        slash = strrchr(whole, '/');
        (void)snprintf(buffer, size, "%s", slash == NULL ? whole : slash + 1);
    }
    PyErr_Clear();
    Py_XDECREF(bytes);
    Py_XDECREF(text);
}
