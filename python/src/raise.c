/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a status to a Python exception. The classes live in slabby._errors, which registers its factory. */
#include "types.h"

#include <string.h>

static PyObject *error_factory;

PyObject *set_error_factory(PyObject *module, PyObject *factory) {
    (void)module;
    Py_INCREF(factory);
    Py_XDECREF(error_factory);
    error_factory = factory;
    Py_RETURN_NONE;
}

void raise_clear(void) {
    Py_CLEAR(error_factory);
}

/* Steals text. */
static PyObject *raise_text(slabby_status status, PyObject *text, const slabby_error *record) {
    PyObject *error = NULL;

    if (text != NULL && error_factory == NULL) {
        PyErr_Format(PyExc_RuntimeError, "slabby status %d: %U", (int)status, text);
    } else if (text != NULL && record != NULL) {
        error = PyObject_CallFunction(error_factory, "iOLLLi", (int)status, text, (long long)record->value,
                                      (long long)record->minimum, (long long)record->maximum,
                                      (int)record->option);
    } else if (text != NULL) {
        error = PyObject_CallFunction(error_factory, "iO", (int)status, text);
    }
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    Py_XDECREF(text);
    return NULL;
}

/* A pool's name may have been cut within a character, hence "replace". */
static PyObject *decode(const char *text) {
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

PyObject *raise_status(const Pool *pool, slabby_ref ref, slabby_status status) {
    char text[512] = "";

    (void)pool->core->explain(text, sizeof text, NULL, pool->cell.allocator, ref, status);
    return raise_text(status, decode(text), NULL);
}

PyObject *raise_record(const slabby_error *error) {
    return raise_text(error->status, decode(error->text), error);
}

void report_unraisable(PyObject *where) {
    PyErr_WriteUnraisable(where);
}
