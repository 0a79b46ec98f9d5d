/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slabs as the memory of numpy's arrays. */
#ifndef SLABBY_PYTHON_NUMPY_MEMORY_H
#define SLABBY_PYTHON_NUMPY_MEMORY_H

#include "types.h"

/* Pool._numpy_handler(name, system): a handler for numpy, whose arrays keep the pool alive. */
PyObject *pool_numpy_handler(PyObject *self, PyObject *arguments);

/* _set_numpy_handler(api, handler): numpy's handler from now on, None for its own; returns the one before. */
PyObject *set_numpy_handler(PyObject *module, PyObject *arguments);

#endif
