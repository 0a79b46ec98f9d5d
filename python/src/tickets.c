/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The hot half of the queue in which the tasks of one event loop wait. The Python half, and a drawing of the references
 * between the objects, are in slabby/_waiting.py. */
#include "tickets.h"

/* ------------------------------------------------------------------------------------------------- a wait begins */

static slabby_status begin(const Tickets *self, uint64_t *out_ticket, uint64_t user_data) {
    return self->listener == NULL ? SLABBY_CLOSED
                                  : self->pool->core->wait_begin(out_ticket, self->listener, user_data);
}

/* A ticket that no coroutine will know of. */
static void call_off(const Tickets *self, uint64_t ticket) {
    slabby_ref ref = 0;

    (void)self->pool->core->wait_cancel(&ref, self->listener, ticket);
    give_back(self, ref);
}

/* begin(user_data): a ticket. */
static PyObject *tickets_begin(PyObject *object, PyObject *user_data) {
    Tickets *self = (Tickets *)object;
    unsigned long long given = PyLong_AsUnsignedLongLong(user_data);
    uint64_t ticket = 0;
    slabby_status status;
    PyObject *number;

    if (PyErr_Occurred())
        return NULL;
    status = begin(self, &ticket, given);
    if (status != SLABBY_OK)
        return raise_status(self->pool, 0, status);
    number = PyLong_FromUnsignedLongLong(ticket);
    if (number == NULL)
        call_off(self, ticket);
    return number;
}

static PyObject *list_of(const uint64_t *tickets, Py_ssize_t count) {
    PyObject *list = PyList_New(count), *number;

    for (Py_ssize_t at = 0; list != NULL && at < count; at++) {
        number = PyLong_FromUnsignedLongLong(tickets[at]);
        if (number == NULL || PyList_SetItem(list, at, number) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* join_all(count): as many tickets, for a batch. No other Python code runs in between, no signal handler either, so
 * that no lock is needed to keep the tickets of two batches apart. After an error the caller closes the listener, and
 * with it the tickets. */
static PyObject *tickets_join_all(PyObject *object, PyObject *wanted) {
    Tickets *self = (Tickets *)object;
    Py_ssize_t count = PyLong_AsSsize_t(wanted);
    slabby_status status = SLABBY_OK;
    PyObject *list = NULL;
    uint64_t *tickets;

    if (count == -1 && PyErr_Occurred())
        return NULL;
    tickets = PyMem_Calloc((size_t)count, sizeof *tickets);
    if (tickets == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t at = 0; status == SLABBY_OK && at < count; at++)
        status = begin(self, &tickets[at], 0);
    if (status == SLABBY_OK)
        list = list_of(tickets, count);
    PyMem_Free(tickets);
    return status == SLABBY_OK ? list : raise_status(self->pool, 0, status);
}

/* A ticket for the task of the future. 1; 0 if the core refuses; -1 with an exception. */
static int join_for(Tickets *self, PyObject *waiting, struct joined *joined) {
    uint64_t ticket = 0;

    if (begin(self, &ticket, 0) != SLABBY_OK)
        return 0;
    joined->ticket = PyLong_FromUnsignedLongLong(ticket);
    if (joined->ticket != NULL && PyDict_SetItem(waiting, joined->ticket, joined->future) == 0) {
        joined->waiting = Py_NewRef(waiting);
        joined->tickets = Py_NewRef((PyObject *)self);
        return 1;
    }
    Py_CLEAR(joined->ticket);
    call_off(self, ticket);
    return -1;
}

/* `joining` of a queue is (loop, tickets, waiting, create_future). As above; 0 also if the loop is not the running one,
 * or has ended. The core is asked last, because making a future may run Python code. */
static int join_with(const struct slabby_types *types, PyObject *joining, struct joined *joined) {
    PyObject *running = PyObject_CallObject(types->running_loop, NULL);
    PyObject *loop = PyTuple_GetItem(joining, 0), *tickets = PyTuple_GetItem(joining, 1);
    PyObject *waiting = PyTuple_GetItem(joining, 2), *create_future = PyTuple_GetItem(joining, 3);
    int answer = 0;

    Py_XDECREF(running); /* if it is that loop, the tuple holds it */
    if (running == NULL || create_future == NULL)
        return -1;
    if (Py_TYPE(tickets) != types->tickets || !PyDict_Check(waiting)) {
        PyErr_SetString(PyExc_TypeError, "joining is not of a WaitQueue");
        return -1;
    }
    if (running != loop || ((Tickets *)tickets)->listener == NULL)
        return 0;
    joined->future = PyObject_CallObject(create_future, NULL);
    if (joined->future == NULL)
        return -1;
    answer = join_for((Tickets *)tickets, waiting, joined);
    if (answer != 1)
        Py_CLEAR(joined->future);
    return answer;
}

/* Where trio is loaded, a loop of asyncio may be its guest. */
static int usual(const struct slabby_types *types, const Pool *pool) {
    PyObject *trio;

    if (types->running_loop == NULL || pool->queue == NULL || pool->queue == Py_None)
        return 0;
    trio = PyImport_GetModule(types->names.trio);
    Py_XDECREF(trio);
    return trio == NULL && !PyErr_Occurred();
}

int join_recent_queue(const Pool *pool, struct joined *joined) {
    const struct slabby_types *types = pool->types;
    PyObject *queue, *joining;
    int answer;

    if (!usual(types, pool))
        return PyErr_Occurred() ? -1 : 0;
    queue = PyWeakref_GetObject(pool->queue);
    if (queue == NULL || queue == Py_None)
        return queue == NULL ? -1 : 0;
    Py_INCREF(queue);
    joining = PyObject_GetAttr(queue, types->names.joining);
    answer = joining == NULL ? -1 : join_with(types, joining, joined);
    Py_XDECREF(joining);
    if (answer == 1)
        joined->queue = queue;
    else
        Py_DECREF(queue);
    return answer;
}

/* ------------------------------------------------------------------------------------------- what tickets brought */

/* Ends the future with the pending exception. A future that is done already was cancelled or its loop was closed, and
 * the task ends for that reason. */
static void fail_future(const struct slabby_types *types, PyObject *future) {
    PyObject *type, *error, *traceback, *answer;

    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    answer = PyObject_CallMethodObjArgs(future, types->names.done, NULL);
    if (answer == Py_False) {
        Py_DECREF(answer);
        answer = PyObject_CallMethod(future, "set_exception", "(O)", error);
    }
    if (answer == NULL)
        report_unraisable(future);
    Py_XDECREF(answer);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
}

/* The code that takes a reference out of `brought` owns the slab: the coroutine, its end, the end of LoopWaits, or this
 * function if the future takes nothing. */
static void hand_to(Tickets *self, PyObject *ticket, PyObject *future, slabby_ref ref) {
    const struct slabby_types *types = self->pool->types;
    PyObject *number = PyLong_FromUnsignedLongLong(ref), *taken;

    if (number == NULL || PyDict_SetItem(self->brought, ticket, number) < 0) {
        Py_XDECREF(number);
        give_back(self, ref);
        fail_future(types, future);
        return;
    }
    Py_DECREF(number);
    taken = PyObject_CallMethodObjArgs(future, types->names.set_result, Py_None, NULL);
    if (taken == NULL) {
        fail_future(types, future);
        if (PyDict_Contains(self->brought, ticket) == 1 && PyDict_DelItem(self->brought, ticket) == 0)
            give_back(self, ref);
    }
    Py_XDECREF(taken);
}

/* Removes and returns the future that waits for a ticket; null if the coroutine is gone. */
static PyObject *pop_future(PyObject *waiting, PyObject *ticket) {
    PyObject *future = Py_XNewRef(PyDict_GetItemWithError(waiting, ticket));

    if (future != NULL && PyDict_DelItem(waiting, ticket) < 0)
        Py_CLEAR(future);
    return future;
}

/* Each slab has an owner afterwards, no matter what fails. */
static void hand_over(Tickets *self, PyObject *waiting, uint64_t number, slabby_ref ref) {
    PyObject *ticket = PyLong_FromUnsignedLongLong(number);
    PyObject *future = ticket == NULL ? NULL : pop_future(waiting, ticket);

    if (PyErr_Occurred())
        report_unraisable((PyObject *)self->pool);
    if (future == NULL || self->listener == NULL)
        give_back(self, ref);
    else
        hand_to(self, ticket, future, ref);
    Py_XDECREF(future);
    Py_XDECREF(ticket);
}

/* Ends a wait that the core has counted. */
static void fail_ticket(Tickets *self, PyObject *waiting, PyObject *ticket, slabby_status status) {
    PyObject *future = pop_future(waiting, ticket);

    if (future != NULL) {
        (void)raise_status(self->pool, 0, status);
        fail_future(self->pool->types, future);
    } else if (PyErr_Occurred()) {
        report_unraisable((PyObject *)self->pool);
    }
    Py_XDECREF(future);
}

/* Ends a wait that the end of the pool ended, as one in a thread: the core counts it, or has a slab after all. */
static void give_up(Tickets *self, PyObject *waiting, PyObject *ticket) {
    PyObject *future = pop_future(waiting, ticket);
    slabby_status status;
    slabby_ref ref = 0;

    if (future == NULL) {
        if (PyErr_Occurred())
            report_unraisable((PyObject *)self->pool);
        return;
    }
    status = wait_in_core(self->pool, 1, &ref);
    if (status == SLABBY_OK && self->listener == NULL) {
        give_back(self, ref);
    } else if (status == SLABBY_OK) {
        hand_to(self, ticket, future, ref);
    } else {
        (void)raise_status(self->pool, 0, status);
        fail_future(self->pool->types, future);
    }
    Py_DECREF(future);
}

/* The arguments (waiting, ticket). False with an exception set. */
static int waiting_and_ticket(PyObject *arguments, PyObject **out_waiting, PyObject **out_ticket) {
    return PyArg_ParseTuple(arguments, "O!O!", &PyDict_Type, out_waiting, &PyLong_Type, out_ticket);
}

/* give_up(waiting, ticket): the future fails, as the wait does. */
static PyObject *tickets_give_up(PyObject *self, PyObject *arguments) {
    PyObject *waiting, *ticket;

    if (!waiting_and_ticket(arguments, &waiting, &ticket))
        return NULL;
    give_up((Tickets *)self, waiting, ticket);
    Py_RETURN_NONE;
}

/* expire(waiting, ticket): the time of a wait is over; a slab that was granted already is in time. */
static PyObject *tickets_expire(PyObject *object, PyObject *arguments) {
    Tickets *self = (Tickets *)object;
    PyObject *waiting, *ticket;
    slabby_status status;
    slabby_ref ref = 0;
    uint64_t number;

    if (!waiting_and_ticket(arguments, &waiting, &ticket))
        return NULL;
    number = PyLong_AsUnsignedLongLong(ticket);
    if (PyErr_Occurred())
        return NULL;
    if (self->listener == NULL || PyDict_Contains(waiting, ticket) != 1)
        Py_RETURN_NONE;
    status = self->pool->core->wait_expire(&ref, self->listener, number);
    if (status == SLABBY_OK)
        hand_over(self, waiting, number, ref);
    else
        fail_ticket(self, waiting, ticket, status);
    Py_RETURN_NONE;
}

/* Takes a reference out of `brought`: the caller owns the slab then. 0: there is none. */
static slabby_ref take_brought(Tickets *self, PyObject *ticket) {
    PyObject *number = PyDict_GetItemWithError(self->brought, ticket);
    slabby_ref ref = number == NULL ? 0 : PyLong_AsUnsignedLongLong(number);

    return ref != 0 && PyDict_DelItem(self->brought, ticket) == 0 ? ref : 0;
}

PyObject *tickets_pick_up(PyObject *object, PyObject *ticket) {
    Tickets *self = (Tickets *)object;
    slabby_ref ref = take_brought(self, ticket);

    if (ref != 0)
        return own_ref(self->pool, ref);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
    return NULL;
}

void tickets_leave(PyObject *object, PyObject *waiting, PyObject *ticket) {
    Tickets *self = (Tickets *)object;
    PyObject *future = pop_future(waiting, ticket);
    slabby_ref ref = take_brought(self, ticket);
    uint64_t number = PyLong_AsUnsignedLongLong(ticket);

    if (future != NULL && self->listener != NULL)
        (void)self->pool->core->wait_cancel(&ref, self->listener, number);
    give_back(self, ref);
    if (PyErr_Occurred())
        report_unraisable((PyObject *)self->pool);
    Py_XDECREF(future);
}

/* leave(waiting, ticket): the coroutine ends without its slab, perhaps after the slab had come. */
static PyObject *tickets_leave_by(PyObject *self, PyObject *arguments) {
    PyObject *waiting, *ticket;

    if (!waiting_and_ticket(arguments, &waiting, &ticket))
        return NULL;
    tickets_leave(self, waiting, ticket);
    Py_RETURN_NONE;
}

/* collect(waiting): passes granted slabs to the futures in `waiting`. */
static PyObject *tickets_collect(PyObject *object, PyObject *waiting) {
    Tickets *self = (Tickets *)object;
    uint64_t tickets[TAKEN_AT_ONCE], count = TAKEN_AT_ONCE;
    slabby_ref refs[TAKEN_AT_ONCE];
    slabby_status status;

    if (!PyDict_Check(waiting)) {
        PyErr_SetString(PyExc_TypeError, "collect() takes a dictionary");
        return NULL;
    }
    while (self->listener != NULL && count == TAKEN_AT_ONCE) {
        status = self->pool->core->wait_take(tickets, refs, NULL, &count, self->listener, TAKEN_AT_ONCE);
        if (status != SLABBY_OK)
            return raise_status(self->pool, 0, status);
        for (uint64_t at = 0; at < count; at++)
            hand_over(self, waiting, tickets[at], refs[at]);
    }
    Py_RETURN_NONE;
}

/* ---------------------------------------------------------------------------------------------------- the object */

static PyObject *get_closed(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(((Tickets *)self)->listener == NULL);
}

static PyObject *get_fd(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(((Tickets *)self)->fd);
}

static PyObject *get_brought(PyObject *self, void *unused) {
    (void)unused;
    return Py_NewRef(((Tickets *)self)->brought);
}

static int tickets_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Tickets *)self)->pool);
    Py_VISIT(((Tickets *)self)->brought);
    return 0;
}

/* No tp_clear: a cycle through Tickets goes through the dictionaries of LoopWaits and of the pool. */
static void tickets_dealloc(PyObject *object) {
    Tickets *self = (Tickets *)object;
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    if (self->listener != NULL)
        tickets_end(self);
    Py_XDECREF(self->brought);
    Py_DECREF(self->pool);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMethodDef tickets_methods[] = {
    {"begin", tickets_begin, METH_O, NULL},
    {"join_all", tickets_join_all, METH_O, NULL},
    {"collect", tickets_collect, METH_O, NULL},
    {"give_up", tickets_give_up, METH_VARARGS, NULL},
    {"expire", tickets_expire, METH_VARARGS, NULL},
    {"leave", tickets_leave_by, METH_VARARGS, NULL},
    {"pick_up", tickets_pick_up, METH_O, NULL},
    {"take", tickets_take, METH_O, NULL},
    {"cancel", tickets_cancel, METH_O, NULL},
    {"overdue", tickets_overdue, METH_O, NULL},
    {"set_timeout", tickets_set_timeout, METH_O, NULL},
    {"wait", tickets_wait, METH_O, NULL},
    {"close", tickets_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef tickets_properties[] = {
    {"brought", get_brought, NULL, NULL, NULL},
    {"closed", get_closed, NULL, NULL, NULL},
    {"fd", get_fd, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot tickets_slots[] = {
    {Py_tp_doc, "A listener and its tickets."}, {Py_tp_dealloc, tickets_dealloc},
    {Py_tp_traverse, tickets_traverse},         {Py_tp_methods, tickets_methods},
    {Py_tp_getset, tickets_properties},         {0, NULL},
};

static PyType_Spec tickets_spec = {
    .name = "slabby._types.Tickets",
    .basicsize = sizeof(Tickets),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = tickets_slots,
};

/* Without a listener. */
static Tickets *tickets_new(Pool *pool) {
    Tickets *self;

    if (pool->types->tickets == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no wait can begin while the interpreter ends");
        return NULL;
    }
    self = PyObject_GC_New(Tickets, pool->types->tickets);
    if (self == NULL)
        return NULL;
    self->pool = (Pool *)Py_NewRef((PyObject *)pool);
    self->listener = NULL;
    self->sleepers = 0;
    self->sleepers_process = 0;
    self->fd = -1;
    self->brought = PyDict_New();
    PyObject_GC_Track(self);
    if (self->brought == NULL)
        Py_CLEAR(self);
    return self;
}

/* _listen(): Tickets with a listener. */
PyObject *pool_listen(PyObject *object, PyObject *unused) {
    Pool *pool = (Pool *)object;
    slabby_error error = {.struct_size = sizeof error};
    slabby_status status;
    Tickets *self = pool_attached(pool) ? tickets_new(pool) : NULL;

    (void)unused;
    if (self == NULL)
        return NULL;
    status = pool->core->listener_create(&self->listener, &self->fd, pool->allocator, &error);
    if (status == SLABBY_OK)
        return (PyObject *)self;
    Py_DECREF(self);
    return raise_recorded(pool, status, &error);
}

int tickets_ready(PyObject *module, struct slabby_types *types) {
    types->tickets = (PyTypeObject *)PyType_FromModuleAndSpec(module, &tickets_spec, NULL);
    if (types->tickets == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "Tickets", (PyObject *)types->tickets);
}
