/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "alloc_stack.h"

#include <stdio.h>
#include <string.h>

#include "system.h"

/* Frames recorded of one allocation. */
#define STACK_FRAMES 16

/* ------------------------------------------------------------------------- what the limited API does not have */

/* Public functions of this Python library, the same for each of its interpreters. Null: this version lacks the
 * function. */
static struct {
    int (*track)(unsigned int domain, uintptr_t address, size_t size);
    int (*untrack)(unsigned int domain, uintptr_t address);
    PyObject *(*frame_back)(PyObject *frame);
    int (*frame_position)(PyObject *frame);
    int (*line_of)(PyObject *code, int position);
} python;

/* ISO C has no conversion from void * to a function; POSIX and Windows promise that the bytes are the same. */
static void find_functions(void) {
    *(void **)&python.track = system_find_in_python("PyTraceMalloc_Track");
    *(void **)&python.untrack = system_find_in_python("PyTraceMalloc_Untrack");
    *(void **)&python.frame_back = system_find_in_python("PyFrame_GetBack");
    *(void **)&python.frame_position = system_find_in_python("PyFrame_GetLasti");
    *(void **)&python.line_of = system_find_in_python("PyCode_Addr2Line");
}

void stack_ready(void) {
    system_once(find_functions);
}

/* The reference is used in place of the address, so that the slab's next owner cannot be confused with this one. */
int stack_track(const Pool *pool, slabby_ref ref) {
    return python.track != NULL && python.untrack != NULL &&
           python.track(SLABBY_TRACEMALLOC_DOMAIN, (uintptr_t)ref, (size_t)pool->slab_size) == 0;
}

void stack_untrack(slabby_ref ref) {
    (void)python.untrack(SLABBY_TRACEMALLOC_DOMAIN, (uintptr_t)ref);
}

/* Moves on to the caller's frame; consumes the one given. Null: it was the last. */
static PyObject *outward(PyObject *frame) {
    PyObject *back;

    if (python.frame_back != NULL) {
        back = python.frame_back(frame);
    } else {
        back = PyObject_GetAttrString(frame, "f_back");
        if (back == Py_None)
            Py_CLEAR(back);
    }
    Py_DECREF(frame);
    return back;
}

/* The position of a frame in its code: the instruction; or below zero, for a line whose number is known already. */
static long position_of(PyObject *frame) {
    if (python.frame_position != NULL && python.line_of != NULL)
        return python.frame_position(frame);
    return -2l - PyFrame_GetLineNumber((PyFrameObject *)frame);
}

static int line_at(PyObject *code, long position) {
    return position < -1 ? (int)(-2 - position) : python.line_of(code, (int)position);
}

/* ---------------------------------------------------------------------------------------------------- record */

int stack_wanted(const Pool *pool) {
    int64_t debug = 0;

    if (pool->finalizers)
        return 1;
    return stack_possible(pool) &&
           pool->core->get_option(&debug, pool->allocator, SLABBY_OPTION_DEBUG) == SLABBY_OK && debug != 0;
}

/* Whether code belongs to this package: the caller's frames begin after it. */
static int is_ours(const Pool *pool, PyObject *code) {
    PyObject *folder = pool->types->folder;
    PyObject *file = PyObject_GetAttrString(code, "co_filename");
    int ours =
        file != NULL && folder != NULL && PyUnicode_Tailmatch(file, folder, 0, PY_SSIZE_T_MAX, -1) == 1;

    Py_XDECREF(file);
    return ours;
}

/* Consumes the code and the frame. */
static PyObject *append_frame(PyObject *frames, PyObject *code, PyObject *frame) {
    PyObject *position = PyLong_FromLong(position_of(frame));

    if (position == NULL || PyList_Append(frames, code) < 0 || PyList_Append(frames, position) < 0)
        PyErr_Clear();
    Py_XDECREF(position);
    Py_DECREF(code);
    return outward(frame);
}

static PyObject *capture(const Pool *pool) {
    PyObject *frames = PyList_New(0), *tuple;
    PyObject *frame = Py_XNewRef((PyObject *)PyEval_GetFrame());
    int inside = 1;

    while (frames != NULL && frame != NULL && PyList_Size(frames) < 2 * STACK_FRAMES) {
        PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
        inside = inside && is_ours(pool, code);
        if (!inside) {
            frame = append_frame(frames, code, frame);
            continue;
        }
        Py_DECREF(code);
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

    if (pool->core->id(&id, pool->allocator, ref) != SLABBY_OK)
        return NULL;
    return PyLong_FromUnsignedLong(id);
}

static void store(const Pool *pool, slabby_ref ref, PyObject *frames, int owning) {
    PyObject *key = key_of(pool, ref);
    PyObject *entry = frames == NULL ? NULL : Py_BuildValue("(KOi)", (unsigned long long)ref, frames, owning);

    if (key != NULL && entry != NULL)
        (void)PyDict_SetItem(pool->stacks, key, entry);
    Py_XDECREF(entry);
    Py_XDECREF(key);
}

void stack_record(Pool *pool, slabby_ref ref) {
    PyObject *type, *value, *traceback, *frames;

    if (!stack_wanted(pool))
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (pool->stacks == NULL)
        pool->stacks = PyDict_New();
    frames = pool->stacks == NULL ? NULL : capture(pool);
    if (frames != NULL)
        store(pool, ref, frames, 1);
    Py_XDECREF(frames);
    PyErr_Clear(); /* a slab is not refused because there is no memory for its stack */
    PyErr_Restore(type, value, traceback);
}

/* ------------------------------------------------------------------------------------------------------ read */

/* The frames of one allocation, borrowed; null without an exception where they are not known. */
static PyObject *frames_of(const Pool *pool, slabby_ref ref) {
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

void stack_detach(Pool *pool, slabby_ref ref) {
    PyObject *frames = Py_XNewRef(frames_of(pool, ref));

    if (frames != NULL)
        store(pool, ref, frames, 0);
    Py_XDECREF(frames);
    PyErr_Clear();
}

/* (file, line, function, None), or null with an exception set. */
static PyObject *describe(PyObject *frames, Py_ssize_t index) {
    PyObject *code = PyTuple_GetItem(frames, index);
    long position = PyLong_AsLong(PyTuple_GetItem(frames, index + 1));
    PyObject *file = PyObject_GetAttrString(code, "co_filename");
    PyObject *name = PyObject_GetAttrString(code, "co_qualname");
    PyObject *row = NULL;

    if (file != NULL && name != NULL)
        row = Py_BuildValue("(OiOO)", file, line_at(code, position), name, Py_None);
    Py_XDECREF(file);
    Py_XDECREF(name);
    return row;
}

static PyObject *summary_of(PyObject *frames) {
    PyObject *list = PyList_New(0), *module, *kind, *summary = NULL;

    for (Py_ssize_t i = PyTuple_Size(frames) - 2; list != NULL && i >= 0; i -= 2) {
        PyObject *row = describe(frames, i);
        if (row == NULL || PyList_Append(list, row) < 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    module = list == NULL ? NULL : PyImport_ImportModule("traceback");
    kind = module == NULL ? NULL : PyObject_GetAttrString(module, "StackSummary");
    if (kind != NULL)
        summary = PyObject_CallMethod(kind, "from_list", "(O)", list);
    Py_XDECREF(kind);
    Py_XDECREF(module);
    Py_XDECREF(list);
    return summary;
}

PyObject *stack_summary(const Pool *pool, slabby_ref ref) {
    /* Held: making objects may run the collector, and with it code that hands the slab on. */
    PyObject *frames = Py_XNewRef(frames_of(pool, ref)), *summary;

    if (frames == NULL)
        Py_RETURN_NONE;
    summary = summary_of(frames);
    Py_DECREF(frames);
    return summary;
}

PyObject *pool_stack_of(PyObject *self, PyObject *number) {
    unsigned long long ref = PyLong_AsUnsignedLongLong(number);

    if (PyErr_Occurred() || !pool_attached((Pool *)self))
        return NULL;
    return stack_summary((Pool *)self, ref);
}

/* Appends (ref, StackSummary) where the slab is live and was not detached; -1 with an exception set. */
static int append_live(const Pool *pool, PyObject *list, PyObject *entry) {
    slabby_ref ref = PyLong_AsUnsignedLongLong(PyTuple_GetItem(entry, 0));
    PyObject *summary, *pair;
    int failed;

    if (PyTuple_GetItem(entry, 2) == NULL || PyLong_AsLong(PyTuple_GetItem(entry, 2)) == 0 ||
        !pool->core->is_valid(pool->allocator, ref))
        return 0;
    summary = summary_of(PyTuple_GetItem(entry, 1));
    pair = summary == NULL ? NULL : Py_BuildValue("(KN)", (unsigned long long)ref, summary);
    failed = pair == NULL || PyList_Append(list, pair) < 0;
    Py_XDECREF(pair);
    return failed ? -1 : 0;
}

PyObject *pool_live_stacks(PyObject *self, PyObject *unused) {
    Pool *pool = (Pool *)self;
    PyObject *list = PyList_New(0);
    /* A copy: making summaries runs Python code, which may allocate. */
    PyObject *entries = list == NULL || pool->stacks == NULL ? NULL : PyDict_Values(pool->stacks);

    (void)unused;
    for (Py_ssize_t i = 0; entries != NULL && list != NULL && i < PyList_Size(entries); i++) {
        if (append_live(pool, list, PyList_GetItem(entries, i)) < 0)
            Py_CLEAR(list);
    }
    Py_XDECREF(entries);
    return list;
}

void stack_text(const Pool *pool, slabby_ref ref, char *buffer, size_t size) {
    PyObject *frames = Py_XNewRef(frames_of(pool, ref)), *row = NULL, *text = NULL, *bytes;
    const char *whole, *slash;

    buffer[0] = '\0';
    if (frames != NULL && PyTuple_Size(frames) > 0)
        row = describe(frames, 0);
    if (row != NULL)
        text = PyUnicode_FromFormat("%U:%S in %U", PyTuple_GetItem(row, 0), PyTuple_GetItem(row, 1),
                                    PyTuple_GetItem(row, 2));
    bytes = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    if (bytes != NULL) {
        whole = PyBytes_AsString(bytes);
        slash = strrchr(whole, '/');
        (void)snprintf(buffer, size, "%s", slash == NULL ? whole : slash + 1);
    }
    PyErr_Clear();
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(row);
    Py_XDECREF(frames);
}
