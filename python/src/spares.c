/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Objects that ended and are used again, as CPython does with its own tuples and lists: making one and freeing one
 * costs as much as a slab does. */
#include "types.h"

PyObject *spares_take(struct spares *spares, PyTypeObject *type) {
    if (spares->count == 0)
        return PyObject_GC_New(PyObject, type);
    return PyObject_Init(spares->objects[--spares->count], type);
}

void spares_give(struct spares *spares, PyObject *object) {
    if (spares->count < spares->limit)
        spares->objects[spares->count++] = object;
    else
        PyObject_GC_Del(object);
}

void spares_end(struct spares *spares) {
    spares->limit = 0;
    while (spares->count > 0)
        PyObject_GC_Del(spares->objects[--spares->count]);
}
