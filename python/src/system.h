/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions of the system beyond ISO C that the package's C code needs. */
#ifndef SLABBY_PY_SYSTEM_H
#define SLABBY_PY_SYSTEM_H

#include <stdint.h>

/* A clock that never goes back. */
uint64_t system_now_ns(void);

/* The number of this process: after fork, another one in the child. */
unsigned long system_process(void);

/* Runs the function in the first call of the process; later and concurrent calls return once it has ended. */
void system_once(void (*run)(void));

/* A public function of the interpreter, also one that the limited API lacks. Null: this interpreter lacks it too. */
void *system_find_in_python(const char *name);

#endif
