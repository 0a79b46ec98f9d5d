/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/module.h"

#ifdef SLB_OS_WINDOWS

#include <windows.h>

SLB_PRIVATE void slb_os_keep_module(void) {
    HMODULE module;
    (void)GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                             (const char *)(uintptr_t)&slb_os_keep_module, &module);
}

#else

#include <dlfcn.h>
#ifdef SLB_OS_LINUX
#include <sys/auxv.h>
#endif

/* The program itself is never unmapped, and the dynamic linker would search for its name. */
static bool is_of_program(const Dl_info *own) {
#ifdef SLB_OS_LINUX
    Dl_info program;
    unsigned long entry = getauxval(AT_ENTRY);
    return entry != 0 && dladdr((void *)entry, &program) != 0 && program.dli_fbase == own->dli_fbase;
#else
    (void)own;
    return false;
#endif
}

SLB_PRIVATE void slb_os_keep_module(void) {
    static _Atomic uint32_t done;
    Dl_info own;
    /* relaxed: doing it twice is harmless */
    if (atomic_load_explicit(&done, memory_order_relaxed) != 0)
        return;
    atomic_store_explicit(&done, 1, memory_order_relaxed);
    if (dladdr((void *)&done, &own) == 0 || is_of_program(&own))
        return;
    /* by name: a direct call makes the linker warn of static programs, which have nothing to keep mapped */
    void *(*open)(const char *, int);
    *(void **)&open = dlsym(RTLD_DEFAULT, "dlopen");
    if (open == NULL || open(own.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) == NULL)
        (void)dlerror(); /* the caller's own calls find no message */
}

#endif
