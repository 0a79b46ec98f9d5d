/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a status to a Python exception. The classes live in slabby._errors, which slabby._raise makes. */
#include "types.h"

#include <string.h>

/* Steals text; `factory` is borrowed and may be null while the interpreter ends. */
static PyObject *raise_text(PyObject *factory, slabby_status status, PyObject *text,
                            const slabby_error *record) {
    PyObject *error = NULL;

    if (text != NULL && factory == NULL) {
        PyErr_Format(PyExc_RuntimeError, "slabby status %d: %U", (int)status, text);
    } else if (text != NULL && record != NULL) {
        error = PyObject_CallFunction(factory, "iOLLLi", (int)status, text, (long long)record->value,
                                      (long long)record->minimum, (long long)record->maximum,
                                      (int)record->option);
    } else if (text != NULL) {
        error = PyObject_CallFunction(factory, "iO", (int)status, text);
    }
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    Py_XDECREF(text);
    return NULL;
}

/* With the fallback on, the advice to switch it on is none: its limit is reached. "" leaves the advice to the class. */
static const char *advice_of(const Pool *pool, slabby_status status) {
    int64_t fallback = 0;

    if (status == SLABBY_OUT_OF_MEMORY)
        (void)pool->core->get_option(&fallback, pool->allocator, SLABBY_OPTION_HEAP_FALLBACK);
    return fallback == 0 ? "" : "; raise heap_fallback_limit or the capacity, or release slabs sooner";
}

/* A pool's name may have been cut inside a character, so the error handler is "replace". */
static PyObject *decode(const char *text) {
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

/* The core's text about one case, whole: with `debug` it has the stacks. Null with an exception. */
static PyObject *explained(const Pool *pool, slabby_ref ref, slabby_status status) {
    char few[512] = "", *many;
    uint64_t length = 0;
    PyObject *text;

    if (pool->core->explain(few, sizeof few, &length, pool->allocator, ref, status) !=
        SLABBY_BUFFER_TOO_SMALL)
        return decode(few);
    length += 64; /* ages that the text tells may take more digits by then */
    many = PyMem_Calloc(length, 1);
    if (many == NULL)
        return PyErr_NoMemory();
    (void)pool->core->explain(many, length, NULL, pool->allocator, ref, status);
    text = decode(many);
    PyMem_Free(many);
    return text;
}

/* Where Python notes stacks: its frames in place of the interpreter's. A text of one line has none, perhaps because the
 * reference is none of the pool's; to ask for its slab would count as another refusal. Steals text. */
static PyObject *in_python_terms(const Pool *pool, slabby_ref ref, PyObject *text) {
    PyObject *own;

    if (text == NULL || pool->stacks == NULL ||
        PyUnicode_FindChar(text, '\n', 0, PyUnicode_GetLength(text), 1) < 0)
        return text;
    own = PyObject_CallMethod((PyObject *)pool, "_with_stack", "OK", text, (unsigned long long)ref);
    if (own == NULL && PyErr_ExceptionMatches(PyExc_Exception)) { /* not Ctrl-C, which stays */
        PyErr_Clear();
        return text;
    }
    Py_DECREF(text);
    return own;
}

PyObject *raise_status(const Pool *pool, slabby_ref ref, slabby_status status) {
    PyObject *text = in_python_terms(pool, ref, explained(pool, ref, status)), *whole;

    if (text == NULL)
        return NULL;
    whole = PyUnicode_FromFormat("%U%s", text, advice_of(pool, status));
    Py_DECREF(text);
    return raise_text(pool->types->error_factory, status, whole, NULL);
}

PyObject *raise_about(const Pool *pool, slabby_status status, PyObject *id) {
    PyObject *text = status == SLABBY_BUSY
                         ? PyUnicode_FromString("a reset is under way in another thread; try again later")
                         : explained(pool, 0, status);
    PyObject *whole;
    const char *advice = "";

    if (text == NULL)
        return NULL;
    if (status == SLABBY_DOUBLE_DEALLOCATION)
        advice = "; deallocate each id once";
    else if (status == SLABBY_PINNED)
        advice = "; end every memoryview or array over the slab first";
    whole = PyUnicode_FromFormat("id is %R: %U%s", id, text, advice);
    Py_DECREF(text);
    return raise_text(pool->types->error_factory, status, whole, NULL);
}

/* Without a pool: the factory of the interpreter that runs. */
PyObject *raise_record(const slabby_error *error) {
    PyObject *module = PyImport_ImportModule("slabby._raise");
    PyObject *factory = module == NULL ? NULL : PyObject_GetAttrString(module, "make_error");

    PyErr_Clear();
    (void)raise_text(factory, error->status, decode(error->text), error);
    Py_XDECREF(factory);
    Py_XDECREF(module);
    return NULL;
}

PyObject *raise_recorded(const Pool *pool, slabby_status status, const slabby_error *record) {
    slabby_error bare = {.struct_size = sizeof bare, .status = status};

    if (record->status == status)
        return raise_record(record);
    return pool != NULL ? raise_status(pool, 0, status) : raise_record(&bare);
}

void report_unraisable(PyObject *where) {
    PyErr_WriteUnraisable(where);
}
