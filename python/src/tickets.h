/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tickets: owns a listener of the core. It is the C half of slabby.Listener (listener.c), and the hot half of the queue
 * in which the tasks of one event loop wait (tickets.c).
 *
 * Each method is one step for other threads and for signals, whose handlers may raise: between two steps every slab has
 * an owner. Only wait(), close() and the end of a wait in vain let other threads run, and a closed Tickets refuses
 * everything. After close, nothing enters `brought` any more: a slab that is in hand goes back.
 */
#ifndef SLABBY_PYTHON_TICKETS_H
#define SLABBY_PYTHON_TICKETS_H

#include "types.h"

/* Tickets taken in one call. */
#define TAKEN_AT_ONCE 64

typedef struct Tickets {
    PyObject_HEAD Pool *pool;
    slabby_listener *listener; /* null once closed */
    PyObject *brought; /* references by ticket: slabs that came, and that no coroutine has picked up yet */
    uint32_t sleepers; /* threads inside the core's wait */
    unsigned long sleepers_process; /* a child made by fork has no other threads */
    int32_t fd;
} Tickets;

static inline void give_back(const Tickets *self, slabby_ref ref) {
    if (ref != 0)
        (void)self->pool->core->release(self->pool->allocator, ref);
}

/* listener.c: what slabby.Listener calls. */
/* Ends the tickets and gives back what was granted and not taken. */
void tickets_end(Tickets *self);
PyObject *tickets_take(PyObject *self, PyObject *limit);
PyObject *tickets_cancel(PyObject *self, PyObject *ticket);
PyObject *tickets_overdue(PyObject *self, PyObject *ticket);
PyObject *tickets_set_timeout(PyObject *self, PyObject *timeout_ns);
PyObject *tickets_wait(PyObject *self, PyObject *timeout_ns);
PyObject *tickets_close(PyObject *self, PyObject *unused);

#endif
