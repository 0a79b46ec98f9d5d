/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reference counts that leave immortal objects alone, in modules that are built with the headers of CPython 3.11.
 *
 * Since CPython 3.12 None, True, small integers and others are immortal: nothing changes their counts, because
 * interpreters with locks of their own share them without a lock. The headers of 3.11 do not know that and change each
 * count. Two interpreters that did so at once could free None. All files include this in place of Python.h.
 */
#ifndef SLABBY_PYTHON_REFCOUNTS_H
#define SLABBY_PYTHON_REFCOUNTS_H

#include <Python.h>
#include <stdint.h>

#if PY_VERSION_HEX < 0x030C0000

/* An immortal count of any version from 3.12 on. No object of 3.11 has as many references. */
static inline int refcount_is_immortal(const PyObject *object) {
#if SIZEOF_VOID_P > 4
    return (int32_t)object->ob_refcnt < 0;
#else
    return object->ob_refcnt >= 0x3FFFFFFF;
#endif
}

static inline PyObject *refcount_raise(PyObject *object) {
    if (object != NULL && !refcount_is_immortal(object))
        object->ob_refcnt++;
    return object;
}

static inline void refcount_lower(PyObject *object) {
    if (object != NULL && !refcount_is_immortal(object) && --object->ob_refcnt == 0)
        _Py_Dealloc(object);
}

#undef Py_INCREF
#undef Py_XINCREF
#undef Py_DECREF
#undef Py_XDECREF
#undef Py_NewRef
#undef Py_XNewRef
#define Py_INCREF(object) ((void)refcount_raise((PyObject *)(object)))
#define Py_XINCREF(object) Py_INCREF(object)
#define Py_DECREF(object) refcount_lower((PyObject *)(object))
#define Py_XDECREF(object) Py_DECREF(object)
#define Py_NewRef(object) refcount_raise((PyObject *)(object))
#define Py_XNewRef(object) refcount_raise((PyObject *)(object))

#endif

#endif
