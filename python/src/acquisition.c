/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Acquisition: the object that acquire_async() returns. It has the methods of a coroutine, so tasks and asyncio.run
 * accept it, and it is an asynchronous context manager. The first step returns a free slab without a frame of Python:
 *
 *   NEW ── first step: a slab is free ─────────────────────────▶ OVER
 *    └──── none: `wait`, of the future of a ticket in the loop's queue ─▶ OVER when that is done
 *                or, where the loop has no queue yet or time is limited, a coroutine of the Python half
 *   __aexit__ releases the slab and makes one more await possible, which returns None.
 */
#include "types.h"

enum phase { PHASE_NEW, PHASE_WAITING, PHASE_OVER, PHASE_LEFT };

typedef struct Acquisition {
    PyObject_HEAD Pool *pool;
    PyObject *timeout;
    PyObject *wait;       /* the iterator that is stepped while it waits: of a future, or a coroutine */
    struct joined joined; /* null if it waits in no queue of a loop */
    PyObject *slab;       /* of `async with` */
    char phase;
    char entered;
    char running; /* a step, a throw or a close is under way */
} Acquisition;

static PySendResult over(Acquisition *self, PyObject *slab, PyObject **out_result) {
    self->phase = PHASE_OVER;
    *out_result = slab;
    if (slab == NULL)
        return PYGEN_ERROR;
    if (self->entered)
        self->slab = Py_NewRef(slab);
    return PYGEN_RETURN;
}

/* The queue ends with its last wait. */
static void close_if_empty(Acquisition *self) {
    PyObject *queue = self->joined.queue, *closed;

    self->joined.queue = NULL;
    if (PyDict_Size(self->joined.waiting) == 0) {
        closed = PyObject_CallMethod(queue, "close_if_empty", NULL);
        if (closed == NULL)
            report_unraisable((PyObject *)self->pool);
        Py_XDECREF(closed);
    }
    Py_DECREF(queue);
}

/* The ticket is over. An exception that is set stays set. */
static void leave_queue(Acquisition *self) {
    PyObject *type, *value, *traceback;

    if (self->joined.queue == NULL)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    tickets_leave(self->joined.tickets, self->joined.waiting, self->joined.ticket);
    close_if_empty(self);
    PyErr_Restore(type, value, traceback);
}

/* The future is done: the slab that the ticket brought, or null with an exception. */
static PyObject *take_from_queue(Acquisition *self) {
    PyObject *slab = tickets_pick_up(self->joined.tickets, self->joined.ticket);

    if (slab != NULL)
        close_if_empty(self);
    return slab;
}

static PySendResult step_wait(Acquisition *self, PyObject *value, PyObject **out_result) {
    PySendResult sent = PyIter_Send(self->wait, value, out_result);
    PyObject *slab;

    if (sent == PYGEN_NEXT)
        return sent;
    slab = sent == PYGEN_RETURN ? *out_result : NULL;
    if (slab != NULL && self->joined.queue != NULL) {
        Py_DECREF(slab);
        slab = take_from_queue(self);
    }
    Py_CLEAR(self->wait);
    leave_queue(self);
    return over(self, slab, out_result);
}

static PyObject *item_of(PyObject *joined, Py_ssize_t at) {
    return Py_XNewRef(PyTuple_GetItem(joined, at));
}

/* Lets the Python half join, which may open the queue. Answers as join_recent_queue. */
static int join_any_queue(Acquisition *self, struct joined *out) {
    PyObject *joined =
        PyObject_CallMethodObjArgs((PyObject *)self->pool, self->pool->types->names.join_queue, NULL);

    if (joined == NULL || joined == Py_None) {
        Py_XDECREF(joined);
        return joined == NULL ? -1 : 0;
    }
    out->queue = item_of(joined, 0);
    out->ticket = item_of(joined, 1);
    out->future = item_of(joined, 2);
    out->waiting = item_of(joined, 3);
    out->tickets = item_of(joined, 4);
    Py_DECREF(joined);
    if (out->tickets != NULL && Py_TYPE(out->tickets) != self->pool->types->tickets)
        PyErr_SetString(PyExc_TypeError, "_join_queue() returned no tickets");
    if (PyErr_Occurred())
        Py_CLEAR(out->queue);
    return out->queue == NULL ? -1 : 1;
}

/* Joins the queue of the running loop: 1; 0 if the coroutine of the Python half has to handle the case; -1 with an
 * exception. Then the task waits on the future itself: a coroutine around it would cost as much as the queue. */
static int join_queue(Acquisition *self) {
    int joined = join_recent_queue(self->pool, &self->joined);

    if (joined == 0)
        joined = join_any_queue(self, &self->joined);
    if (joined != 1)
        return joined;
    self->wait = PyObject_GetIter(self->joined.future);
    Py_CLEAR(self->joined.future);
    if (self->wait == NULL)
        leave_queue(self);
    return self->wait == NULL ? -1 : 1;
}

/* The first step: a slab at once, or the wait begins. */
static PySendResult begin(Acquisition *self, PyObject *value, PyObject **out_result) {
    int plain = plain_timeout(self->timeout);
    PyObject *slab;

    if (plain == 0)
        return over(self, allocate_now(self->pool), out_result);
    /* If tasks wait already, a free slab is for one of them. */
    if (plain == 1 && !self->pool->crowded) {
        slab = pool_try_now((PyObject *)self->pool, NULL);
        if (slab != Py_None)
            return over(self, slab, out_result);
        Py_DECREF(slab);
    }
    if (self->timeout != Py_None)
        self->wait = PyObject_CallMethod((PyObject *)self->pool, "_acquire_within", "(O)", self->timeout);
    else if (join_queue(self) == 0)
        self->wait = PyObject_CallMethod((PyObject *)self->pool, "_begin_wait", "(O)", Py_None);
    if (self->wait == NULL)
        return over(self, NULL, out_result);
    self->phase = PHASE_WAITING;
    return step_wait(self, value, out_result);
}

/* Whatever runs meanwhile, an event loop or a signal handler, cannot run the same again: false with ValueError, as
 * coroutines answer. */
static int start_running(Acquisition *self) {
    if (self->running) {
        PyErr_SetString(PyExc_ValueError, "acquire_async() already executing");
        return 0;
    }
    self->running = 1;
    return 1;
}

static PySendResult step(Acquisition *self, PyObject *value, PyObject **out_result) {
    switch (self->phase) {
    case PHASE_NEW:
        return begin(self, value, out_result);
    case PHASE_WAITING:
        return step_wait(self, value, out_result);
    case PHASE_LEFT:
        self->phase = PHASE_OVER;
        *out_result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    default:
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited acquire_async()");
        *out_result = NULL;
        return PYGEN_ERROR;
    }
}

static PySendResult acquisition_step(PyObject *object, PyObject *value, PyObject **out_result) {
    Acquisition *self = (Acquisition *)object;
    PySendResult sent;

    *out_result = NULL;
    if (!start_running(self))
        return PYGEN_ERROR;
    sent = step(self, value, out_result);
    self->running = 0;
    return sent;
}

/* As generators end: StopIteration with the value. */
static PyObject *stop(PyObject *value) {
    PyObject *stopped = PyObject_CallFunctionObjArgs(PyExc_StopIteration, value, NULL);

    Py_DECREF(value);
    if (stopped != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stopped);
        Py_DECREF(stopped);
    }
    return NULL;
}

static PyObject *acquisition_send(PyObject *self, PyObject *value) {
    PyObject *result = NULL;

    return acquisition_step(self, value, &result) == PYGEN_RETURN ? stop(result) : result;
}

static PyObject *acquisition_next(PyObject *self) {
    return acquisition_send(self, Py_None);
}

/* throw(error) or throw(type, value, traceback) before the first step. */
static PyObject *throw_here(PyObject *arguments) {
    PyObject *type, *value = NULL, *traceback = NULL;

    if (!PyArg_UnpackTuple(arguments, "throw", 1, 3, &type, &value, &traceback))
        return NULL;
    if (PyExceptionInstance_Check(type))
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
    else if (PyExceptionClass_Check(type))
        PyErr_SetObject(type, value == NULL ? Py_None : value);
    else
        PyErr_Format(PyExc_TypeError, "throw() takes an exception, not %R", type);
    return NULL;
}

static PyObject *throw_into_wait(Acquisition *self, PyObject *arguments) {
    PyObject *method, *result;

    method = PyObject_GetAttrString(self->wait, "throw");
    result = method == NULL ? NULL : PyObject_CallObject(method, arguments);
    Py_XDECREF(method);
    if (result == NULL) {
        Py_CLEAR(self->wait);
        leave_queue(self);
        self->phase = PHASE_OVER;
    }
    return result;
}

static PyObject *acquisition_throw(PyObject *object, PyObject *arguments) {
    Acquisition *self = (Acquisition *)object;
    PyObject *result;

    if (!start_running(self))
        return NULL;
    if (self->phase == PHASE_WAITING) {
        result = throw_into_wait(self, arguments);
    } else {
        self->phase = PHASE_OVER;
        result = throw_here(arguments);
    }
    self->running = 0;
    return result;
}

static PyObject *acquisition_close(PyObject *object, PyObject *unused) {
    Acquisition *self = (Acquisition *)object;
    PyObject *result;

    (void)unused;
    if (!start_running(self))
        return NULL;
    self->phase = PHASE_OVER;
    result = self->wait == NULL ? Py_NewRef(Py_None) : PyObject_CallMethod(self->wait, "close", NULL);
    Py_CLEAR(self->wait);
    leave_queue(self);
    self->running = 0;
    return result;
}

static PyObject *acquisition_enter(PyObject *object, PyObject *unused) {
    (void)unused;
    ((Acquisition *)object)->entered = 1;
    return Py_NewRef(object);
}

static PyObject *acquisition_exit(PyObject *object, PyObject *const *arguments, Py_ssize_t count) {
    Acquisition *self = (Acquisition *)object;
    PyObject *done;

    if (self->slab == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "acquire_async() was left without being entered");
        return NULL;
    }
    done = slab_ref_exit(self->slab, arguments, count);
    Py_CLEAR(self->slab);
    if (done == NULL)
        return NULL;
    Py_DECREF(done);
    self->phase = PHASE_LEFT;
    return Py_NewRef(object);
}

static PyObject *acquisition_await(PyObject *self) {
    return Py_NewRef(self);
}

static int acquisition_traverse(PyObject *object, visitproc visit, void *arg) {
    Acquisition *self = (Acquisition *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->pool);
    Py_VISIT(self->timeout);
    Py_VISIT(self->wait);
    Py_VISIT(self->joined.queue);
    Py_VISIT(self->joined.waiting);
    Py_VISIT(self->joined.tickets);
    Py_VISIT(self->slab);
    return 0;
}

static int acquisition_clear(PyObject *object) {
    Acquisition *self = (Acquisition *)object;

    if (self->phase == PHASE_WAITING)
        self->phase = PHASE_OVER;
    Py_CLEAR(self->wait);
    leave_queue(self);
    Py_CLEAR(self->joined.waiting);
    Py_CLEAR(self->joined.tickets);
    Py_CLEAR(self->slab);
    return 0;
}

/* The collector calls this while the queue is intact, before it clears any object of the cycle. */
static void acquisition_finalize(PyObject *object) {
    leave_queue((Acquisition *)object);
}

/* As coroutines do: a forgotten await is a mistake. */
static void warn_never_awaited(const Acquisition *self) {
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_WarnEx(PyExc_RuntimeWarning, "acquire_async() was never awaited", 1) < 0)
        report_unraisable((PyObject *)self->pool);
    PyErr_Restore(type, value, traceback);
}

static void acquisition_dealloc(PyObject *object) {
    Acquisition *self = (Acquisition *)object;
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    if (self->phase == PHASE_NEW)
        warn_never_awaited(self);
    (void)acquisition_clear(object);
    Py_CLEAR(self->timeout);
    Py_CLEAR(self->joined.ticket);
    Py_DECREF(self->pool);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMethodDef acquisition_methods[] = {
    {"send", acquisition_send, METH_O, "send($self, value, /)\n--\n\nOne step, for event loops."},
    {"throw", acquisition_throw, METH_VARARGS, "throw($self, /, *error)\n--\n\nRaises where the task waits."},
    {"close", acquisition_close, METH_NOARGS, "close($self, /)\n--\n\nEnds the wait and leaves the queue."},
    {"__aenter__", acquisition_enter, METH_NOARGS, "__aenter__($self, /)\n--\n\nAwait it for the slab."},
    {"__aexit__", (PyCFunction)(void (*)(void))acquisition_exit, METH_FASTCALL,
     "__aexit__($self, kind, error, traceback, /)\n--\n\nReleases the slab as SlabRef.release_deferred() "
     "does."},
    {NULL, NULL, 0, NULL},
};

/* For the texts about tasks, as functions have them. */
static PyObject *get_name(PyObject *self, void *name) {
    (void)self;
    return PyUnicode_FromString(name);
}

static char name[] = "acquire_async", qualified_name[] = "Allocator.acquire_async";

static PyGetSetDef acquisition_properties[] = {
    {"__name__", get_name, NULL, NULL, name},
    {"__qualname__", get_name, NULL, NULL, qualified_name},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot acquisition_slots[] = {
    {Py_tp_doc, "A wait for a slab: await it, or use it with `async with`. Once."},
    {Py_tp_dealloc, acquisition_dealloc},
    {Py_tp_traverse, acquisition_traverse},
    {Py_tp_clear, acquisition_clear},
    {Py_tp_finalize, acquisition_finalize},
    {Py_tp_methods, acquisition_methods},
    {Py_tp_getset, acquisition_properties},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, acquisition_next},
    {Py_am_await, acquisition_await},
    {Py_am_send, acquisition_step},
    {0, NULL},
};

static PyType_Spec acquisition_spec = {
    .name = "slabby.Acquisition",
    .basicsize = sizeof(Acquisition),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = acquisition_slots,
};

PyObject *pool_acquire_async(PyObject *object, PyObject *const *arguments, Py_ssize_t count,
                             PyObject *names) {
    Pool *pool = (Pool *)object;
    PyObject *timeout = one_argument("acquire_async", "timeout", arguments, count, names, Py_None);
    Acquisition *self;

    if (timeout == NULL || !pool_attached(pool))
        return NULL;
    if (pool->types->acquisition == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no wait can begin while the interpreter ends");
        return NULL;
    }
    self = PyObject_GC_New(Acquisition, pool->types->acquisition);
    if (self == NULL)
        return NULL;
    self->pool = (Pool *)Py_NewRef((PyObject *)pool);
    self->timeout = Py_NewRef(timeout);
    self->joined = (struct joined){NULL, NULL, NULL, NULL, NULL};
    self->wait = NULL;
    self->slab = NULL;
    self->phase = PHASE_NEW;
    self->entered = 0;
    self->running = 0;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

int acquisition_ready(PyObject *module, struct slabby_types *types) {
    types->acquisition = (PyTypeObject *)PyType_FromModuleAndSpec(module, &acquisition_spec, NULL);
    if (types->acquisition == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "Acquisition", (PyObject *)types->acquisition);
}
