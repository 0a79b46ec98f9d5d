/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Arguments of calls: one by position or by keyword, and whole numbers of any type. */
#include "types.h"

PyObject *one_argument(const char *call, const char *name, PyObject *const *arguments, Py_ssize_t count,
                       PyObject *names, PyObject *fallback) {
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);

    if (count + named == 0 && fallback != NULL)
        return fallback;
    if (count + named != 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes %s1 argument, %s (%zd given)", call,
                     fallback != NULL ? "at most " : "", name, count + named);
        return NULL;
    }
    if (named == 1) {
        PyObject *given = PyTuple_GetItem(names, 0);
        if (PyUnicode_CompareWithASCIIString(given, name) != 0) {
            PyErr_Format(PyExc_TypeError, "%s() has no argument %R; it takes %s", call, given, name);
            return NULL;
        }
    }
    return arguments[0];
}

PyObject *whole_number(PyObject *object) {
    if (PyLong_CheckExact(object))
        return Py_NewRef(object);
    return PyBool_Check(object) || !PyIndex_Check(object) ? NULL : PyNumber_Index(object);
}
