/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every language that SWIG knows. What a language needs of its own stands in a file of its own; the
 * functions and structs come from slabby.h, which SWIG reads as it is.
 *
 *                  slabby.h, codes.h
 *                         |
 *                     slabby.i
 *                    /        \
 *   slabby_python.i              slabby_flat.i          C's functions, results as values
 *   slabby_python_maps.i             |  slabby_results.i (generated)
 *   slabby_typemaps.i (generated)    |
 *   the package's backend      flat_lua.i, flat_perl.i  how a number, a pointer, bytes are made
 */
#if defined(SWIGPYTHON)
%module _swig
#else
%module slabby
#endif

%include "stdint.i"

#if defined(SWIGPYTHON)
%include "slabby_python.i"
#else
%include "slabby_flat.i"
#endif

%include "slabby/slabby.h"

#if defined(SWIGPYTHON)
uintptr_t slabby_table_address(void);
#endif
