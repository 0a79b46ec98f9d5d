/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Python: the backend of the package. Every function of slabby.h under its own name, flat. Results
 * are returned, a status other than OK is raised, a slabby_ref is a Python int of 64 bits. Objects
 * come from slabby._types through its capsule.
 */
%begin %{
#define PY_SSIZE_T_CLEAN
#include "refcounts.h"
%}

%{
#include <stdlib.h>
#include <string.h>

#include <slabby/slabby.h>

#include "api.h"
#include "table.h"

/* Of slabby._types, whose functions serve every interpreter. */
static const struct slabby_types_api *types_api;
static const struct slabby_core_table core_table = SLABBY_CORE_TABLE;

/* Zeroed room for `count` elements, at least one; null with MemoryError set. */
static void *make_space(uint64_t count, size_t size)
{
    void *space = NULL;

    if (count <= (uint64_t)PY_SSIZE_T_MAX / size)
        space = calloc(count > 0 ? (size_t)count : 1, size);
    if (space == NULL)
        PyErr_NoMemory();
    return space;
}

static uint64_t smaller(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

/* Takes both references. Results in order: none is None, one is itself, more are a tuple. No result
 * that comes first of several is a tuple itself. */
static PyObject *add_result(PyObject *results, PyObject *item)
{
    PyObject *first, *joined = NULL;
    Py_ssize_t count;

    if (item == NULL || results == NULL || results == Py_None) {
        Py_XDECREF(results);
        if (results == NULL)
            Py_CLEAR(item);
        return item;
    }
    if (!PyTuple_CheckExact(results)) {
        first = PyTuple_Pack(2, results, item);
        Py_DECREF(results);
        Py_DECREF(item);
        return first;
    }
    count = PyTuple_Size(results);
    joined = PyTuple_New(count + 1);
    for (Py_ssize_t at = 0; joined != NULL && at < count; at++)
        PyTuple_SetItem(joined, at, Py_NewRef(PyTuple_GetItem(results, at)));
    if (joined != NULL)
        PyTuple_SetItem(joined, count, item);
    else
        Py_DECREF(item);
    Py_DECREF(results);
    return joined;
}

/* For a list whose items were made without looking: null when one of them failed. */
static PyObject *complete_values(PyObject *values)
{
    if (PyErr_Occurred())
        Py_CLEAR(values);
    return values;
}

/* A pool's name may have been cut within a character, hence "replace". */
static PyObject *decode(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *counts_tuple(const uint64_t *counts, Py_ssize_t length)
{
    PyObject *tuple = PyTuple_New(length);

    for (Py_ssize_t at = 0; tuple != NULL && at < length; at++)
        PyTuple_SetItem(tuple, at, PyLong_FromUnsignedLongLong(counts[at]));
    return tuple;
}

static PyObject *numbers_list(const uint64_t *numbers, uint64_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (uint64_t at = 0; list != NULL && at < count; at++)
        PyList_SetItem(list, (Py_ssize_t)at, PyLong_FromUnsignedLongLong(numbers[at]));
    return list;
}

/* The caller frees the array. Null with an exception set. */
static uint64_t *numbers_from(PyObject *sequence, uint64_t *out_count)
{
    Py_ssize_t count = PySequence_Size(sequence);
    uint64_t *numbers = count < 0 ? NULL : make_space((uint64_t)count, sizeof *numbers);

    for (Py_ssize_t at = 0; numbers != NULL && at < count; at++) {
        PyObject *item = PySequence_GetItem(sequence, at);
        numbers[at] = item == NULL ? 0 : PyLong_AsUnsignedLongLong(item);
        Py_XDECREF(item);
        if (PyErr_Occurred()) {
            free(numbers);
            return NULL;
        }
    }
    *out_count = (uint64_t)(count < 0 ? 0 : count);
    return numbers;
}

/* None stands for null; the exception tells a wrong object from it. */
static void *opaque_from(PyObject *object, const char *name)
{
    return object == Py_None ? NULL : PyCapsule_GetPointer(object, name);
}

uintptr_t slabby_table_address(void)
{
    return (uintptr_t)&core_table;
}
%}

/* SWIG's own initialisation makes objects that all interpreters would share, for pointers as objects, which this module
 * does not have. Only its list of functions is used. */
%{
#define SLOT_MULTIPLE_INTERPRETERS 3
#define PER_INTERPRETER_LOCK ((void *)2)
#define VERSION_3_12 0x030C0000u

PyMODINIT_FUNC slabby_swig_definition(void);

static int execute(PyObject *module)
{
    (void)module;
    types_api = PyCapsule_Import(SLABBY_TYPES_CAPSULE, 0);
    return types_api == NULL ? -1 : 0;
}

PyMODINIT_FUNC PyInit__swig(void)
{
    static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}, {0, NULL}};
    static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "slabby._swig", .m_slots = slots};

    if (Py_Version >= VERSION_3_12)
        slots[1] = (PyModuleDef_Slot){SLOT_MULTIPLE_INTERPRETERS, PER_INTERPRETER_LOCK};
    definition.m_methods = ((PyModuleDef *)slabby_swig_definition())->m_methods;
    return PyModuleDef_Init(&definition);
}
#define PyInit__swig slabby_swig_definition
%}

%include "slabby_python_maps.i"
%include "slabby_typemaps.i"
