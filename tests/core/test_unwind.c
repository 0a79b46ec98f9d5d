/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stacks walked by remembered frame information, against libc's walker. In test builds slb_os_stack compares the two
 * itself each time, and aborts when they differ. */
#define _GNU_SOURCE
#include "support.h"

#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "skip.h"

#include "os/stack.h"
#include "os/unwind.h"
#include "observe/stack_record.h"

#define SEPARATE __attribute__((noinline))
#define KEEP_FRAME(value) __asm__ __volatile__("" : "+r"(value)) /* no tail call */

#ifdef SLB_OS_REGISTERS_HERE

/* Whether this stack could be walked by rules alone; walks it both ways. */
static SEPARATE int walks_by_rules(void *unused) {
    uintptr_t frames[SLB_STACK_FRAMES];
    struct slb_os_registers here;
    uint32_t count = 0;

    (void)unused;
    (void)slb_os_stack(frames, SLB_STACK_FRAMES);
    SLB_OS_REGISTERS_HERE(here);
    return slb_os_unwind(&here, frames, SLB_STACK_FRAMES, &count) && count > 0;
}

static SEPARATE int with_alloca(int size) {
    volatile char *bytes = alloca((size_t)size);
    bytes[size - 1] = 0;
    int result = walks_by_rules(NULL);
    KEEP_FRAME(result);
    return result;
}

static SEPARATE int recursive(int depth, int size) {
    int result = depth == 0 ? with_alloca(size) : recursive(depth - 1, size);
    KEEP_FRAME(result);
    return result;
}

/* Guards: frames of any depth, also those whose size changes from call to call. */
static void ordinary_stacks_need_no_tables(void **state) {
    (void)state;
    for (int depth = 0; depth < 40; depth++)
        for (int size = 1; size < 5000; size += 997)
            assert_true(recursive(depth, size));
}

static int compare_walking(const void *left, const void *right) {
    assert_true(walks_by_rules(NULL));
    return *(const int *)left - *(const int *)right;
}

/* Guards: through libc, which other tools built. */
static void callbacks_of_libc_are_walked(void **state) {
    int values[] = {3, 1, 2, 5, 4};

    (void)state;
    qsort(values, COUNT_OF(values), sizeof values[0], compare_walking);
    assert_int_equal(values[4], 5);
}

static void *walk_in_thread(void *walked) {
    *(int *)walked = walks_by_rules(NULL);
    return NULL;
}

/* Guards: a thread's stack ends where the system began it. */
static void threads_are_walked_to_their_start(void **state) {
    pthread_t thread;
    int walked = 0;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, walk_in_thread, &walked), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(walked);
}

/* Its base is neither rsp nor rbp: the compiler aligns the stack and keeps the way back elsewhere. */
static SEPARATE int with_aligned_frame(int size) {
    _Alignas(128) volatile char aligned[128];
    volatile char *bytes = alloca((size_t)size);
    aligned[0] = bytes[0] = 0;
    int result = walks_by_rules((void *)aligned);
    KEEP_FRAME(result);
    return result + aligned[0];
}

static volatile sig_atomic_t handled;

static void walk_in_handler(int signal) {
    (void)signal;
    handled = 1 + walks_by_rules(NULL);
}

/* Guards: what rules cannot say is left to libc's walker, with the same result (slb_os_stack compares). */
static void unusual_stacks_are_left_to_the_tables(void **state) {
    (void)state;
    (void)with_aligned_frame(100);
    signal(SIGUSR1, walk_in_handler);
    raise(SIGUSR1);
    assert_int_equal(handled, 1);
}

static SEPARATE int walk_through(const char *path) {
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    int (*call_back)(int (*)(void *), void *);
    int walked;

    assert_non_null(module);
    *(void **)&call_back = dlsym(module, "call_back");
    assert_non_null(call_back);
    walked = call_back(walks_by_rules, NULL) + 2 * call_back(walks_by_rules, NULL);
    assert_int_equal(dlclose(module), 0);
    return walked;
}

/* Guards: the rules of a library that was unloaded are not those of the one that lies there now. */
static void unloaded_code_is_forgotten(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(walk_through(UNWIND_SMALL), 3);
        assert_int_equal(walk_through(UNWIND_LARGE), 3);
    }
}

static void *walk_often(void *argument) {
    (void)argument;
    for (int i = 0; i < 300; i++)
        if (!recursive(i % 30, 1 + i))
            return "a stack was not walked by rules";
    return NULL;
}

/* Guards: threads that learn rules at once never use half of one. */
static void threads_share_the_rules(void **state) {
    pthread_t threads[4];
    void *fault = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, walk_often, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &fault), 0);
        assert_null(fault);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_stacks_need_no_tables),
        cmocka_unit_test(callbacks_of_libc_are_walked),
        cmocka_unit_test(threads_are_walked_to_their_start),
        cmocka_unit_test(unusual_stacks_are_left_to_the_tables),
        cmocka_unit_test(unloaded_code_is_forgotten),
        cmocka_unit_test(threads_share_the_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) {
    skip_all("libc walks the stacks of this system");
}

#endif
