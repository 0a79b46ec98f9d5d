/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trap_unload LIBRARY: a program that loads the library, uses it and unloads it. The kernel still holds the address of
 * the last sequence that the thread began, and looks at it when it next preempts the thread. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "slabby/slabby.h"

#include <dlfcn.h>
#include <sched.h>
#include <time.h>

static const char *library_path;

struct loaded {
    void *library;
    slabby_status (*create)(slabby_allocator **, uint64_t, uint64_t, const slabby_options *, slabby_error *);
    slabby_status (*allocate)(slabby_ref *, void **, slabby_allocator *);
    slabby_status (*release)(slabby_allocator *, slabby_ref);
    slabby_status (*destroy)(slabby_allocator *);
    slabby_status (*set_option)(slabby_allocator *, int32_t, int64_t, slabby_error *);
    slabby_status (*install_fault_handler)(slabby_error *);
};

static void *find(struct loaded *loaded, const char *name) {
    void *found = dlsym(loaded->library, name);

    assert_non_null(found);
    return found;
}

static void load(struct loaded *out) {
    out->library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
    if (out->library == NULL)
        print_error("%s\n", dlerror());
    assert_non_null(out->library);
    *(void **)&out->create = find(out, "slabby_create");
    *(void **)&out->allocate = find(out, "slabby_allocate");
    *(void **)&out->release = find(out, "slabby_release");
    *(void **)&out->destroy = find(out, "slabby_destroy");
    *(void **)&out->set_option = find(out, "slabby_set_option");
    *(void **)&out->install_fault_handler = find(out, "slabby_install_fault_handler");
}

/* Guards: unloading right behind a sequence harms nobody, whenever the next preemption comes. */
static void unloading_is_harmless(void **state) {
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct loaded loaded;
        slabby_allocator *pool = NULL;
        slabby_ref ref = 0;

        load(&loaded);
        assert_int_equal(loaded.create(&pool, 64, 1000, NULL, NULL), SLABBY_OK);
        assert_int_equal(loaded.allocate(&ref, NULL, pool), SLABBY_OK);
        assert_int_equal(loaded.release(pool, ref), SLABBY_OK);
        assert_int_equal(loaded.allocate(&ref, NULL, pool), SLABBY_OK);
        assert_int_equal(loaded.release(pool, ref), SLABBY_OK);
        assert_int_equal(loaded.destroy(pool), SLABBY_OK);
        assert_int_equal(dlclose(loaded.library), 0);
        sched_yield();
        sched_yield();
    }
}

/* Guards: the thread slabby-health and the handler of faults outlast the last dlclose. Nobody releases the slab. */
static void what_runs_on_is_not_unmapped(void **state) {
    struct loaded loaded;
    slabby_allocator *pool = NULL;
    slabby_ref ref = 0;
    struct timespec rest = {.tv_nsec = 20000000};

    (void)state;
    load(&loaded);
    assert_int_equal(loaded.create(&pool, 64, 1000, NULL, NULL), SLABBY_OK);
    assert_int_equal(loaded.set_option(pool, SLABBY_OPTION_HEALTH_INTERVAL, 1000000, NULL), SLABBY_OK);
    assert_int_equal(loaded.set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 1, NULL), SLABBY_OK);
    assert_int_equal(loaded.install_fault_handler(NULL), SLABBY_OK);
    assert_int_equal(loaded.allocate(&ref, NULL, pool), SLABBY_OK);
    assert_int_equal(dlclose(loaded.library), 0);
    nanosleep(&rest, NULL); /* the thread ticks; nothing to wait for */
    assert_int_equal(loaded.release(pool, ref), SLABBY_OK);
    assert_int_equal(loaded.destroy(pool), SLABBY_OK);
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unloading_is_harmless),
        cmocka_unit_test(what_runs_on_is_not_unmapped),
    };

    if (count != 2)
        return 2;
    library_path = arguments[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
