/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The flat binding, the same for every language but Python: each function of slabby.h without its
 * prefix, in-parameters in the header's order. It returns the status, then its out-parameters as
 * values. What C leaves to the caller is left to the caller here:
 *
 *   status, pool = create(4096, 100, nil, nil)       a slabby_error or nothing for out_error
 *   status, ref, data = allocate(pool)
 *   refs = new_numbers(8); status = allocate_batch(refs, pool, 8); numbers_getitem(refs, 0)
 *   taken = stats(); status = get_stats(taken, pool); taken.used_slabs
 *   found = findings_new(8); status, count = verify(found, pool, 8); findings_at(found, 0).kind
 *
 * A ref is a whole number of 64 bits and never passes through a double. Memory of a slab is reached
 * by address and offset (read_bytes, write_bytes), and nothing checks the length: it is C's binding.
 */
%{
#include <stdlib.h>
#include <string.h>

#include <slabby/slabby.h>
%}

%include "exception.i"

#if defined(SWIGLUA)
%include "flat_lua.i"
#elif defined(SWIGPERL)
%include "flat_perl.i"
#else
#error "swig/slabby_flat.i: no flat_LANGUAGE.i for this language; flat_lua.i shows what it holds"
#endif

/* A number that a function stores: zero where the function stored nothing. */
%define NUMBER_RESULT(TYPE, NAME, APPEND)
%typemap(in, numinputs=0) TYPE *NAME (TYPE number = 0) {
    $1 = &number;
}
%typemap(argout) TYPE *NAME {
    APPEND(*$1)
}
%enddef

%define POINTER_RESULT(TYPE, NAME)
%typemap(in, numinputs=0) TYPE **NAME (TYPE *made = NULL) {
    $1 = &made;
}
%typemap(argout) TYPE **NAME {
    APPEND_POINTER(*$1, $*1_descriptor)
}
%enddef

/* Text grows until it fits. A function of this shape begins with buffer, capacity, out_length. */
%define TEXT_RESULT(FUNCTION)
%exception FUNCTION {
    for (arg2 = 512;; arg2 = *arg3 + 1) {
        free(arg1);
        arg1 = calloc(1, arg2);
        if (arg1 == NULL)
            SWIG_exception(SWIG_MemoryError, "no memory for a text");
        $action
        if (result != SLABBY_BUFFER_TOO_SMALL)
            break;
    }
}
%enddef

%typemap(in, numinputs=0) (char *buffer, uint64_t capacity, uint64_t *out_length)
    (uint64_t length = 0) {
    $1 = NULL;
    $2 = 0;
    $3 = &length;
}
%typemap(argout) (char *buffer, uint64_t capacity, uint64_t *out_length) {
    APPEND_BYTES($1, strlen($1))
}
%typemap(freearg) (char *buffer, uint64_t capacity, uint64_t *out_length) {
    free($1);
}

%typemap(in) uint64_t *cursor (uint64_t position) {
    position = TAKE_UNSIGNED($input);
    $1 = &position;
}
%typemap(argout) uint64_t *cursor {
    APPEND_UNSIGNED(*$1)
}

POINTER_RESULT(slabby_allocator, out_allocator)
POINTER_RESULT(slabby_options, out_options)
POINTER_RESULT(slabby_listener, out_listener)
POINTER_RESULT(void, out_data)

/* A batch's addresses are asked for with `data`. */
%typemap(in, numinputs=0) void **out_datas {
    $1 = NULL;
}

/* A record that the caller makes; the core is told its size. */
%define RECORD(TYPE)
%extend TYPE {
    TYPE(void)
    {
        TYPE *record = calloc(1, sizeof *record);

        if (record != NULL)
            record->struct_size = sizeof *record;
        return record;
    }
    ~TYPE(void)
    {
        free($self);
    }
}
%enddef

/* Room for as many records; the first tells the core the size of each. */
%define RECORDS(TYPE, NAME)
%{
static TYPE *NAME##_new(uint64_t count)
{
    TYPE *records = calloc(count > 0 ? count : 1, sizeof *records);

    if (records != NULL)
        records->struct_size = sizeof *records;
    return records;
}

static void NAME##_delete(TYPE *records)
{
    free(records);
}

static TYPE *NAME##_at(TYPE *records, uint64_t index)
{
    return &records[index];
}
%}
TYPE *NAME##_new(uint64_t count);
void NAME##_delete(TYPE *records);
TYPE *NAME##_at(TYPE *records, uint64_t index);
%enddef

%rename("%(strip:[slabby_])s") "";
%immutable;
%include "slabby_results.i"

%include "carrays.i"
%array_functions(uint64_t, numbers)

%typemap(in, numinputs=0) (char **out_bytes, uint64_t *out_size) (char *bytes, uint64_t size) {
    $1 = &bytes;
    $2 = &size;
}
%typemap(argout) (char **out_bytes, uint64_t *out_size) {
    APPEND_BYTES(*$1, *$2)
}
%typemap(in) (const char *bytes, uint64_t size) {
    size_t length = 0;
    $1 = (char *)TAKE_BYTES($input, length);
    $2 = length;
}
%inline %{
/* The bytes from `offset` on of what lies at an address. */
static void read_bytes(char **out_bytes, uint64_t *out_size, void *data, int64_t offset,
                       uint64_t length)
{
    *out_bytes = (char *)data + offset;
    *out_size = length;
}

static void write_bytes(void *data, int64_t offset, const char *bytes, uint64_t size)
{
    memcpy((char *)data + offset, bytes, size);
}
%}

%include "slabby/codes.h"
