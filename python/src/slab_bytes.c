/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ref[i], ref[i:j] and ref[i:j] = bytes, as with mmap: copies, so that no view remains that holds the slab. */
#include "slab_ref.h"

#include <string.h>

static int check_live(const SlabRef *self) {
    slabby_status status = self->pool->core->pin(self->pool->allocator, self->ref);

    if (status != SLABBY_OK)
        raise_status(self->pool, self->ref, status);
    return status == SLABBY_OK;
}

static void end_use(const SlabRef *self) {
    (void)self->pool->core->unpin(self->pool->allocator, self->ref);
}

PyObject *slab_ref_tobytes(PyObject *object, PyObject *unused) {
    SlabRef *self = (SlabRef *)object;
    PyObject *bytes;

    (void)unused;
    if (!check_live(self))
        return NULL;
    bytes = PyBytes_FromStringAndSize(self->data, (Py_ssize_t)self->pool->slab_size);
    end_use(self);
    return bytes;
}

/* The byte that an index names; false with an exception set. */
static int find_byte(const SlabRef *self, PyObject *key, Py_ssize_t *out_index) {
    Py_ssize_t size = (Py_ssize_t)self->pool->slab_size;
    Py_ssize_t index = PyNumber_AsSsize_t(key, PyExc_IndexError);

    if (index == -1 && PyErr_Occurred())
        return 0;
    *out_index = index < 0 ? index + size : index;
    if (*out_index >= 0 && *out_index < size)
        return 1;
    PyErr_Format(PyExc_IndexError, "index %zd is outside the slab of %zd bytes; choose %zd to %zd", index,
                 size, -size, size - 1);
    return 0;
}

/* The bytes that a slice names, step by step. */
struct span {
    Py_ssize_t start, step, length;
};

static int find_span(const SlabRef *self, PyObject *key, struct span *out_span) {
    Py_ssize_t stop;

    if (!PySlice_Check(key)) {
        PyErr_Format(PyExc_TypeError, "a slab is indexed by a number or a slice, not %R", key);
        return 0;
    }
    if (PySlice_Unpack(key, &out_span->start, &stop, &out_span->step) < 0)
        return 0;
    out_span->length =
        PySlice_AdjustIndices((Py_ssize_t)self->pool->slab_size, &out_span->start, &stop, out_span->step);
    return 1;
}

static void copy_steps(char *to, Py_ssize_t to_step, const char *from, Py_ssize_t from_step,
                       Py_ssize_t length) {
    if (to_step == 1 && from_step == 1) {
        memcpy(to, from, (size_t)length);
        return;
    }
    for (Py_ssize_t i = 0; i < length; i++)
        to[i * to_step] = from[i * from_step];
}

static PyObject *read_span(const SlabRef *self, const struct span *span) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, span->length);

    if (bytes != NULL)
        copy_steps(PyBytes_AsString(bytes), 1, (const char *)self->data + span->start, span->step,
                   span->length);
    return bytes;
}

PyObject *slab_ref_item(PyObject *object, PyObject *key) {
    SlabRef *self = (SlabRef *)object;
    Py_ssize_t index = 0;
    struct span span;
    int single = PyIndex_Check(key);
    PyObject *item;

    if (!(single ? find_byte(self, key, &index) : find_span(self, key, &span)) || !check_live(self))
        return NULL;
    item = single ? PyLong_FromLong(((unsigned char *)self->data)[index]) : read_span(self, &span);
    end_use(self);
    return item;
}

/* False with an exception set. */
static int write_byte(const SlabRef *self, Py_ssize_t index, PyObject *value) {
    Py_ssize_t byte;

    if (!PyIndex_Check(value)) {
        PyErr_Format(PyExc_TypeError, "a byte takes a number from 0 to 255, not %R", value);
        return 0;
    }
    byte = PyNumber_AsSsize_t(value, NULL); /* clipped if it is beyond every index */
    if (byte == -1 && PyErr_Occurred())
        return 0;
    if (byte < 0 || byte > 255) {
        PyErr_Format(PyExc_ValueError, "a byte is %R; choose 0 to 255", value);
        return 0;
    }
    ((unsigned char *)self->data)[index] = (unsigned char)byte;
    return 1;
}

/* Whether the buffer and the slab have bytes in common, as with `ref[::-1] = ref`. */
static int is_of_slab(const SlabRef *self, const Py_buffer *from) {
    uintptr_t begin = (uintptr_t)self->data, of = (uintptr_t)from->buf;

    return of < begin + self->pool->slab_size && begin < of + (size_t)from->len;
}

/* Writes each step from a copy, because a step may overwrite a byte that a later one reads. */
static int write_steps_of_copy(const SlabRef *self, const struct span *span, const Py_buffer *from) {
    PyObject *copy = PyBytes_FromStringAndSize(from->buf, from->len);

    if (copy == NULL)
        return 0;
    copy_steps((char *)self->data + span->start, span->step, PyBytes_AsString(copy), 1, span->length);
    Py_DECREF(copy);
    return 1;
}

static int write_span(const SlabRef *self, const struct span *span, const Py_buffer *from) {
    if (from->len != span->length) {
        PyErr_Format(PyExc_ValueError,
                     "the slice has %zd bytes and the value %zd; a slab cannot change its size", span->length,
                     from->len);
        return 0;
    }
    if (span->step == 1)
        memmove((char *)self->data + span->start, from->buf, (size_t)span->length);
    else if (is_of_slab(self, from))
        return write_steps_of_copy(self, span, from);
    else
        copy_steps((char *)self->data + span->start, span->step, from->buf, 1, span->length);
    return 1;
}

int slab_ref_set_item(PyObject *object, PyObject *key, PyObject *value) {
    SlabRef *self = (SlabRef *)object;
    Py_ssize_t index = 0;
    struct span span;
    Py_buffer from = {0};
    int single = PyIndex_Check(key), written;

    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "bytes of a slab cannot be deleted");
        return -1;
    }
    if (!(single ? find_byte(self, key, &index) : find_span(self, key, &span)))
        return -1;
    if (!single && !PyObject_CheckBuffer(value)) {
        PyErr_Format(PyExc_TypeError, "a slice of a slab takes bytes or another buffer, not %R", value);
        return -1;
    }
    if (!single && PyObject_GetBuffer(value, &from, PyBUF_SIMPLE) < 0)
        return -1;
    written = check_live(self);
    if (written) {
        written = single ? write_byte(self, index, value) : write_span(self, &span, &from);
        end_use(self);
    }
    if (!single)
        PyBuffer_Release(&from);
    return written ? 0 : -1;
}
