/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pools that come and go: what an ended pool keeps is bounded. Each option set runs in a process of its own, whose
 * address space, resident and locked memory after many cycles must be what they were after a few. */
#include "resident.h"
#include "support.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FIRST_CHECK = 500,
    LAST_CHECK = 2000,
    SLABS = 100000,
    FEW_SLABS = 100,
    TABLE_ENTRIES = 4096,
    STATUS_BYTES = 4096
};

struct option_set {
    const char *name;
    uint64_t slabs;
    struct setting settings[5];
};

static const struct option_set sets[] = {
    {"none", SLABS, {{0, 0}}},
    {"debug", SLABS, {{SLABBY_OPTION_DEBUG, 1}}},
    {"audit", SLABS, {{SLABBY_OPTION_AUDIT, 65536}}},
    {"secure, bit_guard", SLABS, {{SLABBY_OPTION_SECURE, 1}, {SLABBY_OPTION_BIT_GUARD, 1}}},
    {"reuse_delay, shuffle", SLABS, {{SLABBY_OPTION_REUSE_DELAY, 1000}, {SLABBY_OPTION_SHUFFLE, 1}}},
    {"guard_pages", FEW_SLABS, {{SLABBY_OPTION_GUARD_PAGES, 1}}},
    {"guard slots", SLABS, {{SLABBY_OPTION_GUARD_SAMPLE_RATE, 1}, {SLABBY_OPTION_GUARD_SLOTS, 64}}},
    {"heap_fallback",
     FEW_SLABS,
     {{SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 100000}}},
    {"portable", SLABS, {{SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}}},
    {"no caches", SLABS, {{SLABBY_OPTION_PER_CPU_CACHE, 0}}},
    {"prefault, locked",
     FEW_SLABS,
     {{SLABBY_OPTION_PREFAULT, 1}, {SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT}}},
    {"every latency", SLABS, {{SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL}}},
    {"health thread", SLABS, {{SLABBY_OPTION_HEALTH_CHECKS, 1}}},
    {"max_capacity", FEW_SLABS, {{SLABBY_OPTION_MAX_CAPACITY, SLABS}}},
};

struct footprint {
    unsigned long size, resident, locked; /* kB */
};

static struct footprint footprint_now(void) {
    char text[STATUS_BYTES] = "";
    struct footprint found = {.resident = (unsigned long)(resident_mib() * 1024)};
    FILE *file = fopen("/proc/self/status", "r");

    if (file == NULL || fread(text, 1, sizeof text - 1, file) == 0)
        _exit(3);
    fclose(file);
    sscanf(strstr(text, "VmSize:"), "VmSize: %lu", &found.size);
    sscanf(strstr(text, "VmLck:"), "VmLck: %lu", &found.locked);
    return found;
}

/* Makes a pool, uses what is mapped on first use too, and destroys it. */
static void cycle(const struct option_set *set, uint64_t number) {
    slabby_allocator *pool;
    slabby_error error = {.struct_size = sizeof error};
    slabby_ref refs[FEW_SLABS + 10];
    uint64_t count = set->slabs == FEW_SLABS ? FEW_SLABS : 10;
    uint64_t label;

    if (try_pool(&pool, 64, set->slabs, set->settings, &error) != SLABBY_OK) {
        fprintf(stderr, "%s, cycle %llu: %s\n", set->name, (unsigned long long)number, error.text);
        _exit(4);
    }
    for (uint64_t i = 0; i < count; i++)
        CHECK_STATUS(slabby_allocate(&refs[i], NULL, pool), SLABBY_OK);
    if (slabby_allocate(&refs[count], NULL, pool) == SLABBY_OK) /* of the heap, where there is one */
        count++;
    CHECK_STATUS(slabby_set_label(pool, refs[0], number), SLABBY_OK);
    CHECK_STATUS(slabby_get_label(&label, pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_report_leak(pool, refs[0], NULL, 0), SLABBY_OK);
    for (uint64_t i = 0; i < count; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* The control blocks stay: 12 MB for 4,095 pools, resident once each was used. */
static void touch_every_entry(void) {
    slabby_allocator *pool;

    for (int i = 0; i < TABLE_ENTRIES; i++) {
        CHECK_STATUS(try_pool(&pool, 8, 1, NULL, NULL), SLABBY_OK);
        CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    }
}

static bool is_flat(const struct option_set *set, const char *what, unsigned long before,
                    unsigned long after) {
    if (after <= before + before / 100 + 64) /* a few pages of the C library's own */
        return true;
    fprintf(stderr, "%s: %s grew from %lu to %lu kB\n", set->name, what, before, after);
    return false;
}

/* In the child. 0: flat. */
static int run_set(const struct option_set *set, bool locked) {
    const struct rlimit two_gigabytes = {2ul << 30, 2ul << 30};
    uint64_t last = scaled(LAST_CHECK);
    struct footprint first = {0, 0, 0}, then;
    slabby_allocator *stays;
    bool flat = true;

    if (last < FIRST_CHECK + 100)
        last = FIRST_CHECK + 100;
    if (locked && mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        return 77;
    if (!locked && setrlimit(RLIMIT_AS, &two_gigabytes) != 0)
        return 5;
    touch_every_entry();
    /* one pool stays, so that the health thread, which all pools share, neither ends nor begins */
    CHECK_STATUS(try_pool(&stays, 64, set->slabs, set->settings, NULL), SLABBY_OK);
    for (uint64_t i = 1; i <= last; i++) {
        cycle(set, i);
        if (i == FIRST_CHECK)
            first = footprint_now();
    }
    then = footprint_now();
    CHECK_STATUS(slabby_destroy(stays), SLABBY_OK);
    flat &= is_flat(set, "address space", first.size, then.size);
    flat &= is_flat(set, "resident memory", first.resident, then.resident);
    flat &= is_flat(set, "locked memory", first.locked, then.locked);
    return flat ? 0 : 1;
}

static void expect_flat(const struct option_set *set, bool locked) {
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(run_set(set, locked));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s%s: wait status 0x%x", set->name, locked ? ", all memory locked" : "", (unsigned)status);
}

/* Guards: ended pools kept their mappings: a loop of create, use, destroy under a limit of address space. */
static void dead_pools_keep_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        expect_flat(&sets[i], false);
}

/* Guards: the same where every mapping is locked memory. Pools of few slabs: all of them becomes resident. */
static void locked_programs_stay_small(void **state) {
    struct option_set set = {"none", FEW_SLABS, {{0, 0}}};

    (void)state;
    expect_flat(&set, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_pools_keep_nothing),
        cmocka_unit_test(locked_programs_stay_small),
    };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    puts("skipped: a sanitizer's own memory grows, and it needs more address space than the limit");
    return 77;
#endif
    resident_pages_stay_small();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
