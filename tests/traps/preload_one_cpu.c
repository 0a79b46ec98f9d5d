/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Preloaded: a C library that believes in one CPU, as those do that count what a container shows. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <unistd.h>

__attribute__((visibility("default"))) long sysconf(int name) {
    long (*next)(int) = (long (*)(int))(intptr_t)dlsym(RTLD_NEXT, "sysconf");

    return name == _SC_NPROCESSORS_CONF || name == _SC_NPROCESSORS_ONLN ? 1 : next(name);
}
