/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SlabRef: one allocation as an object around its 64-bit reference.
 *
 * Each exported buffer holds a pin in the core: the export pins, and releasing the buffer unpins. So a release in
 * between is refused in every language. The object owns the slab unless it was borrowed; an owned slab that was not
 * released goes back when the object dies.
 */
#include "alloc_stack.h"
#include "dlpack.h"
#include "slab_ref.h"

#include <string.h>
#include <structmember.h>

PyObject *slab_ref_new(Pool *pool, slabby_ref ref, void *data, int owning) {
    SlabRef *self = (SlabRef *)spares_take(&pool->types->slab_refs, pool->ref_type);

    if (self == NULL) {
        if (owning)
            (void)pool->core->release(pool->allocator, ref);
        return NULL;
    }
    self->pool = (Pool *)Py_NewRef((PyObject *)pool);
    self->ref = ref;
    self->data = data;
    self->weak_references = NULL;
    self->owning = (char)owning;
    self->done = 0;
    self->traced = 0;
    PyObject_GC_Track(self);
    if (owning) {
        note_use(pool);
        if (stack_track(pool, ref)) {
            spares_renew((PyObject *)self);
            self->traced = 1;
        }
        if (stack_possible(pool))
            stack_record(pool, ref);
    }
    return (PyObject *)self;
}

static PyObject *fail(const SlabRef *self, slabby_status status) {
    return raise_status(self->pool, self->ref, status);
}

slabby_status release_unlocked(const Pool *pool, release_function release, slabby_ref ref) {
    slabby_status status;

    Py_BEGIN_ALLOW_THREADS status = release(pool->allocator, ref);
    Py_END_ALLOW_THREADS return status;
}

static PyObject *release_with(SlabRef *self, release_function release) {
    slabby_status status = release_by(self->pool, release, self->ref);

    if (!slab_ref_finish(self, status))
        return fail(self, status);
    Py_RETURN_NONE;
}

static PyObject *slab_ref_release(PyObject *object, PyObject *unused) {
    (void)unused;
    return release_with((SlabRef *)object, ((SlabRef *)object)->pool->core->release);
}

static PyObject *slab_ref_release_deferred(PyObject *object, PyObject *unused) {
    (void)unused;
    return release_with((SlabRef *)object, ((SlabRef *)object)->pool->core->release_deferred);
}

static PyObject *slab_ref_detach(PyObject *object, PyObject *unused) {
    SlabRef *self = (SlabRef *)object;

    (void)unused;
    if (!self->pool->core->is_valid(self->pool->allocator, self->ref))
        return fail(self, SLABBY_USE_AFTER_FREE);
    self->owning = 0;
    stack_detach(self->pool, self->ref);
    return PyLong_FromUnsignedLongLong(self->ref);
}

/* array(dtype, shape): the first call loads numpy. */
static PyObject *slab_ref_array(PyObject *object, PyObject *arguments, PyObject *names) {
    static char *keywords[] = {"dtype", "shape", NULL};
    PyObject *dtype = Py_None, *shape = Py_None, *module, *array;

    if (!PyArg_ParseTupleAndKeywords(arguments, names, "|OO", keywords, &dtype, &shape))
        return NULL;
    module = PyImport_ImportModule("slabby.numpy");
    if (module == NULL)
        return NULL;
    array = PyObject_CallMethod(module, "_array_of", "OOO", object, dtype, shape);
    Py_DECREF(module);
    return array;
}

/* _finish(): called after the slab was released by its number. */
static PyObject *slab_ref_finished(PyObject *object, PyObject *unused) {
    SlabRef *self = (SlabRef *)object;

    (void)unused;
    if (!self->pool->core->is_valid(self->pool->allocator, self->ref))
        slab_ref_forget(self);
    Py_RETURN_NONE;
}

PyObject *slab_ref_enter(PyObject *object, PyObject *const *arguments, Py_ssize_t count) {
    (void)arguments;
    if (count == 0)
        return Py_NewRef(object);
    PyErr_Format(PyExc_TypeError, "__enter__() takes no arguments (%zd given)", count);
    return NULL;
}

/* Leaving the block releases the slab deferred, so that a view which still lives is no error. An error of the release
 * is raised if the body raised nothing; otherwise it is reported as unraisable. */
PyObject *slab_ref_exit(PyObject *object, PyObject *const *arguments, Py_ssize_t count) {
    SlabRef *self = (SlabRef *)object;
    int body_failed = count > 0 && arguments[0] != Py_None;
    slabby_status status;

    if (count > 3) {
        PyErr_Format(PyExc_TypeError, "__exit__() takes at most 3 arguments, not %zd", count);
        return NULL;
    }
    if (self->done)
        Py_RETURN_NONE;
    status = release_by(self->pool, self->pool->core->release_deferred, self->ref);
    if (slab_ref_finish(self, status))
        Py_RETURN_NONE;
    fail(self, status);
    if (!body_failed)
        return NULL;
    report_unraisable(object);
    Py_RETURN_NONE;
}

static int slab_ref_getbuffer(PyObject *object, Py_buffer *view, int flags) {
    SlabRef *self = (SlabRef *)object;
    const Pool *pool = self->pool;
    slabby_status status = pool->core->pin(pool->allocator, self->ref);

    if (status != SLABBY_OK) {
        view->obj = NULL;
        fail(self, status);
        return -1;
    }
    if (PyBuffer_FillInfo(view, object, self->data, (Py_ssize_t)pool->slab_size, 0, flags) < 0) {
        (void)pool->core->unpin(pool->allocator, self->ref);
        return -1;
    }
    return 0;
}

/* The last unpin completes a deferred release, which may find overwritten guard bytes. */
static void slab_ref_releasebuffer(PyObject *object, Py_buffer *view) {
    SlabRef *self = (SlabRef *)object;
    slabby_status status = release_by(self->pool, self->pool->core->unpin, self->ref);
    PyObject *type, *value, *traceback;

    (void)view;
    if (status == SLABBY_OK)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    fail(self, status);
    report_unraisable((PyObject *)self->pool);
    PyErr_Restore(type, value, traceback);
}

static PyObject *name_of(const SlabRef *self) {
    char text[160] = "?";

    (void)self->pool->core->ref_text(text, sizeof text, NULL, self->pool->allocator, self->ref);
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

/* The lines of the frames as one text; null with an exception. */
static PyObject *joined_lines(PyObject *summary) {
    PyObject *lines = PyObject_CallMethod(summary, "format", NULL), *blank = PyUnicode_FromString("");
    PyObject *text = lines == NULL || blank == NULL ? NULL : PyUnicode_Join(blank, lines);

    Py_XDECREF(lines);
    Py_XDECREF(blank);
    return text;
}

/* "; allocated at (most recent call last):" and the frames, or nothing. An error is reported, and hides no warning. */
static PyObject *stack_lines(const SlabRef *self) {
    PyObject *summary = stack_summary(self->pool, self->ref), *text = NULL, *lines = NULL;

    if (summary != NULL && summary != Py_None)
        text = joined_lines(summary);
    Py_XDECREF(summary);
    if (text != NULL)
        lines = PyUnicode_FromFormat("; allocated at (most recent call last):\n%U", text);
    Py_XDECREF(text);
    if (PyErr_Occurred())
        report_unraisable((PyObject *)self->pool);
    return lines == NULL ? PyUnicode_FromString("") : lines;
}

/* The object is the source of the warning: if tracemalloc traces, the warning shows where the object was made. A pinned
 * slab goes back with its last pin. */
static void warn_dropped(SlabRef *self) {
    PyObject *name = name_of(self), *lines = stack_lines(self);

    if (name == NULL || lines == NULL ||
        PyErr_ResourceWarning((PyObject *)self, 1,
                              "SlabRef %U was dropped without release(); its slab goes back to the pool%U",
                              name, lines) < 0)
        report_unraisable((PyObject *)self->pool);
    Py_XDECREF(lines);
    Py_XDECREF(name);
}

/* Reports the leak and releases the slab. At the end of the interpreter, slabs with a stack were already reported. */
static slabby_status release_dropped(SlabRef *self) {
    const Pool *pool = self->pool;
    slabby_status status;
    char stack[128];

    if (pool->types->leaks_reported && stack_wanted(pool))
        return pool->core->release_deferred(pool->allocator, self->ref);
    stack_text(pool, self->ref, stack, sizeof stack);
    status = pool->core->report_leak(pool->allocator, self->ref, stack, 1);
    if (slab_ref_finish(self, status))
        warn_dropped(self);
    return status;
}

/* No buffer of this object is left, because a buffer would keep the object alive. Other code may hold pins; then the
 * slab is released with the last pin. A slab that was released elsewhere, or whose pool was destroyed, is not
 * reported. */
static void release_at_end(SlabRef *self) {
    PyObject *type, *value, *traceback;

    if (!self->pool->core->is_valid(self->pool->allocator, self->ref))
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (release_dropped(self) == SLABBY_MEMORY_CORRUPTION) {
        fail(self, SLABBY_MEMORY_CORRUPTION);
        report_unraisable((PyObject *)self->pool);
    }
    PyErr_Restore(type, value, traceback);
}

/* A warning may keep the dying object as its source: the object lives during the call, and longer if it was kept. Not
 * tp_finalize: the collector calls that before the __del__ of other objects of the same cycle, which may be about to
 * release. */
static int outlives_its_end(SlabRef *self) {
    PyObject *object = (PyObject *)self;

    Py_SET_REFCNT(object, 1);
    release_at_end(self);
    self->owning = 0;
    Py_SET_REFCNT(object, Py_REFCNT(object) - 1);
    return Py_REFCNT(object) > 0;
}

static void slab_ref_dealloc(PyObject *object) {
    SlabRef *self = (SlabRef *)object;
    Pool *pool;

    if (self->owning && !self->done && outlives_its_end(self))
        return;
    PyObject_GC_UnTrack(object);
    slab_ref_forget(self);
    if (self->weak_references != NULL)
        PyObject_ClearWeakRefs(object);
    /* The pool may be the last that holds the module and with it the spares. */
    pool = self->pool;
    spares_give(&pool->types->slab_refs, object);
    Py_DECREF(pool);
}

/* No tp_clear, as with tuples: a reference is fixed when it is made, so every cycle through it has another
 * member that can be cleared. A cleared one could no longer unpin. */
static int slab_ref_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((SlabRef *)object)->pool);
    return 0;
}

/* Two objects of one allocation are equal, also after its release. */
static PyObject *slab_ref_compare(PyObject *object, PyObject *other, int operation) {
    const SlabRef *self = (SlabRef *)object;
    const SlabRef *peer = (SlabRef *)other;
    int equal;

    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(object) != Py_TYPE(other))
        Py_RETURN_NOTIMPLEMENTED;
    equal = self->ref == peer->ref && self->pool->allocator == peer->pool->allocator;
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

/* References of two pools differ in their tag, so that the number is enough. */
static Py_hash_t slab_ref_hash(PyObject *object) {
    uint64_t mixed = ((SlabRef *)object)->ref * 0x9E3779B97F4A7C15u;
    Py_hash_t hash = (Py_hash_t)(mixed ^ (mixed >> 32));

    return hash == -1 ? -2 : hash;
}

static PyObject *slab_ref_repr(PyObject *object) {
    SlabRef *self = (SlabRef *)object;
    PyObject *name = name_of(self), *text;
    int valid = self->pool->core->is_valid(self->pool->allocator, self->ref);

    if (name == NULL)
        return NULL;
    text = PyUnicode_FromFormat("<SlabRef %U, %llu bytes%s>", name, (unsigned long long)self->pool->slab_size,
                                valid ? "" : ", released");
    Py_DECREF(name);
    return text;
}

static Py_ssize_t slab_ref_length(PyObject *object) {
    return (Py_ssize_t)((SlabRef *)object)->pool->slab_size;
}

static PyObject *get_size(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(((SlabRef *)object)->pool->slab_size);
}

static PyObject *get_ref(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(((SlabRef *)object)->ref);
}

static PyObject *get_allocator(PyObject *object, void *unused) {
    (void)unused;
    return Py_NewRef((PyObject *)((SlabRef *)object)->pool);
}

static PyObject *get_is_valid(PyObject *object, void *unused) {
    SlabRef *self = (SlabRef *)object;

    (void)unused;
    return PyBool_FromLong(self->pool->core->is_valid(self->pool->allocator, self->ref));
}

static PyObject *get_id(PyObject *object, void *unused) {
    SlabRef *self = (SlabRef *)object;
    uint32_t id;
    slabby_status status = self->pool->core->id(&id, self->pool->allocator, self->ref);

    (void)unused;
    return status == SLABBY_OK ? PyLong_FromUnsignedLong(id) : fail(self, status);
}

static PyObject *get_address(PyObject *object, void *unused) {
    SlabRef *self = (SlabRef *)object;
    void *data;
    slabby_status status = self->pool->core->data(&data, self->pool->allocator, self->ref);

    (void)unused;
    return status == SLABBY_OK ? PyLong_FromVoidPtr(data) : fail(self, status);
}

static PyObject *get_label(PyObject *object, void *unused) {
    SlabRef *self = (SlabRef *)object;
    uint64_t label;
    slabby_status status = self->pool->core->get_label(&label, self->pool->allocator, self->ref);

    (void)unused;
    return status == SLABBY_OK ? PyLong_FromUnsignedLongLong(label) : fail(self, status);
}

static PyObject *get_allocation_stack(PyObject *object, void *unused) {
    SlabRef *self = (SlabRef *)object;

    (void)unused;
    return stack_summary(self->pool, self->ref);
}

static int set_label(PyObject *object, PyObject *value, void *unused) {
    SlabRef *self = (SlabRef *)object;
    unsigned long long label = 0;
    PyObject *number = value == NULL ? NULL : whole_number(value);
    slabby_status status;

    (void)unused;
    if (number != NULL) {
        label = PyLong_AsUnsignedLongLong(number);
        if (label == (unsigned long long)-1 && PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "label is %R; choose 0 to 2**64 - 1", value);
        Py_DECREF(number);
    } else if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "a label cannot be deleted; set it to 0");
    } else if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "label takes a whole number from 0 to 2**64 - 1, not %R", value);
    }
    if (PyErr_Occurred())
        return -1;
    status = self->pool->core->set_label(self->pool->allocator, self->ref, label);
    if (status != SLABBY_OK)
        fail(self, status);
    return status == SLABBY_OK ? 0 : -1;
}

static PyMethodDef slab_ref_methods[] = {
    {"release", slab_ref_release, METH_NOARGS,
     "release($self, /)\n--\n\nReleases the slab. Refused with PinnedError (a BufferError) while a view "
     "lives."},
    {"release_deferred", slab_ref_release_deferred, METH_NOARGS,
     "release_deferred($self, /)\n--\n\nReleases the slab when the last view has ended; no new view from now "
     "on."},
    {"detach", slab_ref_detach, METH_NOARGS,
     "detach($self, /)\n--\n\nGives up ownership and returns the 64-bit reference: other code must release "
     "it."},
    {"tobytes", slab_ref_tobytes, METH_NOARGS, "tobytes($self, /)\n--\n\nA copy of the whole slab as bytes."},
    {"array", (PyCFunction)(void (*)(void))slab_ref_array, METH_VARARGS | METH_KEYWORDS,
     "array($self, /, dtype=None, shape=None)\n--\n\nThe slab as an array of numpy, without a copy: bytes "
     "unless "
     "`dtype` says otherwise, as many elements as fit unless `shape` does. It pins the slab as a memoryview "
     "does."},
    {"__dlpack__", (PyCFunction)(void (*)(void))slab_ref_dlpack, METH_VARARGS | METH_KEYWORDS,
     "__dlpack__($self, /, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\nThe slab as a "
     "tensor "
     "of bytes on the CPU, for from_dlpack() of numpy, torch and others. It pins the slab."},
    {"__dlpack_device__", slab_ref_dlpack_device, METH_NOARGS,
     "__dlpack_device__($self, /)\n--\n\nWhere the slab is: (1, 0), the CPU."},
    {"_finish", slab_ref_finished, METH_NOARGS, NULL},
    {"__enter__", (PyCFunction)(void (*)(void))slab_ref_enter, METH_FASTCALL,
     "__enter__($self, /)\n--\n\nReturns the SlabRef itself."},
    {"__exit__", (PyCFunction)(void (*)(void))slab_ref_exit, METH_FASTCALL,
     "__exit__($self, kind, error, traceback, /)\n--\n\nReleases the slab as release_deferred() does."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef slab_ref_properties[] = {
    {"size", get_size, NULL, "Usable bytes of the slab.", NULL},
    {"ref", get_ref, NULL, "The 64-bit reference, to hand to another language.", NULL},
    {"allocator", get_allocator, NULL, "The Allocator this came from.", NULL},
    {"is_valid", get_is_valid, NULL, "Whether the reference names a live slab.", NULL},
    {"id", get_id, NULL, "The number of the slab in its pool.", NULL},
    {"address", get_address, NULL, "Where the slab begins. It does not pin the slab: prefer memoryview(ref).",
     NULL},
    {"label", get_label, set_label, "A 64-bit value of your own, 0 until set, forgotten on release.", NULL},
    {"allocation_stack", get_allocation_stack, NULL,
     "Where the slab was allocated, a traceback.StackSummary; None unless `debug` or `finalizers` was on.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef slab_ref_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(SlabRef, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slab_ref_slots[] = {
    {Py_tp_doc, "One slab: a buffer, a context manager, a 64-bit reference. ref[i] is a number, ref[i:j] a "
                "copy as bytes; "
                "both can be assigned to, and neither leaves a view behind."},
    {Py_tp_dealloc, slab_ref_dealloc},
    {Py_tp_traverse, slab_ref_traverse},
    {Py_tp_repr, slab_ref_repr},
    {Py_tp_richcompare, slab_ref_compare},
    {Py_tp_hash, slab_ref_hash},
    {Py_tp_methods, slab_ref_methods},
    {Py_tp_members, slab_ref_members},
    {Py_tp_getset, slab_ref_properties},
    {Py_mp_length, slab_ref_length},
    {Py_mp_subscript, slab_ref_item},
    {Py_mp_ass_subscript, slab_ref_set_item},
    {Py_bf_getbuffer, slab_ref_getbuffer},
    {Py_bf_releasebuffer, slab_ref_releasebuffer},
    {0, NULL},
};

static PyType_Spec slab_ref_spec = {
    .name = "slabby.SlabRef",
    .basicsize = sizeof(SlabRef),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slab_ref_slots,
};

int slab_ref_ready(PyObject *module, struct slabby_types *types) {
    types->slab_ref = (PyTypeObject *)PyType_FromModuleAndSpec(module, &slab_ref_spec, NULL);
    if (types->slab_ref == NULL)
        return -1;
    if (block_methods_ready(module, types) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "SlabRef", (PyObject *)types->slab_ref);
}
