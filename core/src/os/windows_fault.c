/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults on Windows: one vectored handler, before the program's own and those of its frames. */
#include "os/fault.h"

#ifdef SLB_OS_WINDOWS

#include "os/mutex.h"
#include "os/os.h"
#include "os/windows_discard.h"

#include <windows.h>

static void (*_Atomic report_of_fault)(uintptr_t address, const char *verb);

/* The first parameter of an access violation: 0 read, 1 write, 8 execution; the second is the address. */
static LONG CALLBACK on_fault(EXCEPTION_POINTERS *fault) {
    const EXCEPTION_RECORD *record = fault->ExceptionRecord;
    if (record->ExceptionCode != EXCEPTION_ACCESS_VIOLATION || record->NumberParameters < 2)
        return EXCEPTION_CONTINUE_SEARCH;
    uintptr_t address = record->ExceptionInformation[1];
    if (slb_os_is_away(address)) {
        (void)SwitchToThread();
        return EXCEPTION_CONTINUE_EXECUTION;
    }
    void (*report)(uintptr_t, const char *) = atomic_load(&report_of_fault);
    if (report != NULL)
        report(address, record->ExceptionInformation[0] == 1 ? "write" : "read");
    return EXCEPTION_CONTINUE_SEARCH;
}

/* Once a process. The handler stays for the process's life, so the library stays too. */
SLB_PRIVATE bool slb_os_stop_late_readers(void) {
    static slb_os_mutex lock = SLB_OS_MUTEX_INIT;
    static _Atomic uint32_t installed;
    if (atomic_load_explicit(&installed, memory_order_acquire) != 0)
        return true;
    slb_os_mutex_lock(&lock);
    if (atomic_load(&installed) == 0) {
        HMODULE self;
        (void)GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                                 (const WCHAR *)(void *)&report_of_fault, &self);
        atomic_store(&installed, AddVectoredExceptionHandler(1, on_fault) != NULL);
    }
    slb_os_mutex_unlock(&lock);
    return atomic_load(&installed) != 0;
}

SLB_PRIVATE bool slb_os_report_faults(void (*report)(uintptr_t address, const char *verb)) {
    atomic_store(&report_of_fault, report);
    return slb_os_stop_late_readers();
}

SLB_PRIVATE void slb_os_write_error(const char *text, size_t length) {
    DWORD written;
    (void)WriteFile(GetStdHandle(STD_ERROR_HANDLE), text, (DWORD)length, &written, NULL);
}

#endif
