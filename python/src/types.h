/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The object types that both backends share. This module links no core: each pool carries the table of the
 * backend that opened it.
 *
 *   Pool ──core──▶ slabby_core_table (static in _cffi or _swig) ──▶ libslabby.so.0
 *     ▲  ──types─▶ the state of this module in one interpreter; Pool ──module──▶ holds it
 *     │
 *   SlabRef, FastSlab, Acquisition     (a memoryview holds the SlabRef, the SlabRef holds the Pool)
 *
 * Each interpreter has types of its own, so nothing static refers to an object. Everything here runs with the
 * interpreter's lock held: fields of objects need no other lock.
 */
#ifndef SLABBY_PYTHON_TYPES_H
#define SLABBY_PYTHON_TYPES_H

#include "refcounts.h"
#include <stdatomic.h>
#include <slabby/slabby.h>

#include "table.h"

struct fast_table;
struct fast_reset;

/* At most this many objects of one type wait for their next use. */
#define SPARES 128u

/* Objects of one type that ended: untracked, without references to others than their type. */
struct spares {
    PyObject *objects[SPARES];
    uint32_t count;
    uint32_t limit; /* 0 before and after the module's life */
};

/* Ids as Python numbers, one for each remainder: for an id that comes repeatedly, the number is made once. */
#define NUMBERS 256u

struct numbers {
    PyObject *objects[NUMBERS]; /* null where there is none */
    uint32_t ids[NUMBERS];
};

/* The attribute names that the C half reads in Python objects, interned. */
struct names {
    PyObject *done, *join_queue, *joining, *set_result, *trio;
};

/* The module's state. */
struct slabby_types {
    PyTypeObject *pool;
    PyTypeObject *slab_ref;
    PyTypeObject *fast_slab;
    PyTypeObject *acquisition;
    PyTypeObject *tickets;
    PyObject *error_factory; /* slabby._raise.make_error */
    PyObject *batch;         /* slabby.Batch */
    PyObject *folder;        /* of the package's Python files */
    PyObject *running_loop;  /* asyncio._get_running_loop, once a task has waited */
    struct names names;
    struct fast_table *fast_tables;
    struct fast_reset *fast_resets; /* those that are under way */
    struct spares slab_refs;
    struct spares fast_slabs;
    struct spares bound_methods;
    struct numbers fast_ids;
    char leaks_reported; /* the interpreter ends, and the slabs that are still live were reported */
};

typedef struct Pool {
    PyObject_HEAD const struct slabby_core_table *core; /* null until attached */
    slabby_allocator *allocator;
    uint64_t slab_size;
    struct slabby_types *types;
    PyTypeObject *ref_type; /* of the same interpreter */
    PyTypeObject *fast_type;
    PyObject *module;
    PyObject *native;              /* the handle as the backend knows it */
    struct fast_table *fast;       /* null until the first fast slab */
    PyObject *spare_pair;          /* what allocate_fast() returned last; null until then */
    struct FastSlab *spare_slab;   /* borrowed from that pair */
    PyObject *stacks;              /* alloc_stack.h; null until the first is noted */
    PyObject *queue;               /* a weak reference: the queue where a task waited last; may be null */
    const volatile uint32_t *mode; /* of the core: zero while a pool has nothing switched on */
    char finalizers;               /* the option */
    char crowded;                  /* a queue of an event loop is open, through this object */
    _Atomic char measured;         /* a block of slabby.statistics() is open */
    _Atomic uint64_t peak;         /* most slabs in use since _take_peak() */
} Pool;

/* Slabs above this size are zeroed without the interpreter's lock. */
#define LARGE_SLAB 65536u

/* raise.c: set the exception of a status and return null. */
PyObject *raise_status(const Pool *pool, slabby_ref ref, slabby_status status);
/* About a slab that a bare id names. */
PyObject *raise_about(const Pool *pool, slabby_status status, PyObject *id);
PyObject *raise_record(const slabby_error *error);
/* From the record if the call filled it; else about the pool, which may be null. */
PyObject *raise_recorded(const Pool *pool, slabby_status status, const slabby_error *record);
/* Reports the pending exception where it cannot be raised; `where` is borrowed and never a dying object. */
void report_unraisable(PyObject *where);

/* module.c: the state, in this interpreter, of the module that a type belongs to, or null with an exception. */
struct slabby_types *types_of(PyTypeObject *type, PyObject **out_module);

/* spares.c: objects that ended and are used again, as CPython does with its own tuples and lists: making one and
 * freeing one costs as much as a slab does. */
/* A new object of the type, untracked, whose members are not set; null with MemoryError. For tracemalloc it is still
 * the object that it was before. */
static inline PyObject *spares_take(struct spares *spares, PyTypeObject *type) {
    PyObject *object;

    if (spares->count == 0)
        return PyObject_GC_New(PyObject, type);
    object = spares->objects[--spares->count];
    Py_SET_REFCNT(object, 1);
    return object;
}

/* For tracemalloc a new object is made here. */
void spares_renew(PyObject *object);
/* Frees an object for which there is no space. */
void spares_free(PyObject *object);

/* The last act on an untracked object, whose type it still holds. */
static inline void spares_give(struct spares *spares, PyObject *object) {
    if (spares->count < spares->limit)
        spares->objects[spares->count++] = object;
    else
        spares_free(object);
}

int spares_traverse(const struct spares *spares, visitproc visit, void *arg);
/* Frees them; objects that end later are freed at once. */
void spares_end(struct spares *spares);

/* pool.c */
int pool_ready(PyObject *module, struct slabby_types *types);
/* Whether the object is a Pool, of any interpreter. */
int is_pool(PyObject *object);
/* True for an attached pool; otherwise sets an exception. */
int pool_attached(const Pool *pool);

/* usage.c: after an allocation, for the blocks of slabby.statistics(). */
void measure_use(Pool *pool);

static inline void note_use(Pool *pool) {
    if (atomic_load_explicit(&pool->measured, memory_order_relaxed))
        measure_use(pool);
}

PyObject *pool_take_peak(PyObject *self, PyObject *measured);

/* refs.c: SlabRefs for what the core allocated. */
/* One slab; if there is none, the core counts a failed call. */
PyObject *allocate_now(Pool *pool);
/* A list of SlabRefs that own what they name; on failure everything is released. */
PyObject *pool_wrap_all(Pool *pool, const slabby_ref *refs, void *const *datas, uint64_t count);
PyObject *pool_wrap(PyObject *self, PyObject *arguments);
PyObject *pool_wrap_batch(PyObject *self, PyObject *arguments);
PyObject *pool_allocate_batch(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names);
PyObject *pool_deallocate(PyObject *self, PyObject *ref);
PyObject *pool_deallocate_batch(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                PyObject *names);

/* A thread that sleeps for a slab wakes after this time at the latest and checks for signals: the system may deliver
 * one to another thread, or in the moment before the sleep, and then no wake-up comes. */
#define SLICE_NS 100000000u

/* wait.c */
/* 1: the timeout is a plain time in range, or None for ever. 0: it is 0. -1: the Python half has to check it. */
int plain_timeout(PyObject *timeout);
PyObject *pool_allocate(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names);
PyObject *pool_acquire(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names);
PyObject *pool_try_now(PyObject *self, PyObject *unused);
PyObject *pool_wait(PyObject *self, PyObject *timeout);
PyObject *pool_wait_inside(PyObject *self, PyObject *timeout);
/* A wait inside the core, without the interpreter's lock. */
slabby_status wait_in_core(const Pool *pool, uint64_t timeout_ns, slabby_ref *out_ref);
/* The SlabRef that owns what the core gave; without memory the slab goes back. */
PyObject *own_ref(Pool *pool, slabby_ref ref);

/* tickets.c: the queue of an event loop. */
/* A wait in it, as the coroutine holds it. */
struct joined {
    PyObject *queue;   /* while the ticket is out */
    PyObject *ticket;  /* of the queue */
    PyObject *future;  /* done when the ticket has brought something */
    PyObject *waiting; /* the queue's dictionary of futures by ticket */
    PyObject *tickets; /* of the queue */
};

int tickets_ready(PyObject *module, struct slabby_types *types);
PyObject *pool_listen(PyObject *self, PyObject *unused);
/* The SlabRef of what a ticket brought. RuntimeError: the loop's end has emptied the dictionary, and the slab went
 * back. */
PyObject *tickets_pick_up(PyObject *self, PyObject *ticket);
/* The ticket is over, perhaps after its slab had come and before the task could take it: then the slab goes back. */
void tickets_leave(PyObject *self, PyObject *waiting, PyObject *ticket);
/* Joins the queue in which a task of the running loop waited last: 1 with new references; 0 if the Python half has to
 * handle the case; -1 with an exception. */
int join_recent_queue(const Pool *pool, struct joined *joined);

/* acquisition.c */
int acquisition_ready(PyObject *module, struct slabby_types *types);
PyObject *pool_acquire_async(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names);

/* arguments.c: the one argument of a call, borrowed. `fallback` where it is left out; null: it must not be left out.
 * Null with an exception set. */
PyObject *one_argument(const char *call, const char *name, PyObject *const *arguments, Py_ssize_t count,
                       PyObject *names, PyObject *fallback);
/* A new reference to the number that an object is, numpy's included. Null for a bool and for an object that is no
 * number; an exception may be set. */
PyObject *whole_number(PyObject *object);

/* slab_ref.c */
int slab_ref_ready(PyObject *module, struct slabby_types *types);
PyObject *slab_ref_new(Pool *pool, slabby_ref ref, void *data, int owning);
/* The end of a with block. */
PyObject *slab_ref_exit(PyObject *self, PyObject *const *arguments, Py_ssize_t count);

/* fast_slab.c */
int fast_slab_ready(PyObject *module, struct slabby_types *types);
PyObject *fast_slab_pair(Pool *pool, void *data, uint32_t id);
/* Whether somebody else has the pair that allocate_fast() uses again, or its FastSlab. */
int spare_pair_is_held(const Pool *pool);
/* A FastSlab that somebody has holds the pool afterwards. */
void spare_pair_give_up(Pool *pool);
PyObject *pool_allocate_fast(PyObject *self, PyObject *unused);
PyObject *pool_deallocate_fast(PyObject *self, PyObject *id);
PyObject *pool_reset(PyObject *self, PyObject *unused);
/* Drops the numbers that are kept for their next use. */
void fast_ids_end(struct slabby_types *types);
/* Drops the pool's share of the table; null is accepted. */
void fast_table_leave(struct slabby_types *types, struct fast_table *table);

#endif
