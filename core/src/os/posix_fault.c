/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults arrive as SIGSEGV and SIGBUS: the core writes a report, then calls the handler that was installed before. */
#include "os/fault.h"

#ifndef SLB_OS_WINDOWS

#include "os/mutex.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>
#if defined(SLB_OS_LINUX) || defined(SLB_OS_FREEBSD)
#include <ucontext.h>
#endif

struct fault_signal {
    int number;
    struct sigaction before;
    _Atomic uint32_t spent; /* the handler before asked to be called once */
};

static struct fault_signal fault_signals[] = {{.number = SIGSEGV}, {.number = SIGBUS}};
#define FAULT_SIGNALS (sizeof fault_signals / sizeof fault_signals[0])

static void (*report_of_fault)(uintptr_t address, const char *verb);

SLB_PRIVATE void slb_os_write_error(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, text, length);
        if (written <= 0 && errno != EINTR)
            return;
        text += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
}

/* ---------------------------------------------------------------------------------------- what the access was */

#define FAULT_WAS_WRITE 2        /* x86: bit 1 of the page fault's error code */
#define FAULT_WAS_WRITE_ARM 0x40 /* aarch64: WnR of the exception syndrome */

static const char *verb_of(const void *context) {
#if defined(SLB_OS_LINUX) && defined(__x86_64__)
    const ucontext_t *machine = context;
    return machine->uc_mcontext.gregs[REG_ERR] & FAULT_WAS_WRITE ? "write" : "read";
#elif defined(SLB_OS_FREEBSD) && defined(__x86_64__)
    const ucontext_t *machine = context;
    return machine->uc_mcontext.mc_err & FAULT_WAS_WRITE ? "write" : "read";
#elif defined(SLB_OS_DARWIN) && defined(__x86_64__)
    const ucontext_t *machine = context;
    return machine->uc_mcontext->__es.__err & FAULT_WAS_WRITE ? "write" : "read";
#elif defined(SLB_OS_DARWIN) && defined(__aarch64__)
    const ucontext_t *machine = context;
    return machine->uc_mcontext->__es.__esr & FAULT_WAS_WRITE_ARM ? "write" : "read";
#else
    (void)context;
    return "access";
#endif
}

/* ------------------------------------------------------------------------------------------------ chaining */

/* The default action ends the process. A real fault happens again on return; a signal that was sent is raised again. */
static void die_as_before(int number, const siginfo_t *info) {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    (void)sigaction(number, &plain, NULL);
    if (info->si_code <= 0)
        (void)raise(number);
}

static void pass_on(struct fault_signal *fault, siginfo_t *info, void *context) {
    const struct sigaction *before = &fault->before;
    bool once = ((unsigned)before->sa_flags & (unsigned)SA_RESETHAND) != 0;
    bool over = once && atomic_exchange_explicit(&fault->spent, 1, memory_order_relaxed) != 0;
    if (!over && before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(fault->number, info, context);
    else if (!over && before->sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    else if (over || before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN)
        die_as_before(fault->number, info);
    else
        before->sa_handler(fault->number);
}

/* si_code above 0: the kernel itself detected the fault, and the address is valid. */
static void on_fault(int number, siginfo_t *info, void *context) {
    int error_before = errno;
    if (info->si_code > 0)
        report_of_fault((uintptr_t)info->si_addr, verb_of(context));
    errno = error_before;
    for (size_t i = 0; i < FAULT_SIGNALS; i++)
        if (fault_signals[i].number == number)
            pass_on(&fault_signals[i], info, context);
}

/* `before` must be set when the first signal can come. So it is read in advance, and once more by the change itself. */
static bool take_signal(struct fault_signal *fault) {
    struct sigaction ours = {.sa_sigaction = on_fault};
    if (sigaction(fault->number, NULL, &fault->before) != 0)
        return false;
    ours.sa_mask = fault->before.sa_mask;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (fault->before.sa_flags & SA_NODEFER);
    return sigaction(fault->number, &ours, &fault->before) == 0;
}

SLB_PRIVATE bool slb_os_report_faults(void (*report)(uintptr_t address, const char *verb)) {
    static slb_os_mutex lock = SLB_OS_MUTEX_INIT;
    static bool installed;
    bool done = true;
    slb_os_mutex_lock(&lock);
    report_of_fault = report;
    for (size_t i = 0; i < FAULT_SIGNALS && !installed && done; i++)
        done = take_signal(&fault_signals[i]);
    installed = installed || done;
    slb_os_mutex_unlock(&lock);
    return done;
}

#endif
