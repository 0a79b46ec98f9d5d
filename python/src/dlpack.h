/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A slab as a tensor of bytes. */
#ifndef SLABBY_PYTHON_DLPACK_H
#define SLABBY_PYTHON_DLPACK_H

#include "types.h"

/* __dlpack__(*, stream=None, max_version=None, dl_device=None, copy=None) and __dlpack_device__(). */
PyObject *slab_ref_dlpack(PyObject *self, PyObject *arguments, PyObject *names);
PyObject *slab_ref_dlpack_device(PyObject *self, PyObject *unused);

#endif
