/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "system.h"

#ifdef _WIN32

#include "refcounts.h"
#include <stdio.h>
#include <windows.h>

/* Computed in two parts, so that the product does not overflow. */
uint64_t system_now_ns(void) {
    LARGE_INTEGER count, rate;
    uint64_t ticks, per_second;

    (void)QueryPerformanceCounter(&count);
    (void)QueryPerformanceFrequency(&rate);
    ticks = (uint64_t)count.QuadPart;
    per_second = (uint64_t)rate.QuadPart;
    return ticks / per_second * 1000000000u + ticks % per_second * 1000000000u / per_second;
}

unsigned long system_process(void) {
    return GetCurrentProcessId();
}

static BOOL CALLBACK run_once(PINIT_ONCE once, PVOID run, PVOID *context) {
    (void)once;
    (void)context;
    (*(void (**)(void))run)();
    return TRUE;
}

void system_once(void (*run)(void)) {
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

    (void)InitOnceExecuteOnce(&once, run_once, (PVOID)&run, NULL);
}

/* python3.dll has only the stable ABI; the library of this exact version exports the other functions. */
void *system_find_in_python(const char *name) {
    char library[32];
    FARPROC found;
    HMODULE module;

    (void)snprintf(library, sizeof library, "python%lu%lu.dll", Py_Version >> 24, Py_Version >> 16 & 0xFF);
    module = GetModuleHandleA(library);
    if (module == NULL)
        return NULL;
    found = GetProcAddress(module, name);
    return *(void **)&found;
}

#else

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

uint64_t system_now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned long system_process(void) {
    return (unsigned long)getpid();
}

void system_once(void (*run)(void)) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, run);
}

void *system_find_in_python(const char *name) {
    return dlsym(RTLD_DEFAULT, name);
}

#endif
