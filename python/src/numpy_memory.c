/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * numpy's arrays in slabs. numpy takes the functions that allocate the memory of arrays from a capsule (NEP 49); each
 * array keeps the capsule that its memory came from.
 *
 *   array ──▶ capsule "mem_handler" ──▶ struct memory ──▶ Pool
 *
 * A slab in use by an array is pinned, so that only the array can release it, and neither reset() nor another language.
 * No function here touches an object of Python, so numpy may call them with or without the interpreter's lock. numpy's
 * headers are not needed: its C API is a table of functions, whose positions and whose handler are fixed.
 */
#include "numpy_memory.h"

#include <stdlib.h>
#include <string.h>

#define HANDLER_VERSION 1
#define HANDLER_CAPSULE "mem_handler"

/* Positions in numpy's table. */
#define API_VERSION 0
#define API_FEATURE_VERSION 211
#define API_SET_HANDLER 304
/* numpy 1.22, the first with handlers; before numpy 1 and after numpy 2 positions may differ. */
#define FIRST_FEATURE_VERSION 0x0Fu
#define OLDEST_VERSION 0x01000000u
#define NEWEST_VERSION 0x02FFFFFFu

struct numpy_allocator {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *pointer, size_t new_size);
    void (*free)(void *context, void *pointer, size_t size);
};

struct numpy_handler {
    char name[127];
    uint8_t version;
    struct numpy_allocator allocator;
};

struct memory {
    struct numpy_handler handler;
    Pool *pool;
    char system; /* memory that does not fit into a slab comes from malloc */
};

static int is_slab(const struct memory *memory, const void *pointer) {
    slabby_allocator *found = NULL;

    return !memory->system ||
           (memory->pool->core->pool_of(&found, pointer) == SLABBY_OK && found == memory->pool->allocator);
}

static void *take_slab(const Pool *pool) {
    slabby_ref ref;
    void *data;

    if (pool->core->allocate(&ref, &data, pool->allocator) != SLABBY_OK)
        return NULL;
    if (pool->core->pin(pool->allocator, ref) != SLABBY_OK) {
        (void)pool->core->release(pool->allocator, ref);
        return NULL;
    }
    note_use((Pool *)pool);
    return data;
}

/* This code holds the pin, so the reference is that of its own allocation. If bytes beside a slab were overwritten, the
 * core reports an event. */
static void give_slab_back(const Pool *pool, void *pointer) {
    slabby_ref ref;

    if (pool->core->ref_of(&ref, pool->allocator, pointer) != SLABBY_OK)
        return;
    (void)pool->core->release_deferred(pool->allocator, ref);
    (void)pool->core->unpin(pool->allocator, ref);
}

static void *memory_malloc(void *context, size_t size) {
    const struct memory *memory = context;
    void *data = size <= memory->pool->slab_size ? take_slab(memory->pool) : NULL;

    return data != NULL || !memory->system ? data : malloc(size);
}

static void *memory_calloc(void *context, size_t count, size_t size) {
    const struct memory *memory = context;
    void *data;

    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    data = count * size <= memory->pool->slab_size ? take_slab(memory->pool) : NULL;
    if (data != NULL)
        return memset(data, 0, count * size);
    return memory->system ? calloc(count, size) : NULL;
}

static void memory_free(void *context, void *pointer, size_t size) {
    const struct memory *memory = context;

    (void)size;
    if (pointer != NULL && is_slab(memory, pointer))
        give_slab_back(memory->pool, pointer);
    else
        free(pointer);
}

static void *memory_realloc(void *context, void *pointer, size_t new_size) {
    const struct memory *memory = context;
    uint64_t slab_size = memory->pool->slab_size;
    void *data;

    if (pointer == NULL)
        return memory_malloc(context, new_size);
    if (!is_slab(memory, pointer))
        return realloc(pointer, new_size);
    if (new_size <= slab_size)
        return pointer;
    data = memory->system ? malloc(new_size) : NULL;
    if (data != NULL) {
        memcpy(data, pointer, slab_size);
        give_slab_back(memory->pool, pointer);
    }
    return data;
}

/* No array is left whose memory came from here. */
static void end_memory(PyObject *capsule) {
    struct memory *memory = PyCapsule_GetPointer(capsule, HANDLER_CAPSULE);

    Py_DECREF(memory->pool);
    free(memory);
}

PyObject *pool_numpy_handler(PyObject *self, PyObject *arguments) {
    struct memory *memory;
    PyObject *capsule;
    const char *name;
    int system;

    if (!PyArg_ParseTuple(arguments, "sp", &name, &system) || !pool_attached((Pool *)self))
        return NULL;
    memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return PyErr_NoMemory();
    strncpy(memory->handler.name, name, sizeof memory->handler.name - 1);
    memory->handler.version = HANDLER_VERSION;
    memory->handler.allocator =
        (struct numpy_allocator){memory, memory_malloc, memory_calloc, memory_realloc, memory_free};
    memory->pool = (Pool *)self;
    memory->system = (char)system;
    capsule = PyCapsule_New(memory, HANDLER_CAPSULE, end_memory);
    if (capsule == NULL)
        free(memory);
    else
        Py_INCREF(self);
    return capsule;
}

/* The table's functions by position: ISO C knows no way from an object's pointer to a function's. */
typedef unsigned int (*number_function)(void);
typedef PyObject *(*set_function)(PyObject *);

static unsigned int call_number(void *const *table, int position) {
    number_function function;

    memcpy(&function, &table[position], sizeof function);
    return function();
}

PyObject *set_numpy_handler(PyObject *module, PyObject *arguments) {
    PyObject *api, *handler;
    void *const *table;
    unsigned int version;
    set_function set;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "OO", &api, &handler))
        return NULL;
    table = PyCapsule_GetPointer(api, NULL);
    if (table == NULL)
        return NULL;
    version = call_number(table, API_VERSION);
    if (version < OLDEST_VERSION || version > NEWEST_VERSION ||
        call_number(table, API_FEATURE_VERSION) < FIRST_FEATURE_VERSION)
        return PyErr_Format(PyExc_NotImplementedError,
                            "this numpy (C API %08x) takes no memory from elsewhere; use numpy 1.22 to 2.x",
                            version);
    memcpy(&set, &table[API_SET_HANDLER], sizeof set);
    return set(handler == Py_None ? NULL : handler);
}
