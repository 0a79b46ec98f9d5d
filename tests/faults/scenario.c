/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

enum { CAPACITY = 8, GROWN = 14, BEYOND = 2, SLAB_SIZE = 4000 };

enum step {
    STEP_OPTIONS,
    STEP_CREATE,
    STEP_ALLOCATE,
    STEP_HEAP,
    STEP_LABEL,
    STEP_SWITCH,
    STEP_LISTENER,
    STEP_TICKET,
    STEP_VERIFY,
    STEP_TRIM,
    STEP_RESIZE,
    STEP_METRICS,
    STEP_WATCH,
    STEP_END,
    STEPS
};

static const char *const step_names[STEPS] = {"options",    "create",   "allocate", "heap",   "label",
                                              "set_option", "listener", "ticket",   "verify", "trim",
                                              "resize",     "metrics",  "watch",    "the end"};

/* What a step answers when the system refuses a call of a kind. A pair without a row is absorbed: OK. */
struct expectation {
    enum step step;
    enum inject_kind kind;
    slabby_status status;
    bool absorbable; /* OK is right too: the call served something that can be had in another way */
    bool
        if_lock_required; /* the row holds where lock_memory is required; elsewhere the refusal is absorbed */
    const char *words[4]; /* one of them is in the error's text */
};

static const struct expectation expectations[] = {
    {STEP_OPTIONS, INJECT_MALLOC, SLABBY_NO_SYSTEM_MEMORY, false, false, {NULL}},
    {STEP_CREATE,
     INJECT_MMAP,
     SLABBY_NO_SYSTEM_MEMORY,
     false,
     false,
     {"for the slabs", "for bookkeeping", "for the stacks", "guard slots"}},
    {STEP_CREATE,
     INJECT_MPROTECT,
     SLABBY_NO_SYSTEM_MEMORY,
     false,
     false,
     {"for the slabs", "guard page", "guard slots"}},
    {STEP_CREATE, INJECT_MLOCK, SLABBY_NO_SYSTEM_MEMORY, false, true, {"lock"}},
    {STEP_CREATE, INJECT_MADVISE, SLABBY_NO_SYSTEM_MEMORY, true, false, {"guard", "prefault"}},
    {STEP_CREATE, INJECT_MADVISE, SLABBY_NOT_SUPPORTED, true, false, {"huge_pages", "no_dump"}},
    {STEP_CREATE, INJECT_THREAD, SLABBY_NO_SYSTEM_MEMORY, false, false, {"health_checks"}},
    {STEP_HEAP, INJECT_MMAP, SLABBY_NO_SYSTEM_MEMORY, false, false, {NULL}},
    {STEP_HEAP, INJECT_MALLOC, SLABBY_NO_SYSTEM_MEMORY, false, false, {NULL}},
    {STEP_LABEL, INJECT_MMAP, SLABBY_NO_SYSTEM_MEMORY, false, false, {NULL}},
    {STEP_SWITCH, INJECT_MMAP, SLABBY_NO_SYSTEM_MEMORY, false, false, {"stacks", "guard slots"}},
    {STEP_SWITCH, INJECT_MPROTECT, SLABBY_NO_SYSTEM_MEMORY, false, false, {"guard slots"}},
    {STEP_SWITCH, INJECT_MLOCK, SLABBY_NO_SYSTEM_MEMORY, false, true, {"guard slots"}},
    {STEP_SWITCH, INJECT_MADVISE, SLABBY_NO_SYSTEM_MEMORY, true, false, {"guard slots"}},
    {STEP_SWITCH, INJECT_THREAD, SLABBY_NO_SYSTEM_MEMORY, false, false, {"health_checks"}},
    {STEP_LISTENER, INJECT_MALLOC, SLABBY_NO_SYSTEM_MEMORY, false, false, {"listener"}},
    {STEP_LISTENER, INJECT_DESCRIPTOR, SLABBY_NO_SYSTEM_MEMORY, false, false, {"listener"}},
    {STEP_TICKET, INJECT_MALLOC, SLABBY_NO_SYSTEM_MEMORY, false, false, {NULL}},
    {STEP_TICKET, INJECT_MMAP, SLABBY_NO_SYSTEM_MEMORY, false, false, {NULL}},
    {STEP_VERIFY, INJECT_MMAP, SLABBY_NO_SYSTEM_MEMORY, false, false, {NULL}},
    {STEP_RESIZE, INJECT_MPROTECT, SLABBY_NO_SYSTEM_MEMORY, false, false, {"further slabs", "guard page"}},
    {STEP_RESIZE, INJECT_MLOCK, SLABBY_NO_SYSTEM_MEMORY, false, true, {"lock"}},
    {STEP_RESIZE, INJECT_MADVISE, SLABBY_NO_SYSTEM_MEMORY, true, false, {"guard", "prefault"}},
    {STEP_RESIZE, INJECT_MADVISE, SLABBY_NOT_SUPPORTED, true, false, {"huge_pages", "no_dump"}},
    {STEP_METRICS, INJECT_MALLOC, SLABBY_NO_SYSTEM_MEMORY, false, false, {NULL}},
    {STEP_WATCH, INJECT_DESCRIPTOR, SLABBY_NO_SYSTEM_MEMORY, false, false, {"descriptor"}},
};

struct life {
    const struct scenario_set *set;
    enum inject_kind kind;
    slabby_allocator *pool;
    slabby_ref refs[CAPACITY + BEYOND];
    uint64_t count;
    uint64_t fired; /* before the step that is under way */
};

/* ---------------------------------------------------------------------------------------- the expectations */

static bool names_cause(const struct expectation *row, const char *text) {
    for (size_t i = 0; i < COUNT_OF(row->words) && row->words[i] != NULL; i++)
        if (strstr(text, row->words[i]) != NULL)
            return true;
    return false;
}

static bool expected(const struct life *life, enum step step, slabby_status status,
                     const slabby_error *error) {
    bool absorbed = true; /* no row demands an error */
    for (size_t i = 0; i < COUNT_OF(expectations); i++) {
        const struct expectation *row = &expectations[i];
        if (row->step != step || row->kind != life->kind ||
            (row->if_lock_required && !life->set->lock_required))
            continue;
        absorbed = absorbed && row->absorbable;
        if (status == row->status &&
            (error == NULL || (error->status == status && names_cause(row, error->text))))
            return true;
    }
    return absorbed && status == SLABBY_OK;
}

/* A step ended with a status: the natural one where no call of it was refused, else what the table says. True if it
 * went well. */
static bool meet(struct life *life, enum step step, slabby_status natural, slabby_status status,
                 const slabby_error *error) {
    bool refused = inject_fired() != life->fired;
    life->fired = inject_fired();
    bool right = status == natural || (refused && status != SLABBY_OK);
    if (refused && natural == SLABBY_OK)
        right = expected(life, step, status, error);
    if (!right)
        print_error("%s, %s, %s %s: answered %s \"%s\"\n", life->set->name, step_names[step],
                    inject_kind_name(life->kind), refused ? "refused" : "not refused",
                    slabby_status_name(status), error == NULL ? "" : error->text);
    assert_true(right);
    return status == SLABBY_OK;
}

/* ------------------------------------------------------------------------------------------------ the steps */

static slabby_options *write_options(const struct scenario_set *set) {
    slabby_options *options = NULL;
    if (slabby_options_create(&options) != SLABBY_OK)
        return NULL;
    for (const struct setting *next = set->settings; next->option != 0; next++)
        CHECK_STATUS(slabby_options_set(options, next->option, next->value, NULL), SLABBY_OK);
    return options;
}

static bool begin(struct life *life) {
    slabby_error error = fresh_error();
    slabby_options *options = write_options(life->set);
    if (!meet(life, STEP_OPTIONS, SLABBY_OK, options == NULL ? SLABBY_NO_SYSTEM_MEMORY : SLABBY_OK, NULL))
        return false;
    slabby_status status = slabby_create(&life->pool, SLAB_SIZE, CAPACITY, options, &error);
    slabby_options_destroy(options);
    if (meet(life, STEP_CREATE, SLABBY_OK, status, &error))
        return true;
    assert_null(life->pool);
    return false;
}

/* With `secure` on, nothing of a former owner is left, whatever the system refused. */
static void check_secrets(struct life *life, const unsigned char *data) {
    int64_t secure = 0;
    CHECK_STATUS(slabby_get_option(&secure, life->pool, SLABBY_OPTION_SECURE), SLABBY_OK);
    for (size_t i = 0; i < SLAB_SIZE && secure != 0; i++)
        assert_int_equal(data[i], 0);
}

static void take_slabs(struct life *life, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        enum step step = life->count < CAPACITY ? STEP_ALLOCATE : STEP_HEAP;
        slabby_status natural = step == STEP_ALLOCATE || life->set->heap ? SLABBY_OK : SLABBY_OUT_OF_MEMORY;
        void *data = NULL;
        slabby_status status = slabby_allocate(&life->refs[life->count], &data, life->pool);
        if (!meet(life, step, natural, status, NULL))
            continue;
        check_secrets(life, data);
        memset(data, 0xA5, SLAB_SIZE);
        life->count++;
    }
}

static void give_slabs(struct life *life, uint64_t down_to) {
    while (life->count > down_to)
        meet(life, STEP_END, SLABBY_OK, slabby_release(life->pool, life->refs[--life->count]), NULL);
}

/* The pool is full: a ticket is granted by the heap or by the release that follows. The second is left to destroy. */
static void listen(struct life *life) {
    slabby_error error = fresh_error();
    slabby_listener *listener = NULL;
    uint64_t ticket = 0, granted = 0;
    slabby_ref ref = 0;
    int32_t fd;
    if (!meet(life, STEP_LISTENER, SLABBY_OK, slabby_listener_create(&listener, &fd, life->pool, &error),
              &error))
        return;
    bool waits = meet(life, STEP_TICKET, SLABBY_OK, slabby_wait_begin(&ticket, listener, 0), NULL);
    give_slabs(life, life->count - 1);
    meet(life, STEP_END, SLABBY_OK, slabby_wait_take(&ticket, &ref, NULL, &granted, listener, 1), NULL);
    assert_int_equal(granted, waits ? 1 : 0);
    (void)meet(life, STEP_TICKET, SLABBY_OK, slabby_wait_begin(&ticket, listener, 0), NULL);
    if (granted != 0)
        meet(life, STEP_END, SLABBY_OK, slabby_release(life->pool, ref), NULL);
    meet(life, STEP_END, SLABBY_OK, slabby_listener_destroy(listener), NULL);
}

static void switch_options(struct life *life) {
    const struct setting changes[] = {{SLABBY_OPTION_DEBUG, 1},  {SLABBY_OPTION_GUARD_SAMPLE_RATE, 2},
                                      {SLABBY_OPTION_SECURE, 1}, {SLABBY_OPTION_LATENCY_TRACKING, 2},
                                      {SLABBY_OPTION_DEBUG, 0},  {SLABBY_OPTION_HEALTH_CHECKS, 1}};
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        slabby_error error = fresh_error();
        slabby_status status = slabby_set_option(life->pool, changes[i].option, changes[i].value, &error);
        meet(life, STEP_SWITCH, SLABBY_OK, status, &error);
    }
}

static void check(struct life *life) {
    uint64_t number = 0;
    meet(life, STEP_VERIFY, SLABBY_OK, slabby_verify(NULL, &number, life->pool, 0), NULL);
    assert_int_equal(number, 0);
    meet(life, STEP_TRIM, SLABBY_OK, slabby_trim(&number, life->pool), NULL);
}

/* Grows, where the set allows it and the system too, and shrinks again under slabs that are out. */
static void resize(struct life *life) {
    int64_t most = 0;
    slabby_ref refs[GROWN];
    uint64_t released = 0, awaited = 77;
    slabby_error error = fresh_error();
    CHECK_STATUS(slabby_get_option(&most, life->pool, SLABBY_OPTION_MAX_CAPACITY), SLABBY_OK);
    if (most < GROWN)
        return;
    if (!meet(life, STEP_RESIZE, SLABBY_OK, slabby_resize(&awaited, life->pool, GROWN, &error), &error)) {
        assert_int_equal(awaited, 77);
        assert_int_equal(stats_of(life->pool).total_slabs, CAPACITY);
        return;
    }
    meet(life, STEP_ALLOCATE, SLABBY_OK, slabby_allocate_batch(refs, NULL, life->pool, GROWN), NULL);
    meet(life, STEP_RESIZE, SLABBY_OK, slabby_resize(&awaited, life->pool, CAPACITY, NULL), NULL);
    assert_int_equal(awaited, GROWN - CAPACITY);
    meet(life, STEP_END, SLABBY_OK, slabby_release_batch(&released, life->pool, refs, GROWN), NULL);
    assert_int_equal(stats_of(life->pool).awaited_slabs, 0);
}

/* The metrics of every pool, which need memory of the heap; of one pool, which need none. A refusal writes nothing. */
static void expose(struct life *life) {
    static char text[32768];
    uint64_t length = 77;
    text[0] = 'x';
    if (meet(life, STEP_METRICS, SLABBY_OK, slabby_metrics_text(text, sizeof text, &length, NULL), NULL)) {
        assert_int_equal(strlen(text), length);
    } else {
        assert_int_equal(length, 77);
        assert_int_equal(text[0], 'x');
    }
    CHECK_STATUS(slabby_metrics_text(text, sizeof text, &length, life->pool), SLABBY_OK);
}

static void watch(struct life *life) {
    slabby_error error = fresh_error();
    int32_t descriptor = -7;
    if (meet(life, STEP_WATCH, SLABBY_OK, slabby_watch_begin(&descriptor, &error), &error))
        CHECK_STATUS(slabby_watch_end(descriptor), SLABBY_OK);
    else
        assert_int_equal(descriptor, -7);
}

/* Sound, and every slab can be had, while the system refuses nothing. */
static void stay_sound(struct life *life) {
    slabby_ref refs[CAPACITY];
    uint64_t released = 0;
    inject_pause();
    check_sound(life->pool, 0);
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, life->pool, CAPACITY), SLABBY_OK);
    check_sound(life->pool, CAPACITY);
    CHECK_STATUS(slabby_release_batch(&released, life->pool, refs, CAPACITY), SLABBY_OK);
    check_sound(life->pool, 0);
    inject_resume();
}

/* Closed with a slab out, whose release returns the pages; then destroyed. */
static void end(struct life *life) {
    take_slabs(life, 1);
    meet(life, STEP_END, SLABBY_OK, slabby_close(life->pool), NULL);
    give_slabs(life, 0);
    meet(life, STEP_END, SLABBY_OK, slabby_destroy(life->pool), NULL);
}

static void live(struct life *life) {
    if (!begin(life))
        return;
    take_slabs(life, CAPACITY + BEYOND);
    meet(life, STEP_LABEL, SLABBY_OK, slabby_set_label(life->pool, life->refs[0], 7), NULL);
    listen(life);
    switch_options(life);
    give_slabs(life, 0);
    take_slabs(life, CAPACITY + BEYOND);
    give_slabs(life, 0);
    resize(life);
    check(life);
    expose(life);
    watch(life);
    stay_sound(life);
    end(life);
}

bool scenario_with_refusal(const struct scenario_set *set, enum inject_kind kind, uint64_t k, bool on) {
    struct life life = {.set = set, .kind = kind};
    inject_await_threads();
    struct inject_balance before = inject_balance();
    inject_set(kind, k, on);
    live(&life);
    inject_pause();
    struct inject_balance after = inject_balance();
    if (after.blocks != before.blocks || after.descriptors != before.descriptors)
        print_error("%s, %s number %d refused: %d blocks and %d descriptors leaked\n", set->name,
                    inject_kind_name(kind), (int)k, (int)(after.blocks - before.blocks),
                    (int)(after.descriptors - before.descriptors));
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.descriptors, before.descriptors);
    return inject_fired() != 0;
}

bool scenario_is_possible(const struct scenario_set *set, slabby_error *out_reason) {
    slabby_allocator *pool = NULL;
    *out_reason = fresh_error();
    if (try_pool(&pool, SLAB_SIZE, CAPACITY, set->settings, out_reason) != SLABBY_OK)
        return false;
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    return true;
}
