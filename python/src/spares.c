/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Objects that ended and are used again. */
#include "types.h"

void spares_renew(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);

    (void)PyObject_Init(object, type);
    Py_DECREF(type); /* the reference that the object held before */
}

void spares_free(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_Del(object);
    Py_DECREF(type);
}

int spares_traverse(const struct spares *spares, visitproc visit, void *arg) {
    for (uint32_t i = 0; i < spares->count; i++)
        Py_VISIT(Py_TYPE(spares->objects[i]));
    return 0;
}

void spares_end(struct spares *spares) {
    spares->limit = 0;
    while (spares->count > 0)
        spares_free(spares->objects[--spares->count]);
}
