/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trap_allow_list LIBRARY PAGE: runs each phase of a pool's life under a filter that allows what docs/system-calls.md
 * lists for it and ends the process otherwise. Then once more without each call of the list, which must end it. */
#define _GNU_SOURCE
#include "skip.h"
#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"

enum { MOST_CALLS = 40, REFUSED = 99 };

#ifndef SYS_poll /* processors younger than x86-64 have no such call; their C libraries poll by this one */
#define SYS_poll SYS_ppoll
#endif

#define CALL(name)                                                                                           \
    { #name, SYS_##name }

static const struct {
    const char *name;
    long number;
} calls[] = {
    CALL(clone3),
    CALL(close),
    CALL(eventfd2),
    CALL(exit),
    CALL(fstat),
    CALL(futex),
    CALL(getpid),
    CALL(getrandom),
    CALL(gettid),
    CALL(madvise),
    CALL(membarrier),
    CALL(mlock2),
    CALL(mmap),
    CALL(mprotect),
    CALL(munmap),
    CALL(nanosleep),
    CALL(newfstatat),
    CALL(openat),
    CALL(poll),
    CALL(prctl),
    CALL(pread64),
    CALL(read),
    CALL(rseq),
    CALL(rt_sigaction),
    CALL(rt_sigpending),
    CALL(rt_sigprocmask),
    CALL(rt_sigtimedwait),
    CALL(sched_getaffinity),
    CALL(sched_setaffinity),
    CALL(sched_yield),
    CALL(set_robust_list),
    CALL(sysinfo),
    CALL(write),
};

struct list {
    long numbers[MOST_CALLS];
    int count;
};

/* ------------------------------------------------------------------------------------------- the phases */

static const char *library;
static slabby_allocator *pool;
static slabby_ref refs[1000];
static bool failed;

static void expect(slabby_status status) {
    failed = failed || status != SLABBY_OK;
}

static void create(void) {
    expect(slabby_create(&pool, 4096, COUNT_OF(refs), NULL, NULL));
}

static void create_with(int32_t option, int64_t value) {
    slabby_options *options = NULL;
    expect(slabby_options_create(&options));
    expect(slabby_options_set(options, option, value, NULL));
    expect(slabby_create(&pool, 4096, COUNT_OF(refs), options, NULL));
    slabby_options_destroy(options);
}

static void take_one(void) {
    slabby_ref ref = 0;
    void *data = NULL;
    expect(slabby_allocate(&ref, &data, pool));
    expect(slabby_release(pool, ref));
}

static void load(void) {
    failed = dlopen(library, RTLD_NOW | RTLD_LOCAL) == NULL;
}

static void steady(void) {
    void *data = NULL;
    for (int i = 0; i < 10000; i++) {
        slabby_ref ref = 0;
        expect(slabby_allocate(&ref, &data, pool));
        expect(slabby_pin(pool, ref));
        expect(slabby_unpin(pool, ref));
        expect(slabby_data(&data, pool, ref));
        expect(slabby_release(pool, ref));
    }
}

static void slow(void) {
    slabby_stats stats = SLABBY_STATS_INIT;
    slabby_ref more = 0;
    void *data = NULL;
    char text[8192];
    uint64_t count = 0;
    for (size_t i = 0; i < COUNT_OF(refs); i++)
        expect(slabby_allocate(&refs[i], &data, pool));
    failed = failed || slabby_allocate(&more, &data, pool) != SLABBY_OUT_OF_MEMORY;
    for (size_t i = 0; i < COUNT_OF(refs); i++)
        expect(slabby_release(pool, refs[i]));
    expect(slabby_get_stats(&stats, pool));
    expect(slabby_stats_json(text, sizeof text, NULL, pool));
    expect(slabby_verify(NULL, &count, pool, 0));
    expect(slabby_resize(&count, pool, COUNT_OF(refs) / 2, NULL));
    expect(slabby_trim(&count, pool));
}

static void take_everything(void) {
    void *data = NULL;
    create();
    for (size_t i = 0; i < COUNT_OF(refs); i++)
        expect(slabby_allocate(&refs[i], &data, pool));
}

/* A wait whose time is over; the first slab that comes back wakes nobody then. */
static void waits(void) {
    slabby_ref ref = 0;
    void *data = NULL;
    failed = failed || slabby_allocate_timeout(&ref, &data, pool, 1000000) != SLABBY_TIMEOUT;
}

static void listens(void) {
    slabby_listener *listener = NULL;
    uint64_t ticket = 0, count = 1;
    int32_t fd = -1;
    slabby_ref ref = 0;
    expect(slabby_listener_create(&listener, &fd, pool, NULL));
    expect(slabby_wait_begin(&ticket, listener, 0));
    expect(slabby_release(pool, refs[0]));
    expect(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1));
    expect(slabby_release(pool, ref));
    expect(slabby_listener_destroy(listener));
}

static void end(void) {
    expect(slabby_destroy(pool));
}

static void locked(void) {
    create_with(SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT);
}

static void guarded(void) {
    create_with(SLABBY_OPTION_GUARD_PAGES, 1);
}

static void prefaulted(void) {
    create_with(SLABBY_OPTION_PREFAULT, 1);
}

static void undumped(void) {
    create_with(SLABBY_OPTION_NO_DUMP, 1);
}

static void sampled(void) {
    create_with(SLABBY_OPTION_GUARD_SAMPLE_RATE, 1);
    take_one();
}

static void traced(void) {
    create_with(SLABBY_OPTION_DEBUG, 1);
    take_one();
}

static void watches(void) {
    int32_t descriptor = -1;
    expect(slabby_watch_begin(&descriptor, NULL));
    expect(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL));
    expect(slabby_watch_clear(descriptor));
    expect(slabby_watch_end(descriptor));
}

static int sink;

static void audited(void) {
    sink = open("/dev/null", O_WRONLY);
    create_with(SLABBY_OPTION_AUDIT, 64);
}

static void writes_audit(void) {
    uint64_t cursor = 0, written = 0;
    expect(slabby_audit_write(&written, &cursor, pool, sink, NULL));
}

static void handles_faults(void) {
    expect(slabby_install_fault_handler(NULL));
}

/* How far the thread gets before the process ends differs. */
static void checks_health(void) {
    expect(slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 1, NULL));
    expect(slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 0, NULL));
}

static void nothing(void) {
}

static const struct phase {
    const char *name;
    void (*before)(void);
    void (*run)(void);
    const char *also; /* another row, which this one adds to */
} phases[] = {
    {"load", nothing, load, NULL},
    {"create", nothing, create, NULL},
    {"steady", create, steady, NULL},
    {"slow", create, slow, NULL},
    {"wait", take_everything, waits, NULL},
    {"listen", take_everything, listens, NULL},
    {"end", create, end, NULL},
    {"lock_memory", nothing, locked, "create"},
    {"guard_pages", nothing, guarded, "create"},
    {"prefault", nothing, prefaulted, "create"},
    {"no_dump", nothing, undumped, "create"},
    {"guard_sample_rate", nothing, sampled, "create"},
    {"debug", nothing, traced, "create"},
    {"watch", create, watches, NULL},
    {"health_checks", create, checks_health, NULL},
    {"audit_write", audited, writes_audit, NULL},
    {"fault handler", create, handles_faults, NULL},
};

/* ------------------------------------------------------------------------------------------- the filter */

static volatile long *denied; /* shared with the parent */

static void note_denied(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    *denied = info->si_syscall;
    _exit(REFUSED);
}

static bool install(const struct list *list, long without) {
    struct sock_filter code[MOST_CALLS + 8];
    unsigned at = 0, allowed[MOST_CALLS + 1], count = 0;
    allowed[count++] = SYS_exit_group;
    for (int i = 0; i < list->count; i++)
        if (list->numbers[i] != without)
            allowed[count++] = (unsigned)list->numbers[i];
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < count; i++)
        code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i],
                                                  (unsigned char)(count - i), 0);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = (unsigned short)at, .filter = code};
    struct sigaction action = {.sa_sigaction = note_denied, .sa_flags = SA_SIGINFO};
    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/* What waitpid says of a child that ran the phase with the list, without one call of it. */
static int outcome(const struct phase *phase, const struct list *list, long without) {
    *denied = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        free(malloc(1 << 16)); /* malloc has its memory */
        phase->before();
        if (failed)
            _exit(98);
        if (!install(list, without))
            _exit(TEST_SKIPPED);
        phase->run();
        _exit(failed ? 97 : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* ------------------------------------------------------------------------------------------- the page */

static const char *name_of(long number) {
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        if (calls[i].number == number)
            return calls[i].name;
    return "?";
}

/* The calls in backticks up to the end of a cell. */
static const char *read_cell(struct list *list, const char *at) {
    while (*at != '|' && *at != '\0') {
        char name[32] = "";
        if (*at++ != '`')
            continue;
        at += sscanf(at, "%31[a-z0-9_]", name) == 1 ? strlen(name) : 0;
        at += *at == '`';
        size_t i = 0;
        while (i < COUNT_OF(calls) && strcmp(calls[i].name, name) != 0)
            i++;
        if (i == COUNT_OF(calls))
            fail_msg("the page lists \"%s\", which this test does not know", name);
        assert_true(list->count < MOST_CALLS);
        list->numbers[list->count++] = calls[i].number;
    }
    return *at == '|' ? at + 1 : at;
}

/* The row of a phase: | name | always | sometimes |. Answers how many are always needed. */
static int read_row(struct list *list, const char *page, const char *name) {
    char line[1024], start[64];
    FILE *file = fopen(page, "r");
    int always = -1;
    assert_non_null(file);
    snprintf(start, sizeof start, "| %s |", name);
    while (always < 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, start, strlen(start)) != 0)
            continue;
        const char *rest = read_cell(list, line + strlen(start));
        always = list->count;
        (void)read_cell(list, rest);
    }
    fclose(file);
    if (always < 0)
        fail_msg("%s has no row \"%s\"", page, name);
    return always;
}

static const char *page;

/* Guards: the page lists all that each phase calls, and nothing that it does without. */
static void the_page_is_exact(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(phases); i++) {
        struct list list = {.count = 0};
        int always = read_row(&list, page, phases[i].name);
        if (phases[i].also != NULL)
            (void)read_row(&list, page, phases[i].also);
        int status = outcome(&phases[i], &list, -1);
        if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED)
            skip_all("this system offers no system call filters");
        if (status != 0)
            fail_msg("phase %s: status %#x, and the page does not list %s (%ld)", phases[i].name,
                     (unsigned)status, name_of(*denied), *denied);
        for (int n = 0; n < always; n++) {
            status = outcome(&phases[i], &list, list.numbers[n]);
            bool refused = WIFSIGNALED(status) ? WTERMSIG(status) == SIGSYS : WEXITSTATUS(status) == REFUSED;
            if (!refused)
                fail_msg("phase %s: without %s status %#x", phases[i].name, name_of(list.numbers[n]),
                         (unsigned)status);
        }
    }
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_page_is_exact)};
    if (count != 3)
        return 2;
    library = arguments[1];
    page = arguments[2];
    denied = mmap(NULL, sizeof *denied, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(denied != MAP_FAILED);
#ifndef __GLIBC__
    skip_all("the page is about glibc");
#endif
    if (!backend_is_here(SLABBY_CPU_CACHE_BACKEND_RSEQ))
        skip_all("no restartable sequences: the page is about processes that have them");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
