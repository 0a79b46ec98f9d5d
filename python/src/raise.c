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

PyObject *raise_status(const Pool *pool, slabby_ref ref, slabby_status status) {
    char text[512] = "";

    (void)pool->core->explain(text, sizeof text, NULL, pool->allocator, ref, status);
    (void)strncat(text, advice_of(pool, status), sizeof text - strlen(text) - 1);
    return raise_text(pool->types->error_factory, status, decode(text), NULL);
}

PyObject *raise_about(const Pool *pool, slabby_status status, PyObject *id) {
    char text[512] = "";
    const char *advice = "";

    if (status == SLABBY_DOUBLE_DEALLOCATION)
        advice = "; deallocate each id once";
    else if (status == SLABBY_PINNED)
        advice = "; end every memoryview or array over the slab first";

    (void)pool->core->explain(text, sizeof text, NULL, pool->allocator, 0, status);
    return raise_text(pool->types->error_factory, status,
                      PyUnicode_FromFormat("id is %R: %s%s", id, text, advice), NULL);
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

void report_unraisable(PyObject *where) {
    PyErr_WriteUnraisable(where);
}
