/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The C half of slabby.Listener. */
#include "system.h"
#include "tickets.h"

/* Pause of a thread that waits until those that sleep have seen it. */
#define PAUSE_NS 1000000u

/* One (ticket, SlabRef, user_data); None in place of a slab whose grant was revoked. */
static PyObject *grant(const Tickets *self, uint64_t ticket, slabby_ref ref, uint64_t user_data) {
    PyObject *slab = ref == 0 ? Py_NewRef(Py_None) : own_ref(self->pool, ref);

    return slab == NULL
               ? NULL
               : Py_BuildValue("(KNK)", (unsigned long long)ticket, slab, (unsigned long long)user_data);
}

/* Appends what one call took; false with an exception set. Without memory the slabs go back. */
static int append_grants(const Tickets *self, PyObject *list, const uint64_t *tickets, const slabby_ref *refs,
                         const uint64_t *given, uint64_t count) {
    int appended = 1;

    for (uint64_t at = 0; at < count; at++) {
        PyObject *item = appended ? grant(self, tickets[at], refs[at], given[at]) : NULL;
        if (!appended)
            give_back(self, refs[at]);
        else
            appended = item != NULL && PyList_Append(list, item) == 0;
        Py_XDECREF(item);
    }
    return appended;
}

/* take(limit): what was granted so far, as a list. */
PyObject *tickets_take(PyObject *object, PyObject *limit) {
    Tickets *self = (Tickets *)object;
    uint64_t tickets[TAKEN_AT_ONCE], given[TAKEN_AT_ONCE], left = PyLong_AsUnsignedLongLong(limit);
    slabby_ref refs[TAKEN_AT_ONCE];
    PyObject *list = PyErr_Occurred() ? NULL : PyList_New(0);
    uint64_t some, count = 0;
    slabby_status status;

    if (list == NULL)
        return NULL;
    do {
        some = left < TAKEN_AT_ONCE ? left : TAKEN_AT_ONCE;
        /* Making the objects may have run the collector, and that a close(). */
        status = self->listener == NULL
                     ? SLABBY_CLOSED
                     : self->pool->core->wait_take(tickets, refs, given, &count, self->listener, some);
        if (status != SLABBY_OK)
            break;
        if (!append_grants(self, list, tickets, refs, given, count)) {
            Py_DECREF(list);
            return NULL;
        }
        left -= count;
    } while (left > 0 && count == some);
    if (status == SLABBY_OK || PyList_Size(list) > 0)
        return list;
    Py_DECREF(list);
    return raise_status(self->pool, 0, status);
}

/* Ends a ticket by `end` of the core's table; the SlabRef of the slab that it had been granted, or None. */
static PyObject *end_ticket(Tickets *self, PyObject *ticket,
                            slabby_status (*end)(slabby_ref *, slabby_listener *, uint64_t)) {
    unsigned long long number = PyLong_AsUnsignedLongLong(ticket);
    slabby_ref ref = 0;
    slabby_status status;

    if (PyErr_Occurred())
        return NULL;
    status = self->listener == NULL ? SLABBY_CLOSED : end(&ref, self->listener, number);
    if (status != SLABBY_OK)
        return raise_status(self->pool, 0, status);
    return ref == 0 ? Py_NewRef(Py_None) : own_ref(self->pool, ref);
}

/* cancel(ticket): the SlabRef of the slab that it had been granted, or None. */
PyObject *tickets_cancel(PyObject *object, PyObject *ticket) {
    Tickets *self = (Tickets *)object;
    return end_ticket(self, ticket, self->pool->core->wait_cancel);
}

/* overdue(ticket): the time of a wait is over. The SlabRef of what came meanwhile; otherwise the core counts the wait,
 * and the exception says how it ended. */
PyObject *tickets_overdue(PyObject *object, PyObject *ticket) {
    Tickets *self = (Tickets *)object;
    return end_ticket(self, ticket, self->pool->core->wait_expire);
}

/* set_timeout(timeout_ns): how long a grant may wait to be taken. */
PyObject *tickets_set_timeout(PyObject *object, PyObject *timeout) {
    Tickets *self = (Tickets *)object;
    unsigned long long timeout_ns = PyLong_AsUnsignedLongLong(timeout);
    slabby_status status;

    if (PyErr_Occurred())
        return NULL;
    status = self->listener == NULL ? SLABBY_CLOSED
                                    : self->pool->core->listener_set_timeout(self->listener, timeout_ns);
    if (status != SLABBY_OK)
        return raise_status(self->pool, 0, status);
    Py_RETURN_NONE;
}

static uint32_t sleepers_of(Tickets *self) {
    if (self->sleepers_process != system_process())
        self->sleepers = 0;
    return self->sleepers;
}

/* Sleeps without the interpreter's lock. True: there is something to take. */
static int sleep_once(Tickets *self, uint64_t timeout_ns) {
    slabby_status status;

    self->sleepers = sleepers_of(self) + 1;
    self->sleepers_process = system_process();
    Py_BEGIN_ALLOW_THREADS status = self->pool->core->listener_wait(self->listener, timeout_ns);
    Py_END_ALLOW_THREADS self->sleepers--;
    return status == SLABBY_OK;
}

/* wait(timeout_ns): sleeps until there is something to take: True. False: the time is over, or another thread closed
 * the listener. */
PyObject *tickets_wait(PyObject *object, PyObject *timeout) {
    Tickets *self = (Tickets *)object;
    uint64_t deadline_ns = PyLong_AsUnsignedLongLong(timeout), now_ns = system_now_ns();

    if (PyErr_Occurred())
        return NULL;
    deadline_ns = now_ns + (deadline_ns > INT64_MAX ? INT64_MAX : deadline_ns);
    do {
        uint64_t left_ns = now_ns < deadline_ns ? deadline_ns - now_ns : 0;
        if (self->listener != NULL && sleep_once(self, left_ns < SLICE_NS ? left_ns : SLICE_NS))
            Py_RETURN_TRUE;
        if (PyErr_CheckSignals() < 0)
            return NULL;
        now_ns = system_now_ns();
    } while (self->listener != NULL && now_ns < deadline_ns);
    Py_RETURN_FALSE;
}

/* Other threads run meanwhile. */
static void end_listener(Tickets *self, slabby_listener *listener) {
    const struct slabby_core_table *core = self->pool->core;

    while (sleepers_of(self) > 0) {
        Py_BEGIN_ALLOW_THREADS(void) core->listener_wait(listener, PAUSE_NS);
        Py_END_ALLOW_THREADS
    }
    Py_BEGIN_ALLOW_THREADS(void) core->listener_destroy(listener);
    Py_END_ALLOW_THREADS
}

static void give_back_brought(Tickets *self) {
    PyObject *ticket, *number;
    Py_ssize_t position = 0;

    while (PyDict_Next(self->brought, &position, &ticket, &number))
        give_back(self, PyLong_AsUnsignedLongLong(number));
    PyDict_Clear(self->brought);
}

void tickets_end(Tickets *self) {
    slabby_listener *listener = self->listener;

    self->listener = NULL;
    give_back_brought(self);
    if (listener != NULL)
        end_listener(self, listener);
}

/* close(): may be called again. Threads in wait() leave it first. */
PyObject *tickets_close(PyObject *self, PyObject *unused) {
    (void)unused;
    tickets_end((Tickets *)self);
    Py_RETURN_NONE;
}
