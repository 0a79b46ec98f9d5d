/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The handler of SIGSEGV and SIGBUS: where the address is in a pool, a report on stderr; then whoever handled
 * the signal before has it. */
#include "protect/fault.h"

#include "observe/plain_text.h"
#include "observe/stacks.h"
#include "os/fault.h"
#include "os/os.h"
#include "tiers/in_flight.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct fault_signal {
    int number;
    struct sigaction before;
    _Atomic bool spent; /* the handler before asked to be called once */
};

static struct fault_signal fault_signals[] = {{.number = SIGSEGV}, {.number = SIGBUS}};
#define FAULT_SIGNALS (sizeof fault_signals / sizeof fault_signals[0])

/* Too large for a signal stack; one report at a time. */
static char fault_report[8192];
static atomic_flag fault_reporting = ATOMIC_FLAG_INIT;

/* ---------------------------------------------------------------------------------------------- the report */

static void write_out(const char *at, uint64_t length) {
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, at, length);
        if (written <= 0 && errno != EINTR)
            return;
        at += written > 0 ? written : 0;
        length -= written > 0 ? (uint64_t)written : 0;
    }
}

static bool on_a_guard(const struct slb_fault_info *fault) {
    return fault->guarded || fault->offset < 0 || fault->offset >= (int64_t)fault->pool->slab_size;
}

static void report_fault(const struct slb_fault_info *fault, const void *context) {
    struct slb_text text = {.buffer = fault_report, .capacity = sizeof fault_report - 1};
    for (uint32_t attempt = 0; atomic_flag_test_and_set_explicit(&fault_reporting, memory_order_acquire);
         attempt++)
        slb_os_wait_a_little(attempt);
    slb_plain_add(&text, "slabby: ");
    slb_fault_print(&text, slb_os_fault_verb(context), fault);
    if (fault->used)
        (void)slb_stacks_print(&text, fault->pool, fault->id, fault->generation);
    slb_plain_add(&text, "\n");
    write_out(fault_report, text.length < text.capacity ? text.length : text.capacity - 1);
    atomic_flag_clear_explicit(&fault_reporting, memory_order_release);
}

/* ------------------------------------------------------------------------------------------------ chaining */

/* The default ends the process: at once by running into the fault again, or by sending what somebody had sent. */
static void die_as_before(int number, const siginfo_t *info) {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    (void)sigaction(number, &plain, NULL);
    if (info->si_code <= 0)
        (void)raise(number);
}

static void pass_on(struct fault_signal *fault, siginfo_t *info, void *context) {
    const struct sigaction *before = &fault->before;
    bool once = ((unsigned)before->sa_flags & (unsigned)SA_RESETHAND) != 0;
    bool over = once && atomic_exchange_explicit(&fault->spent, true, memory_order_relaxed);
    if (!over && before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(fault->number, info, context);
    else if (!over && before->sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    else if (over || before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN)
        die_as_before(fault->number, info);
    else
        before->sa_handler(fault->number);
}

/* si_code above 0: the kernel itself saw the fault, and the address means something. */
static void on_fault(int number, siginfo_t *info, void *context) {
    struct slb_fault_info fault;
    int error_before = errno;
    if (info->si_code > 0 && slb_fault_locate((uintptr_t)info->si_addr, &fault)) {
        slb_count(&fault.pool->counts.guard_violations, on_a_guard(&fault));
        report_fault(&fault, context);
    }
    errno = error_before;
    for (size_t i = 0; i < FAULT_SIGNALS; i++)
        if (fault_signals[i].number == number)
            pass_on(&fault_signals[i], info, context);
}

/* `before` is in place when the first signal can come: read ahead, and again with the change itself. */
static bool take_signal(struct fault_signal *fault) {
    struct sigaction ours = {.sa_sigaction = on_fault};
    if (sigaction(fault->number, NULL, &fault->before) != 0)
        return false;
    ours.sa_mask = fault->before.sa_mask;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (fault->before.sa_flags & SA_NODEFER);
    return sigaction(fault->number, &ours, &fault->before) == 0;
}

SLB_PRIVATE bool slb_fault_handler_install(void) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool installed;
    bool done = true;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < FAULT_SIGNALS && !installed && done; i++)
        done = take_signal(&fault_signals[i]);
    installed = installed || done;
    pthread_mutex_unlock(&lock);
    return done;
}
