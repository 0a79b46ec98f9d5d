/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A timed wait that a signal can end: in the main thread, in which Python handles signals, it sleeps on a listener and
 * not inside the core. Its ticket keeps its place in the queue; a slab that comes at the moment of the signal goes
 * back.
 */
#include <stdbool.h>

#include "system.h"
#include "types.h"

/* Timeouts below this are in range in every unit. */
#define LONG_SECONDS 1e9

slabby_status wait_in_core(const Pool *pool, uint64_t timeout_ns, slabby_ref *out_ref) {
    slabby_status status;

    Py_BEGIN_ALLOW_THREADS status = pool->core->allocate_timeout(out_ref, NULL, pool->allocator, timeout_ns);
    Py_END_ALLOW_THREADS return status;
}

static void sleep_until(const Pool *pool, slabby_listener *listener, uint64_t deadline_ns) {
    uint64_t now = system_now_ns();
    uint64_t left_ns = now < deadline_ns ? deadline_ns - now : 0;

    Py_BEGIN_ALLOW_THREADS(void) pool->core->listener_wait(listener, left_ns < SLICE_NS ? left_ns : SLICE_NS);
    Py_END_ALLOW_THREADS
}

/* Waits until the ticket brings a slab, the time is over (*out_ref stays 0), or a signal handler raises an exception:
 * false. */
static bool wait_for_ticket(const Pool *pool, slabby_listener *listener, uint64_t deadline_ns,
                            slabby_ref *out_ref, slabby_status *out_status) {
    uint64_t ticket = 0, count = 0;

    *out_status = pool->core->wait_begin(&ticket, listener, 0);
    if (*out_status != SLABBY_OK)
        return true;
    for (;;) {
        *out_status = pool->core->wait_take(&ticket, out_ref, NULL, &count, listener, 1);
        if (*out_status != SLABBY_OK || count != 0)
            break;
        if (system_now_ns() >= deadline_ns) {
            *out_status = pool->core->wait_expire(out_ref, listener, ticket);
            return true;
        }
        sleep_until(pool, listener, deadline_ns);
        if (PyErr_CheckSignals() < 0)
            return false;
    }
    /* A wait that gets no slab is counted at its end, like a wait inside the core, also one that the end of the pool
     * ended. */
    if (*out_status == SLABBY_CLOSED)
        *out_status = wait_in_core(pool, 1, out_ref);
    return true;
}

static bool wait_on_listener(const Pool *pool, uint64_t deadline_ns, slabby_ref *out_ref,
                             slabby_status *out_status) {
    slabby_listener *listener = NULL;
    bool goes_on;

    /* The listener has no descriptor. If there is no memory for it, no signal can end the wait. */
    if (pool->core->listener_create(&listener, NULL, pool->allocator, NULL) != SLABBY_OK) {
        uint64_t now = system_now_ns();
        *out_status = wait_in_core(pool, now < deadline_ns ? deadline_ns - now : 1, out_ref);
        return true;
    }
    goes_on = wait_for_ticket(pool, listener, deadline_ns, out_ref, out_status);
    Py_BEGIN_ALLOW_THREADS(void) pool->core->listener_destroy(listener);
    Py_END_ALLOW_THREADS return goes_on;
}

static PyObject *answer(Pool *pool, slabby_status status, slabby_ref ref) {
    void *data = NULL;

    if (status != SLABBY_OK)
        return raise_status(pool, 0, status);
    (void)pool->core->data(&data, pool->allocator, ref);
    return slab_ref_new(pool, ref, data, 1);
}

int plain_timeout(PyObject *timeout) {
    double seconds = -1;

    if (timeout == Py_None)
        return 1;
    if (PyFloat_CheckExact(timeout))
        seconds = PyFloat_AsDouble(timeout);
    else if (PyLong_CheckExact(timeout))
        seconds = PyLong_AsDouble(timeout);
    if (seconds == -1 && PyErr_Occurred())
        PyErr_Clear(); /* a whole number too large for a double */
    if (seconds == 0)
        return 0;
    return seconds > 0 && seconds < LONG_SECONDS ? 1 : -1;
}

/* Tries for a free slab first, which most waits find. The wait itself is a cold path, and begins in the Python half. */
static PyObject *allocate_within(Pool *pool, PyObject *timeout) {
    int plain = timeout == NULL ? -1 : plain_timeout(timeout);
    PyObject *slab;

    if (timeout == NULL)
        return NULL;
    if (plain == 0)
        return allocate_now(pool);
    if (plain == 1) {
        slab = pool_try_now((PyObject *)pool, NULL);
        if (slab != Py_None)
            return slab;
        Py_DECREF(slab);
    }
    return PyObject_CallMethod((PyObject *)pool, "_acquire", "(O)", timeout);
}

PyObject *pool_allocate(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names) {
    if (count == 0 && names == NULL)
        return allocate_now((Pool *)self);
    return allocate_within((Pool *)self,
                           one_argument("allocate", "timeout", arguments, count, names, Py_None));
}

PyObject *pool_acquire(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names) {
    return allocate_within((Pool *)self,
                           one_argument("acquire", "timeout", arguments, count, names, Py_None));
}

/* _try_now(): a slab, or None if there is none; that is no failure, because the caller then waits. */
PyObject *pool_try_now(PyObject *self, PyObject *unused) {
    Pool *pool = (Pool *)self;
    slabby_status status;
    slabby_ref ref = 0;
    void *data = NULL;

    (void)unused;
    if (!pool_attached(pool))
        return NULL;
    status = pool->core->try_allocate(&ref, &data, pool->allocator);
    if (status == SLABBY_OK)
        return slab_ref_new(pool, ref, data, 1);
    if (status == SLABBY_OUT_OF_MEMORY)
        Py_RETURN_NONE;
    return raise_status(pool, 0, status);
}

/* _wait(timeout_ns): a slab, within this time. */
PyObject *pool_wait(PyObject *self, PyObject *timeout) {
    Pool *pool = (Pool *)self;
    slabby_status status;
    slabby_ref ref = 0;
    uint64_t deadline_ns = PyLong_AsUnsignedLongLong(timeout);

    if (PyErr_Occurred() || !pool_attached(pool))
        return NULL;
    deadline_ns = deadline_ns > INT64_MAX ? INT64_MAX : deadline_ns;
    deadline_ns += system_now_ns();
    status = pool->core->try_allocate(&ref, NULL, pool->allocator);
    if (status == SLABBY_OUT_OF_MEMORY && !wait_on_listener(pool, deadline_ns, &ref, &status))
        return NULL;
    return answer(pool, status, ref);
}

/* _wait_inside(timeout_ns): the same inside the core, which no signal ends; 0 tries once. */
PyObject *pool_wait_inside(PyObject *self, PyObject *timeout) {
    Pool *pool = (Pool *)self;
    uint64_t timeout_ns = PyLong_AsUnsignedLongLong(timeout);
    slabby_status status;
    slabby_ref ref = 0;

    if (PyErr_Occurred() || !pool_attached(pool))
        return NULL;
    status = wait_in_core(pool, timeout_ns, &ref);
    return answer(pool, status, ref);
}

PyObject *own_ref(Pool *pool, slabby_ref ref) {
    return answer(pool, SLABBY_OK, ref);
}
