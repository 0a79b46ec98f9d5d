/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * FastSlab: the memory of one fast slab as a buffer.
 *
 * A bare id carries no generation and cannot be pinned in the core. So every Pool object of one core pool and one
 * interpreter shares a table with one entry an id: the number of exported buffers, and an epoch that each deallocation
 * raises. The table protects Python's views from Python's deallocations; it does not see operations of C or Go on the
 * same id.
 */
#include "types.h"

#include <stdlib.h>

struct fast_entry {
    uint32_t exports;
    uint32_t epoch;
};

struct fast_table {
    struct fast_table *next;
    slabby_allocator *allocator;
    uint64_t pools;   /* Pool objects that share it */
    uint64_t exports; /* sum over all entries */
    uint32_t resets;  /* added to every epoch */
    uint64_t id_limit;
    struct fast_entry entries[]; /* never touched pages cost nothing */
};

typedef struct FastSlab {
    PyObject_HEAD Pool *pool;
    void *data;
    PyObject *number; /* the id as Python has it */
    uint32_t id;
    uint32_t epoch;
    char owning; /* it holds the pool; the one of the spare pair does not */
} FastSlab;

/* A reset that is under way, on the stack of its thread: until its end no view is made. */
struct fast_reset {
    struct fast_reset *next;
    slabby_allocator *allocator;
};

/* The table of the core's pool, perhaps of other Pool objects alone; null if there is none. */
static struct fast_table *fast_table_find(const Pool *pool) {
    struct fast_table *table = pool->types->fast_tables;

    while (table != NULL && table->allocator != pool->allocator)
        table = table->next;
    return table;
}

static struct fast_table *fast_table_join(Pool *pool) {
    slabby_view_info view = {.struct_size = sizeof view};
    struct fast_table *table = fast_table_find(pool);
    slabby_status status;

    if (table == NULL) {
        status = pool->core->view(&view, pool->allocator);
        if (status != SLABBY_OK) {
            raise_status(pool, 0, status);
            return NULL;
        }
        table = calloc(1, sizeof *table + view.id_limit * sizeof table->entries[0]);
        if (table == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        table->allocator = pool->allocator;
        table->id_limit = view.id_limit;
        table->next = pool->types->fast_tables;
        pool->types->fast_tables = table;
    }
    table->pools++;
    pool->fast = table;
    return table;
}

void fast_table_leave(struct slabby_types *types, struct fast_table *table) {
    struct fast_table **entry = types == NULL ? NULL : &types->fast_tables;

    if (table == NULL || --table->pools > 0)
        return;
    while (*entry != table)
        entry = &(*entry)->next;
    *entry = table->next;
    free(table);
}

static struct fast_table *table_of(Pool *pool) {
    return pool->fast != NULL ? pool->fast : fast_table_join(pool);
}

/* Both parts only rise, so the sum changes with every deallocation and every reset. */
static uint32_t epoch_of(const struct fast_table *table, uint32_t id) {
    return table->entries[id].epoch + table->resets;
}

/* A new reference to the number of an id. */
static PyObject *number_of(struct numbers *numbers, uint32_t id) {
    uint32_t at = id % NUMBERS;
    PyObject *number = numbers->objects[at];

    if (number != NULL && numbers->ids[at] == id)
        return Py_NewRef(number);
    number = PyLong_FromUnsignedLong(id);
    if (number == NULL)
        return NULL;
    Py_XDECREF(numbers->objects[at]);
    numbers->objects[at] = Py_NewRef(number);
    numbers->ids[at] = id;
    return number;
}

void fast_ids_end(struct slabby_types *types) {
    for (uint32_t at = 0; at < NUMBERS; at++)
        Py_CLEAR(types->fast_ids.objects[at]);
}

static FastSlab *fast_slab_new(Pool *pool, void *data, uint32_t id) {
    struct fast_table *table = table_of(pool);
    PyObject *number;
    FastSlab *slab;

    if (table == NULL)
        return NULL;
    if (id >= table->id_limit) {
        PyErr_Format(PyExc_SystemError, "slab id %lu is beyond the %llu ids of the pool", (unsigned long)id,
                     (unsigned long long)table->id_limit);
        return NULL;
    }
    number = number_of(&pool->types->fast_ids, id);
    if (number == NULL)
        return NULL;
    slab = (FastSlab *)spares_take(&pool->types->fast_slabs, pool->fast_type);
    if (slab == NULL) {
        Py_DECREF(number);
        return NULL;
    }
    spares_renew((PyObject *)slab);
    slab->pool = pool;
    slab->owning = 0;
    slab->data = data;
    slab->number = number;
    slab->id = id;
    slab->epoch = epoch_of(table, id);
    PyObject_GC_Track(slab);
    return slab;
}

/* ------------------------------------------------------------------------------------------------- the spare pair */

/*
 * The last pair is used again, as zip() does: a pool gives the slab that was released last, so the same id comes again,
 * and the pair with its FastSlab is as new, if nobody else has either.
 *
 *   Pool ──spare_pair──▶ (FastSlab, id)         FastSlab ── ── ▶ Pool, without holding it
 *
 * So the pair does not keep the pool. When the pool gives the pair up, a FastSlab that somebody has holds the pool from
 * then on, even where that is the pool's end (pool_dealloc).
 */

static int somebody_has(PyObject *pair, FastSlab *slab) {
    return Py_REFCNT(pair) > 1 || Py_REFCNT((PyObject *)slab) > 1;
}

int spare_pair_is_held(const Pool *pool) {
    return pool->spare_pair != NULL && somebody_has(pool->spare_pair, pool->spare_slab);
}

void spare_pair_give_up(Pool *pool) {
    PyObject *pair = pool->spare_pair;
    FastSlab *slab = pool->spare_slab;

    if (pair == NULL)
        return;
    pool->spare_pair = NULL;
    pool->spare_slab = NULL;
    if (somebody_has(pair, slab)) {
        slab->owning = 1;
        Py_INCREF((PyObject *)pool);
    }
    Py_DECREF(pair);
}

static PyObject *new_pair(Pool *pool, void *data, uint32_t id) {
    FastSlab *slab = fast_slab_new(pool, data, id);
    PyObject *pair = slab == NULL ? NULL : PyTuple_Pack(2, (PyObject *)slab, slab->number);

    Py_XDECREF((PyObject *)slab);
    if (pair == NULL) {
        (void)pool->core->deallocate_fast(pool->allocator, id);
        return NULL;
    }
    spare_pair_give_up(pool);
    pool->spare_pair = Py_NewRef(pair);
    pool->spare_slab = slab;
    return pair;
}

PyObject *fast_slab_pair(Pool *pool, void *data, uint32_t id) {
    FastSlab *slab = pool->spare_slab;

    if (slab == NULL || slab->id != id || somebody_has(pool->spare_pair, slab))
        return new_pair(pool, data, id);
    spares_renew((PyObject *)slab);
    slab->data = data;
    slab->epoch = epoch_of(pool->fast, id);
    return Py_NewRef(pool->spare_pair);
}

PyObject *pool_allocate_fast(PyObject *self, PyObject *unused) {
    Pool *pool = (Pool *)self;
    slabby_status status;
    void *data;
    uint32_t id;

    (void)unused;
    if (!pool_attached(pool))
        return NULL;
    status = pool->core->allocate_fast(&data, &id, pool->allocator);
    if (status != SLABBY_OK)
        return raise_status(pool, 0, status);
    note_use(pool);
    return fast_slab_pair(pool, data, id);
}

/* The id that a number names; an id beyond every pool if the number is out of range. */
static uint32_t id_of(PyObject *number) {
    unsigned long id = PyLong_AsUnsignedLong(number);

    if (id == (unsigned long)-1 && PyErr_Occurred())
        PyErr_Clear(); /* beyond every number of C, or negative */
    return id > UINT32_MAX ? UINT32_MAX : (uint32_t)id;
}

/* False with an exception set. */
static int id_from(PyObject *object, uint32_t *out_id) {
    PyObject *number;

    if (PyLong_CheckExact(object)) {
        *out_id = id_of(object);
        return 1;
    }
    number = whole_number(object);
    if (number == NULL) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "id takes the number that allocate_fast() returned, not %R",
                         object);
        return 0;
    }
    *out_id = id_of(number);
    Py_DECREF(number);
    return 1;
}

PyObject *pool_deallocate_fast(PyObject *self, PyObject *number) {
    Pool *pool = (Pool *)self;
    struct fast_table *table;
    slabby_status status;
    uint32_t id;

    if (!id_from(number, &id) || !pool_attached(pool) || (table = table_of(pool)) == NULL)
        return NULL;
    if (id < table->id_limit && table->entries[id].exports > 0)
        return raise_about(pool, SLABBY_PINNED, number);
    status = pool->core->deallocate_fast(pool->allocator, id);
    if (status != SLABBY_OK)
        return raise_about(pool, status, number);
    if (id < table->id_limit)
        table->entries[id].epoch++;
    Py_RETURN_NONE;
}

static int is_reset_now(const Pool *pool) {
    const struct fast_reset *reset = pool->types->fast_resets;

    while (reset != NULL && reset->allocator != pool->allocator)
        reset = reset->next;
    return reset != NULL;
}

static void end_reset(struct slabby_types *types, const struct fast_reset *reset) {
    struct fast_reset **entry = &types->fast_resets;

    while (*entry != reset)
        entry = &(*entry)->next;
    *entry = reset->next;
}

static slabby_status reset_in_core(const Pool *pool) {
    struct fast_reset reset = {pool->types->fast_resets, pool->allocator};
    slabby_status status;

    pool->types->fast_resets = &reset;
    Py_BEGIN_ALLOW_THREADS status = pool->core->reset(pool->allocator);
    Py_END_ALLOW_THREADS end_reset(pool->types, &reset);
    return status;
}

/* reset(): in one step. Other threads run meanwhile, but make no view of a fast slab; every FastSlab of before its end
 * is stale. */
PyObject *pool_reset(PyObject *self, PyObject *unused) {
    Pool *pool = (Pool *)self;
    struct fast_table *table;
    slabby_status status;

    (void)unused;
    if (!pool_attached(pool))
        return NULL;
    table = fast_table_find(pool);
    if (table != NULL && table->exports > 0)
        return raise_status(pool, 0, SLABBY_PINNED);
    status = reset_in_core(pool);
    if (status != SLABBY_OK)
        return raise_status(pool, 0, status);
    table = fast_table_find(pool); /* another thread may have made it meanwhile, or let it go */
    if (table != NULL)
        table->resets++;
    Py_RETURN_NONE;
}

static int fast_slab_getbuffer(PyObject *object, Py_buffer *view, int flags) {
    FastSlab *slab = (FastSlab *)object;
    Pool *pool = slab->pool;

    view->obj = NULL;
    if (epoch_of(pool->fast, slab->id) != slab->epoch) {
        raise_about(pool, SLABBY_USE_AFTER_FREE, slab->number);
        return -1;
    }
    if (pool->types->fast_resets != NULL && is_reset_now(pool)) {
        raise_about(pool, SLABBY_BUSY, slab->number);
        return -1;
    }
    if (PyBuffer_FillInfo(view, object, slab->data, (Py_ssize_t)pool->slab_size, 0, flags) < 0)
        return -1;
    pool->fast->entries[slab->id].exports++;
    pool->fast->exports++;
    return 0;
}

static void fast_slab_releasebuffer(PyObject *object, Py_buffer *view) {
    FastSlab *slab = (FastSlab *)object;

    (void)view;
    slab->pool->fast->entries[slab->id].exports--;
    slab->pool->fast->exports--;
}

static void fast_slab_dealloc(PyObject *object) {
    FastSlab *slab = (FastSlab *)object;
    Pool *pool = slab->pool;
    int owning = slab->owning;

    PyObject_GC_UnTrack(object);
    Py_DECREF(slab->number);
    /* The pool may be the last that holds the module and with it the spares. */
    spares_give(&pool->types->fast_slabs, object);
    if (owning)
        Py_DECREF((PyObject *)pool);
}

static int fast_slab_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    if (((FastSlab *)object)->owning)
        Py_VISIT(((FastSlab *)object)->pool);
    return 0;
}

static PyObject *fast_slab_repr(PyObject *object) {
    const FastSlab *slab = (FastSlab *)object;
    int stale = epoch_of(slab->pool->fast, slab->id) != slab->epoch;
    return PyUnicode_FromFormat("<FastSlab %lu, %llu bytes%s>", (unsigned long)slab->id,
                                (unsigned long long)slab->pool->slab_size, stale ? ", released" : "");
}

static Py_ssize_t fast_slab_length(PyObject *object) {
    return (Py_ssize_t)((FastSlab *)object)->pool->slab_size;
}

static PyObject *get_id(PyObject *object, void *unused) {
    (void)unused;
    return Py_NewRef(((FastSlab *)object)->number);
}

static PyObject *get_size(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(((FastSlab *)object)->pool->slab_size);
}

static PyGetSetDef fast_slab_properties[] = {
    {"id", get_id, NULL, "The number that deallocate_fast() takes.", NULL},
    {"size", get_size, NULL, "Usable bytes of the slab.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot fast_slab_slots[] = {
    {Py_tp_doc, "The memory of one slab of allocate_fast(): a buffer. Dropping it does not free the slab."},
    {Py_tp_dealloc, fast_slab_dealloc},
    {Py_tp_traverse, fast_slab_traverse},
    {Py_tp_repr, fast_slab_repr},
    {Py_tp_getset, fast_slab_properties},
    {Py_sq_length, fast_slab_length},
    {Py_bf_getbuffer, fast_slab_getbuffer},
    {Py_bf_releasebuffer, fast_slab_releasebuffer},
    {0, NULL},
};

static PyType_Spec fast_slab_spec = {
    .name = "slabby.FastSlab",
    .basicsize = sizeof(FastSlab),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = fast_slab_slots,
};

int fast_slab_ready(PyObject *module, struct slabby_types *types) {
    types->fast_slab = (PyTypeObject *)PyType_FromModuleAndSpec(module, &fast_slab_spec, NULL);
    if (types->fast_slab == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "FastSlab", (PyObject *)types->fast_slab);
}
