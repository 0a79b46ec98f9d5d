/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Python: how parameters become objects and back. The first part serves every function; the macros below it are used
 * by slabby_typemaps.i (generated), which knows the names, types and positions of slabby.h. Helpers are in
 * slabby_python.i.
 */

/* The pool: any Allocator, whichever backend opened it. */
%typemap(in) slabby_allocator *allocator {
    $1 = types_api->handle($input);
    if ($1 == NULL)
        SWIG_fail;
}

/* The same, or None. */
%typemap(in) slabby_allocator *one_or_all {
    $1 = NULL;
    if ($input != Py_None && ($1 = types_api->handle($input)) == NULL)
        SWIG_fail;
}

/* What os.fsdecode could not decode (an argument, a file name) is passed as the bytes it was. */
%typemap(in) const char * (PyObject *encoded = NULL) {
    encoded = PyUnicode_AsEncodedString($input, "utf-8", "surrogateescape");
    if (encoded == NULL || PyBytes_AsStringAndSize(encoded, &$1, NULL) < 0)
        SWIG_fail;
}
%typemap(freearg) const char * {
    Py_XDECREF(encoded$argnum);
}

/* A status was handled by the %exception of its function. */
%typemap(out) slabby_status {
    $result = Py_NewRef(Py_None);
}

%typemap(in, numinputs=0) slabby_error *out_error (slabby_error record) {
    memset(&record, 0, sizeof record);
    record.struct_size = sizeof record;
    $1 = &record;
}

%typemap(in, numinputs=0) slabby_allocator **out_allocator (slabby_allocator *handle = NULL) {
    $1 = &handle;
}
%typemap(argout) slabby_allocator **out_allocator {
    $result = add_result($result, PyLong_FromVoidPtr(*$1));
}

/* The results that need the pool take it along, as consecutive parameters. */
%typemap(in) (slabby_ref *out_ref, void **out_data, slabby_allocator *allocator)
    (slabby_ref reference = 0, void *data = NULL) {
    $1 = &reference;
    $2 = &data;
    $3 = types_api->handle($input);
    if ($3 == NULL)
        SWIG_fail;
}
%typemap(argout) (slabby_ref *out_ref, void **out_data, slabby_allocator *allocator) {
    $result = add_result($result, types_api->make_ref($input, *$1, *$2));
}
%typemap(in) (void **out_data, uint32_t *out_id, slabby_allocator *allocator)
    (void *data = NULL, uint32_t number = 0) {
    $1 = &data;
    $2 = &number;
    $3 = types_api->handle($input);
    if ($3 == NULL)
        SWIG_fail;
}
%typemap(argout) (void **out_data, uint32_t *out_id, slabby_allocator *allocator) {
    $result = add_result($result, types_api->make_fast($input, *$1, *$2));
}
%typemap(in) (slabby_ref *out_refs, void **out_datas, slabby_allocator *allocator) {
    $1 = NULL;
    $2 = NULL;
    $3 = types_api->handle($input);
    if ($3 == NULL)
        SWIG_fail;
}
%typemap(freearg) (slabby_ref *out_refs, void **out_datas, slabby_allocator *allocator) {
    free($1);
    free($2);
}

/* Addresses are numbers. */
%typemap(in) const void *pointer, const void *address {
    $1 = PyLong_AsVoidPtr($input);
    if ($1 == NULL && PyErr_Occurred())
        SWIG_fail;
}

%typemap(in, numinputs=0) void **out_data (void *data = NULL) {
    $1 = &data;
}
%typemap(argout) void **out_data {
    $result = add_result($result, PyLong_FromVoidPtr(*$1));
}

/* Text grows in the %exception of its function until it fits. */
%typemap(in, numinputs=0) (char *buffer, uint64_t capacity, uint64_t *out_length)
    (uint64_t length = 0) {
    $1 = NULL;
    $2 = 0;
    $3 = &length;
}
%typemap(argout) (char *buffer, uint64_t capacity, uint64_t *out_length) {
    $result = add_result($result, decode($1));
}
%typemap(freearg) (char *buffer, uint64_t capacity, uint64_t *out_length) {
    free($1);
}

%typemap(in) uint64_t *cursor (uint64_t position) {
    position = PyLong_AsUnsignedLongLong($input);
    if (position == (uint64_t)-1 && PyErr_Occurred())
        SWIG_fail;
    $1 = &position;
}
%typemap(argout) uint64_t *cursor {
    $result = add_result($result, PyLong_FromUnsignedLongLong(*$1));
}

%typemap(in) (const slabby_ref *refs, uint64_t count) {
    $1 = numbers_from($input, &$2);
    if ($1 == NULL)
        SWIG_fail;
}
%typemap(freearg) (const slabby_ref *refs, uint64_t count) {
    free($1);
}

%typemap(in) slabby_options *options, const slabby_options *options, slabby_listener *listener {
    $1 = opaque_from($input, "$1_basetype");
    if (PyErr_Occurred())
        SWIG_fail;
}
%typemap(in, numinputs=0) slabby_options **out_options (slabby_options *made = NULL) {
    $1 = &made;
}
%typemap(in, numinputs=0) slabby_listener **out_listener (slabby_listener *made = NULL) {
    $1 = &made;
}
%typemap(argout) slabby_options **out_options, slabby_listener **out_listener {
    $result = add_result($result, PyCapsule_New(*$1, "$1_basetype", NULL));
}

/* A whole number in full width: a 64-bit reference never passes through a double. */
%define NUMBER_ARGUMENT(TYPE, WIDE, TAKE)
%typemap(in) TYPE {
    WIDE wide = TAKE($input);
    if (PyErr_Occurred())
        SWIG_fail;
    if (wide != (WIDE)(TYPE)wide) {
        PyErr_SetString(PyExc_OverflowError, "$1_name does not fit " #TYPE);
        SWIG_fail;
    }
    $1 = (TYPE)wide;
}
%enddef

NUMBER_ARGUMENT(uint64_t, unsigned long long, PyLong_AsUnsignedLongLong)
NUMBER_ARGUMENT(slabby_ref, unsigned long long, PyLong_AsUnsignedLongLong)
NUMBER_ARGUMENT(uint32_t, unsigned long, PyLong_AsUnsignedLong)
NUMBER_ARGUMENT(int64_t, long long, PyLong_AsLongLong)
NUMBER_ARGUMENT(int32_t, long, PyLong_AsLong)
NUMBER_ARGUMENT(slabby_status, long, PyLong_AsLong)

/* A number that a function stores. */
%define NUMBER_RESULT(TYPE, NAME, MAKE)
%typemap(in, numinputs=0) TYPE *NAME (TYPE number = 0) {
    $1 = &number;
}
%typemap(argout) TYPE *NAME {
    $result = add_result($result, MAKE(*$1));
}
%enddef

/* The same where part of the work may be done all the same: the status stands beside the number. */
%define NUMBER_AND_STATUS_RESULT(TYPE, NAME, MAKE)
NUMBER_RESULT(TYPE, NAME, MAKE)
%typemap(argout) TYPE *NAME {
    $result = add_result($result, MAKE(*$1));
    $result = add_result($result, PyLong_FromLong(result));
}
%enddef

/* One record; TYPE##_values makes the tuple. */
%define RECORD_RESULT(TYPE, NAME)
%typemap(in, numinputs=0) TYPE *NAME (TYPE record) {
    memset(&record, 0, sizeof record);
    record.struct_size = sizeof record;
    $1 = &record;
}
%typemap(argout) TYPE *NAME {
    $result = add_result($result, TYPE##_values($1));
}
%enddef

/* An array that the %exception of its function makes room for, as it knows the length. */
%define ARRAY_SPACE(TYPE, NAME)
%typemap(in, numinputs=0) TYPE *NAME {
    $1 = NULL;
}
%typemap(freearg) TYPE *NAME {
    free($1);
}
%enddef

/* COUNT and CAPACITY: the variables of SWIG's wrapper that hold how many there are and how many there is room for. */
%define NUMBERS_RESULT(TYPE, NAME, COUNT, CAPACITY)
ARRAY_SPACE(TYPE, NAME)
%typemap(argout) TYPE *NAME {
    $result = add_result($result, numbers_list($1, smaller(*COUNT, CAPACITY)));
}
%enddef

%define RECORDS_RESULT(TYPE, NAME, COUNT, CAPACITY)
%{
static PyObject *list_of_##NAME(const TYPE *records, uint64_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (uint64_t at = 0; list != NULL && at < count; at++) {
        PyObject *record = TYPE##_values(&records[at]);
        if (record == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)at, record);
    }
    return list;
}
%}
ARRAY_SPACE(TYPE, NAME)
%typemap(argout) TYPE *NAME {
    $result = add_result($result, list_of_##NAME($1, smaller(*COUNT, CAPACITY)));
}
%enddef

%define REFS_RESULT(COUNT)
%typemap(argout) (slabby_ref *out_refs, void **out_datas, slabby_allocator *allocator) {
    $result = add_result($result, types_api->make_refs($input, $1, $2, COUNT));
}
%enddef
