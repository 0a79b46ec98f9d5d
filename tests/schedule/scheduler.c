/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "scheduler.h"

#include "locations.h"
#include "of_thread.h"
#include "trace.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* How a run that never ends is told from a long one; and how often tasks that wait for each other may look again. */
enum { MOST_STEPS = 200000, MOST_DECISIONS = 20000, MOST_IDLE_CHECKS = 64, MOST_READS = 512 };
enum { STACK_BYTES = 256 * 1024, MOST_MEMORIES = 10, MOST_UNMAPPED = 16, PAGE = 4096 };

enum state { READY, RESTING, ASLEEP, DONE };

struct task {
    ucontext_t context;
    char *stack;
    enum state state;
    uint32_t cpu;
    struct of_thread own;
    volatile void *asleep_on;
    bool has_deadline, timed_out;
    const volatile void *read[MOST_READS]; /* since it rested last */
    uint32_t reads;
    bool disturbed; /* one of them has changed since */
    bool in_sequence, restarted;
    const volatile void *pending; /* what it was about to access when it was preempted */
    enum access pending_access;
    bool overtaken; /* others have done since what the pending access does not commute with */
};

/* Where there was a choice: which of how many was taken, at which step. */
struct decision {
    uint32_t step;
    uint8_t options, taken, task;
};

static struct {
    const struct scenario *scenario;
    struct task task[MOST_TASKS];
    uint32_t tasks, current;
    ucontext_t driver;
    bool running, pruned;
    uint32_t steps, preemptions, allowed, idle_checks;
    struct decision path[MOST_DECISIONS];
    uint32_t decided, planned; /* decisions of this run; of those, repeated from the last */
    const char *order;         /* of a replay, or null */
    struct {
        uintptr_t start;
        size_t size;
    } range[MOST_UNMAPPED];
    uint32_t unmapped; /* ranges that this run has unmapped */
} it;

static struct {
    char *at, *first;
    size_t size;
} memories[MOST_MEMORIES];
static uint32_t memory_count;

static struct {
    char *base;
    size_t size, stride;
} slabs;

/* ------------------------------------------------------------------------------------------------- reports */

static void print_order(void) {
    fprintf(stderr, "repeat with: --replay '%s@", it.scenario->name);
    for (uint32_t i = 0; i < it.decided; i++)
        if (it.path[i].taken != 0)
            fprintf(stderr, "%u:%u,", it.path[i].step, it.path[i].task);
    fprintf(stderr, "'\n");
}

void schedule_broken(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "FAILED %s: ", it.scenario == NULL ? "schedule" : it.scenario->name);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    trace_end();
    if (it.scenario != NULL && it.order == NULL)
        print_order();
    fflush(stderr);
    _exit(1);
}

static void on_signal(int signal_number) {
    schedule_broken("the core died of signal %d (%s)", signal_number, strsignal(signal_number));
}

/* ------------------------------------------------------------------------------------------------- memory */

void schedule_restores(void *memory, size_t size) {
    if (memory_count == MOST_MEMORIES)
        schedule_broken("more than %d memories to restore", MOST_MEMORIES);
    memories[memory_count].at = memory;
    memories[memory_count].size = size;
    memories[memory_count].first = malloc(size);
    memory_count++;
}

void schedule_slabs(void *base, size_t size, size_t stride) {
    slabs.base = base;
    slabs.size = size;
    slabs.stride = stride;
}

static const volatile void *whole(const volatile void *location) {
    size_t offset = (size_t)((uintptr_t)location - (uintptr_t)slabs.base);

    return offset < slabs.size ? slabs.base + offset / slabs.stride * slabs.stride : location;
}

static void save_memory(void) {
    for (uint32_t i = 0; i < memory_count; i++)
        memcpy(memories[i].first, memories[i].at, memories[i].size);
}

static void restore_memory(void) {
    for (uint32_t i = 0; i < memory_count; i++)
        for (size_t at = 0; at < memories[i].size; at += PAGE) {
            size_t rest = memories[i].size - at, part = rest < PAGE ? rest : PAGE;

            if (memcmp(memories[i].at + at, memories[i].first + at, part) != 0)
                memcpy(memories[i].at + at, memories[i].first + at, part);
        }
}

/* ------------------------------------------------------------------------------------------------ switching */

uint32_t schedule_task(void) {
    return it.current;
}

bool schedule_is_running(void) {
    return it.running;
}

uint32_t schedule_cpu(void) {
    return it.running ? it.task[it.current].cpu : 0;
}

void schedule_move_to(uint32_t cpu) {
    it.task[it.current].cpu = cpu;
    it.task[it.current].restarted = true;
}

static bool can_go_on(const struct task *task) {
    return task->state == READY || (task->state == RESTING && task->disturbed);
}

static void switch_to(uint32_t next) {
    struct task *from = &it.task[it.current], *to = &it.task[next];

    if (from == to)
        return;
    of_thread_save(&from->own);
    it.current = next;
    for (uint32_t i = 0; i < it.tasks; i++)
        if (i != next && it.task[i].cpu == to->cpu)
            it.task[i].restarted = true;
    of_thread_load(&to->own);
    trace_switch(next);
    swapcontext(&from->context, &to->context);
}

/* A task that was preempted before an access, and nobody has done anything yet that the access does not commute with:
 * it might as well have gone on at once, and that order is searched anyway, and costs no more. */
static bool repeats(const struct task *task) {
    return task->pending != NULL && !task->overtaken && it.order == NULL;
}

static void end_run(void) {
    setcontext(&it.driver);
    abort();
}

/* Who may run instead of, or after, the current task; it comes first where it can go on itself. */
static uint32_t options_now(uint32_t *options, bool forced) {
    uint32_t count = 0;
    bool may_preempt = it.preemptions < it.allowed, some_repeat = false;

    if (!forced)
        options[count++] = it.current;
    for (uint32_t i = 1; i < it.tasks + forced; i++) {
        uint32_t other = (it.current + i) % it.tasks;

        if (!(forced || may_preempt) || !can_go_on(&it.task[other]))
            continue;
        some_repeat |= repeats(&it.task[other]);
        if (!repeats(&it.task[other]))
            options[count++] = other;
    }
    for (uint32_t other = 0; other < it.tasks && (count != 0 || some_repeat); other++)
        if (it.scenario->time_passes && may_preempt && it.task[other].state == ASLEEP &&
            it.task[other].has_deadline)
            options[count++] = other;
    it.pruned = count == 0 && some_repeat;
    if (it.pruned)
        end_run();
    return count;
}

/* The number that a replayed order names for this step, if any. */
static uint32_t ordered(uint32_t otherwise) {
    for (const char *at = it.order; *at != '\0';) {
        unsigned step = 0, task = 0;
        int length = 0;

        if (sscanf(at, "%u:%u,%n", &step, &task, &length) != 2 || length == 0 || task >= it.tasks)
            schedule_broken("no order: \"%s\"", at);
        if (step == it.steps)
            return task;
        at += length;
    }
    return otherwise;
}

static uint32_t decide(const uint32_t *options, uint32_t count) {
    struct decision *decision = &it.path[it.decided];

    if (it.order != NULL)
        return ordered(options[0]);
    if (count == 1)
        return options[0];
    if (it.decided == MOST_DECISIONS)
        schedule_broken("more than %d decisions in one run", MOST_DECISIONS);
    if (it.decided == it.planned) {
        *decision =
            (struct decision){.step = it.steps, .options = (uint8_t)count, .task = (uint8_t)options[0]};
        it.planned++;
    }
    it.decided++;
    if (decision->step != it.steps || decision->options != count)
        schedule_broken("a run did not repeat itself: the scenario depends on something outside");
    decision->task = (uint8_t)options[decision->taken];
    return decision->task;
}

static void wake_late(struct task *task) {
    task->state = READY;
    task->timed_out = true;
}

static void go_on_with(uint32_t next, bool costs) {
    struct task *task = &it.task[next];

    it.preemptions += costs || task->state == ASLEEP;
    if (task->state == ASLEEP)
        wake_late(task);
    task->state = READY;
    switch_to(next);
}

/* Nobody can go on by the rules: tasks at rest look again, in turn; then the earliest deadline passes. */
static void go_on_somehow(void) {
    for (uint32_t i = 1; i <= it.tasks && it.idle_checks < MOST_IDLE_CHECKS; i++) {
        uint32_t other = (it.current + i) % it.tasks;

        if (it.task[other].state == RESTING) {
            it.idle_checks++;
            go_on_with(other, false);
            return;
        }
    }
    for (uint32_t i = 0; i < it.tasks; i++)
        if (it.task[i].state == ASLEEP && it.task[i].has_deadline) {
            it.idle_checks = 0;
            go_on_with(i, false);
            return;
        }
    for (uint32_t i = 0; i < it.tasks; i++)
        if (it.task[i].state != DONE)
            schedule_broken("task %u waits for ever: %s", i,
                            it.task[i].state == ASLEEP ? "nobody wakes it"
                                                       : "nobody changes what it waits for");
    end_run();
}

/* The current task cannot go on by itself. */
static void leave(void) {
    uint32_t options[2 * MOST_TASKS];
    uint32_t count = options_now(options, true);

    if (count == 0)
        go_on_somehow();
    else
        go_on_with(decide(options, count), false);
}

/* ---------------------------------------------------------------------------------------------- accesses */

static void remember_read(struct task *task, const volatile void *location) {
    for (uint32_t i = 0; i < task->reads; i++)
        if (task->read[i] == location)
            return;
    if (task->reads < MOST_READS)
        task->read[task->reads++] = location;
    else
        task->disturbed = true;
}

static bool commute(enum access one, enum access other) {
    return one == ACCESS_READ && other == ACCESS_READ;
}

static void overtake(const volatile void *location, enum access access) {
    for (uint32_t i = 0; i < it.tasks; i++) {
        struct task *task = &it.task[i];

        if (i == it.current || task->pending == NULL)
            continue;
        if (access == ACCESS_ALWAYS || (task->pending == location && !commute(task->pending_access, access)))
            task->overtaken = true;
    }
}

/* The current task is preempted before an access. */
static void preempt(uint32_t next, const volatile void *location, enum access access) {
    struct task *task = &it.task[it.current];

    task->pending = location;
    task->pending_access = access;
    task->overtaken = task->in_sequence || access == ACCESS_ALWAYS;
    go_on_with(next, true);
    task->pending = NULL;
}

/* A sequence that was restarted does not come to its access. */
static void expect_mapped(const volatile void *location) {
    const struct task *task = &it.task[it.current];

    for (uint32_t i = 0; i < it.unmapped && !(task->in_sequence && task->restarted); i++)
        if ((uintptr_t)location - it.range[i].start < it.range[i].size)
            schedule_broken("an access to memory that was unmapped");
}

static void access_of_task(const volatile void *location, enum access access, const void *code) {
    uint32_t options[2 * MOST_TASKS];

    if (of_thread_has(location))
        return;
    if (++it.steps > MOST_STEPS)
        schedule_broken("no end after %d steps", MOST_STEPS);
    location = whole(location);
    struct location *entry = locations_note(location, access, it.current);
    if (entry->shared || it.order != NULL) {
        uint32_t before = it.current, next = decide(options, options_now(options, false));

        if (next != before)
            preempt(next, location, access);
    }
    if (entry->shared)
        overtake(location, access);
    trace_access(it.current, it.steps, location, access, code);
    expect_mapped(location);
    if (entry->shared)
        remember_read(&it.task[it.current], location);
}

void schedule_access(const volatile void *location, enum access access, const void *code) {
    if (it.running)
        access_of_task(location, access, code);
}

void schedule_unmap(void *start, size_t size, const void *code) {
    schedule_access(start, ACCESS_ALWAYS, code);
    locations_note_range(start, size, it.current);
    if (it.unmapped == MOST_UNMAPPED)
        schedule_broken("a run unmaps more than %d ranges", MOST_UNMAPPED);
    it.range[it.unmapped].start = (uintptr_t)start;
    it.range[it.unmapped++].size = size;
}

void schedule_access_slabs(void *start, size_t size, const void *code) {
    schedule_access(start, ACCESS_ALWAYS, code);
    const char *end = (char *)start + size;
    for (const char *at = (const char *)(uintptr_t)whole(start);
         it.running && at < end && (size_t)(at - slabs.base) < slabs.size; at += slabs.stride)
        (void)locations_note(at, ACCESS_WRITE, it.current);
}

void schedule_changed(const volatile void *location) {
    if (!it.running)
        return;
    for (uint32_t i = 0; i < it.tasks; i++) {
        struct task *task = &it.task[i];

        for (uint32_t k = 0; k < task->reads && i != it.current && !task->disturbed; k++)
            if (task->read[k] == location) {
                task->disturbed = true;
                it.idle_checks = 0;
            }
    }
}

void schedule_rest(void) {
    struct task *task = &it.task[it.current];

    if (!it.running)
        return;
    if (++it.steps > MOST_STEPS)
        schedule_broken("no end after %d steps", MOST_STEPS);
    task->state = RESTING;
    leave();
    task->reads = 0;
    task->disturbed = false;
}

bool schedule_sleep(volatile void *word, bool has_deadline) {
    struct task *task = &it.task[it.current];

    it.steps++;
    task->state = ASLEEP;
    task->asleep_on = word;
    task->has_deadline = has_deadline;
    task->timed_out = false;
    leave();
    return !task->timed_out;
}

void schedule_wake(volatile void *word) {
    for (uint32_t i = 0; i < it.tasks; i++)
        if (it.task[i].state == ASLEEP && it.task[i].asleep_on == word) {
            it.task[i].state = READY;
            it.idle_checks = 0;
            return;
        }
}

/* ---------------------------------------------------------------------------------------------- sequences */

void schedule_sequence_begin(void) {
    it.task[it.current].in_sequence = true;
    it.task[it.current].restarted = false;
}

bool schedule_sequence_goes_on(void) {
    return !it.running || !it.task[it.current].restarted;
}

void schedule_sequence_end(void) {
    it.task[it.current].in_sequence = false;
}

void schedule_fence(void) {
    static char fence;

    schedule_access(&fence, ACCESS_ALWAYS, __builtin_return_address(0));
    for (uint32_t i = 0; i < it.tasks && it.running; i++)
        it.task[i].restarted |= i != it.current && it.task[i].in_sequence;
}

/* --------------------------------------------------------------------------------------------------- a run */

static void body_of_task(void) {
    it.scenario->task[it.current]();
    it.task[it.current].state = DONE;
    it.steps++;
    leave();
}

static void begin_task(uint32_t number) {
    struct task *task = &it.task[number];
    char *stack = task->stack;

    if (stack == NULL) {
        stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack == MAP_FAILED)
            schedule_broken("no memory for a stack");
    }
    memset(task, 0, offsetof(struct task, read));
    task->reads = 0;
    task->disturbed = task->in_sequence = task->restarted = false;
    task->pending = NULL;
    task->stack = stack;
    task->cpu = it.scenario->cpu[number];
    task->own.number = of_thread_number(number);
    getcontext(&task->context);
    task->context.uc_stack.ss_sp = stack;
    task->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&task->context, body_of_task, 0);
}

/* Any task may be the first. */
static uint32_t first_task(void) {
    uint32_t options[MOST_TASKS];

    for (uint32_t i = 0; i < it.tasks; i++)
        options[i] = i;
    return decide(options, it.tasks);
}

static void run_once(void) {
    restore_memory();
    schedule_forget_allocations();
    it.unmapped = 0;
    for (uint32_t i = 0; i < it.tasks; i++)
        begin_task(i);
    it.steps = it.preemptions = it.idle_checks = it.decided = 0;
    it.current = first_task();
    of_thread_load(&it.task[it.current].own);
    it.pruned = false;
    it.running = true;
    trace_switch(it.current);
    swapcontext(&it.driver, &it.task[it.current].context);
    it.running = false;
    if (it.pruned)
        return;
    if (slb_in_flight())
        schedule_broken("a task ended inside the core, depth %u", slb_in_flight_depth);
    it.scenario->check();
}

/* The next order in depth-first sequence; false after the last. */
static bool next_order(void) {
    while (it.planned != 0) {
        struct decision *last = &it.path[it.planned - 1];

        if (++last->taken < last->options)
            return true;
        it.planned--;
    }
    return false;
}

static void begin_scenario(const struct scenario *scenario) {
    static bool listening;
    static char alternate[64 * 1024];

    if (!listening) {
        stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

        listening = true;
        sigaltstack(&stack, NULL);
        sigaction(SIGSEGV, &action, NULL);
        sigaction(SIGBUS, &action, NULL);
        sigaction(SIGABRT, &action, NULL);
    }
    for (uint32_t i = 0; i < memory_count; i++)
        free(memories[i].first);
    memory_count = 0;
    it.scenario = scenario;
    for (it.tasks = 0; it.tasks < MOST_TASKS && scenario->task[it.tasks] != NULL;)
        it.tasks++;
    locations_forget();
    it.planned = it.decided = 0;
    it.order = NULL;
    of_thread_load(&(struct of_thread){
        .number = SLB_SECTION_NO_THREAD}); /* an order that was not run to its end left a task's */
    scenario->prepare();
    save_memory();
}

void schedule_search(const struct scenario *scenario, uint32_t preemptions) {
    uint64_t runs = 0, steps = 0;
    uint32_t shared = 0;

    begin_scenario(scenario);
    it.allowed = preemptions;
    for (;;) {
        run_once();
        runs += !it.pruned;
        steps += it.pruned ? 0 : it.steps;
        if (locations_shared() != shared) { /* more places to switch at: from the beginning */
            shared = locations_shared();
            it.planned = 0;
        } else if (!next_order()) {
            break;
        }
    }
    printf("%-28s %9llu orders with up to %u preemptions, %u shared locations, %llu steps: %s\n",
           scenario->name, (unsigned long long)runs, preemptions, shared, (unsigned long long)(steps / runs),
           scenario->says);
    fflush(stdout);
}

void schedule_replay(const struct scenario *scenario, const char *order) {
    begin_scenario(scenario);
    it.order = order;
    it.allowed = UINT32_MAX;
    trace_begin();
    run_once();
    trace_end();
    printf("%s: this order breaks nothing\n", scenario->name);
}
