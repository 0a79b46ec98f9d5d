/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Descriptors that become readable when an event of any pool is raised: none is missed, from any thread, while others
 * begin and end, and in a child of fork. */
#define _GNU_SOURCE
#include "support.h"
#include "threads.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHERS 16
#define NEWEST UINT64_MAX

static slabby_allocator *named_pool(const char *name) {
    slabby_options *options;
    slabby_allocator *pool = NULL;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "name", name, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 1, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    return pool;
}

static int begin(void) {
    int32_t descriptor = -1;
    slabby_error error = fresh_error();
    CHECK_STATUS(slabby_watch_begin(&descriptor, &error), SLABBY_OK);
    assert_true(descriptor >= 0);
    return descriptor;
}

static int is_readable(int descriptor, int timeout_ms) {
    struct pollfd input = {.fd = descriptor, .events = POLLIN};
    return poll(&input, 1, timeout_ms) == 1;
}

/* The next event; code 0 where there is none. */
static slabby_event next(uint64_t *cursor) {
    slabby_event event = {.struct_size = sizeof event};
    uint64_t count = 0, lost = 0;
    CHECK_STATUS(slabby_watch_read(&event, &count, &lost, cursor, 1), SLABBY_OK);
    assert_int_equal(lost, 0);
    if (count == 0)
        event.code = 0;
    return event;
}

static uint64_t newest(void) {
    uint64_t cursor = NEWEST, count = 77;
    CHECK_STATUS(slabby_watch_read(NULL, &count, NULL, &cursor, 0), SLABBY_OK);
    assert_int_equal(count, 0);
    assert_int_not_equal(cursor, NEWEST);
    assert_int_equal(next(&cursor).code, 0);
    return cursor;
}

/* Guards: an event makes the descriptor readable, carries its pool, and can be read after the pool is gone. */
static void an_event_is_heard(void **state) {
    (void)state;
    int descriptor = begin();
    uint64_t cursor = newest();
    assert_false(is_readable(descriptor, 0));
    slabby_allocator *pool = named_pool("orders");
    slabby_ref ref = take(pool), none = 0;
    assert_true(is_readable(descriptor, 1000));
    CHECK_STATUS(slabby_watch_clear(descriptor), SLABBY_OK);
    assert_false(is_readable(descriptor, 0));
    CHECK_STATUS(slabby_allocate(&none, NULL, pool), SLABBY_OUT_OF_MEMORY);
    assert_true(is_readable(descriptor, 1000));
    CHECK_STATUS(slabby_watch_clear(descriptor), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    slabby_event opened = next(&cursor), exhausted = next(&cursor), closed = next(&cursor);
    assert_int_equal(opened.code, SLABBY_EVENT_CODE_OPENED);
    assert_int_equal(exhausted.code, SLABBY_EVENT_CODE_EXHAUSTED);
    assert_int_equal(closed.code, SLABBY_EVENT_CODE_CLOSED);
    assert_string_equal(exhausted.pool, "orders");
    assert_int_equal(exhausted.allocator_address, (uint64_t)(uintptr_t)pool);
    assert_int_equal(exhausted.level, SLABBY_EVENT_LEVEL_WARNING);
    assert_true(strstr(exhausted.text, "orders") != NULL && exhausted.time_ns != 0);
    assert_int_equal(exhausted.sequence, opened.sequence + 1);
    assert_int_equal(next(&cursor).code, 0);
    CHECK_STATUS(slabby_watch_end(descriptor), SLABBY_OK);
}

/* Guards: each watcher hears an event, also after another has read it. */
static void several_watchers_hear_it(void **state) {
    (void)state;
    int first = begin(), second = begin(), third = begin();
    CHECK_STATUS(slabby_watch_end(second), SLABBY_OK);
    for (int round = 0; round < 2; round++) {
        slabby_allocator *pool = named_pool("orders");
        assert_true(is_readable(first, 0));
        CHECK_STATUS(slabby_watch_clear(first), SLABBY_OK);
        assert_false(is_readable(first, 0));
        assert_true(is_readable(third, 0));
        finish(pool);
        CHECK_STATUS(slabby_watch_clear(first), SLABBY_OK);
        CHECK_STATUS(slabby_watch_clear(third), SLABBY_OK);
    }
    CHECK_STATUS(slabby_watch_end(first), SLABBY_OK);
    CHECK_STATUS(slabby_watch_end(third), SLABBY_OK);
}

static void logger(void *context, const slabby_event *event) {
    *(slabby_event *)context = *event;
}

/* Guards: a logger and the pool's own ring get the pool's label too. */
static void every_reader_learns_the_pool(void **state) {
    (void)state;
    slabby_event heard = {0}, read = {.struct_size = sizeof read};
    slabby_options *options;
    slabby_allocator *pool = NULL;
    uint64_t cursor = 0, count = 0;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "name", "a b", NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, logger, &heard, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 1, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    char label[80];
    CHECK_STATUS(slabby_pool_label(label, sizeof label, NULL, pool), SLABBY_OK);
    assert_string_equal(heard.pool, label);
    CHECK_STATUS(slabby_events_read(&read, &count, NULL, &cursor, pool, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_string_equal(read.pool, label);
    assert_int_equal(read.allocator_address, (uint64_t)(uintptr_t)pool);
    finish(pool);
}

/* Guards: bad arguments change nothing, and the 17th watcher is refused. */
static void bad_arguments_are_refused(void **state) {
    (void)state;
    slabby_event event = {.struct_size = 4};
    uint64_t count = 77, cursor = newest(), far = cursor + 1000;
    int32_t descriptor = -7;
    slabby_error error = fresh_error();
    CHECK_STATUS(slabby_watch_begin(NULL, &error), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_watch_clear(-1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_watch_clear(STDIN_FILENO), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_watch_end(STDIN_FILENO), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_watch_read(NULL, &count, NULL, &cursor, 1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_watch_read(&event, NULL, NULL, &cursor, 1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_watch_read(&event, &count, NULL, NULL, 1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_watch_read(&event, &count, NULL, &cursor, 1), SLABBY_ABI_MISMATCH);
    event.struct_size = sizeof event;
    CHECK_STATUS(slabby_watch_read(&event, &count, NULL, &far, 1), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(count, 77);
    int descriptors[WATCHERS];
    for (int i = 0; i < WATCHERS; i++)
        descriptors[i] = begin();
    CHECK_STATUS(slabby_watch_begin(&descriptor, &error), SLABBY_BUSY);
    assert_int_equal(descriptor, -7);
    assert_non_null(strstr(error.text, "16"));
    for (int i = 0; i < WATCHERS; i++)
        CHECK_STATUS(slabby_watch_end(descriptors[i]), SLABBY_OK);
    CHECK_STATUS(slabby_watch_end(descriptors[0]), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(fcntl(descriptors[0], F_GETFD), -1);
}

/* ------------------------------------------------------------------------------------------------- threads */

#define RAISERS 2
#define POOLS 2000

struct load {
    int descriptor;
    uint64_t cursor;
    _Atomic int ended;
};

static void raise_events(void) {
    for (int i = 0; i < POOLS; i++) {
        slabby_allocator *pool = NULL;
        if (slabby_create(&pool, 64, 1, NULL, NULL) != SLABBY_OK || slabby_destroy(pool) != SLABBY_OK)
            complain("a pool could not be made or destroyed");
    }
}

/* Every pool raises two events. A wake-up that is missed shows as a wait that ends by time. */
static void watch_events(struct load *load) {
    static slabby_event events[64];
    uint64_t heard = 0, count, lost;
    while (heard < 2ull * RAISERS * POOLS && !threads_failed()) {
        if (!is_readable(load->descriptor, 60000))
            complain("nothing to hear after %d of %d events", (int)heard, 2 * RAISERS * POOLS);
        if (slabby_watch_clear(load->descriptor) != SLABBY_OK)
            complain("not cleared");
        do {
            events[0].struct_size = sizeof events[0];
            if (slabby_watch_read(events, &count, &lost, &load->cursor, COUNT_OF(events)) != SLABBY_OK)
                complain("not read");
            heard += count + lost;
        } while (count != 0);
    }
}

static void raise_and_watch(struct worker *worker) {
    struct load *load = worker->shared;
    if (worker->index == 0)
        watch_events(load);
    else if (worker->index <= RAISERS)
        raise_events();
    /* others begin and end watching, so that descriptors are closed beside raisers */
    else
        while (!atomic_load(&load->ended)) {
            int32_t descriptor = -1;
            if (slabby_watch_begin(&descriptor, NULL) != SLABBY_OK ||
                slabby_watch_end(descriptor) != SLABBY_OK)
                complain("could not begin and end to watch");
        }
    if (worker->index == 0)
        atomic_store(&load->ended, 1);
}

/* Guards: no wake-up is missed, and every event is read or counted as lost. */
static void no_event_is_missed(void **state) {
    (void)state;
    struct load load = {.descriptor = begin(), .cursor = newest()};
    run_threads(RAISERS + 2, raise_and_watch, &load, test_seed());
    assert_no_thread_failed();
    CHECK_STATUS(slabby_watch_end(load.descriptor), SLABBY_OK);
}

/* Guards: what a child raises makes its own descriptor readable, and not its parent's. */
static void a_child_has_its_own(void **state) {
    (void)state;
    slabby_allocator *pool = named_pool("orders");
    int descriptor = begin();
    pid_t child = fork();
    if (child == 0) {
        uint64_t cursor = newest();
        slabby_allocator *own = named_pool("child");
        int heard = is_readable(descriptor, 1000) && next(&cursor).code == SLABBY_EVENT_CODE_OPENED;
        _exit(heard && own != NULL ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_false(is_readable(descriptor, 0));
    CHECK_STATUS(slabby_watch_end(descriptor), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_heard),         cmocka_unit_test(every_reader_learns_the_pool),
        cmocka_unit_test(bad_arguments_are_refused), cmocka_unit_test(no_event_is_missed),
        cmocka_unit_test(a_child_has_its_own),       cmocka_unit_test(several_watchers_hear_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
