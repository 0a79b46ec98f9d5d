/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leases, used as a binding uses them. */
#include <stdbool.h>

#include "lease_user.h"
#include "os/os.h"
#include "skip.h"
#include "support.h"
#include "threads.h"

#include <pthread.h>

static uint64_t length_of(uint64_t magazine) {
    return atomic_load(lease_header(magazine)) & LEASE_LOCKED;
}

static struct lease_user use_lease(slabby_allocator *pool, uint64_t leases, uint64_t at) {
    return (struct lease_user){.pool = pool, .view = view_of(pool), .lease = leases + at * LEASE_BYTES};
}

static uint64_t attach(slabby_allocator *pool, uint64_t count) {
    uint64_t address = 0;
    CHECK_STATUS(slabby_lease_attach(&address, pool, count, SLABBY_LEASE_LAYOUT), SLABBY_OK);
    return address;
}

/* Guards: leases are refused by name where there are none to have. */
static void attaching_has_limits(void **state) {
    slabby_allocator *pool = make_pool(64, 1000, NULL);
    slabby_allocator *tiny = make_pool(64, 7, NULL);
    slabby_allocator *uncached = make_pool(64, 1000, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}));
    uint64_t address = 77;

    (void)state;
    CHECK_STATUS(slabby_lease_attach(NULL, pool, 1, SLABBY_LEASE_LAYOUT), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_lease_attach(&address, pool, 0, SLABBY_LEASE_LAYOUT), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_lease_attach(&address, pool, 4097, SLABBY_LEASE_LAYOUT), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_lease_attach(&address, pool, 1, SLABBY_LEASE_LAYOUT + 1), SLABBY_ABI_MISMATCH);
    CHECK_STATUS(slabby_lease_attach(&address, tiny, 1, SLABBY_LEASE_LAYOUT), SLABBY_NOT_SUPPORTED);
    assert_int_equal(stats_of(tiny).errors[-SLABBY_NOT_SUPPORTED], 0); /* a question, not a mistake */
    CHECK_STATUS(slabby_lease_attach(&address, uncached, 1, SLABBY_LEASE_LAYOUT), SLABBY_NOT_SUPPORTED);
    CHECK_STATUS(slabby_lease_attach(&address, pool, 126, SLABBY_LEASE_LAYOUT), SLABBY_NOT_SUPPORTED);
    assert_int_equal(address, 77);
    CHECK_STATUS(slabby_lease_detach(pool, 77), SLABBY_INVALID_ARGUMENT);
    address = attach(pool, 2);
    CHECK_STATUS(slabby_lease_detach(pool, address + LEASE_BYTES), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_lease_detach(pool, address), SLABBY_OK);
    CHECK_STATUS(slabby_lease_detach(pool, address), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(attach(pool, 2), address);
    assert_int_not_equal(attach(pool, 2), address);
    finish(pool);
    finish(tiny);
    finish(uncached);
}

/* So large, on one CPU and on many, that a magazine of two leases holds more than 40 ids: then none is flushed, and
 * refills, each of which is timed, are rare. */
static uint64_t ample_slabs(void) {
    return (slb_os_usable_cpus() + 1ull) * 500;
}

/* Guards: a pool with leases biases no word of a batch to a CPU, which their users could not release. */
static void batches_are_released_by_leases(void **state) {
    enum { ROUNDS = 20, COUNT = 8 };
    slabby_allocator *pool = make_pool(64, 1000, NULL);
    struct lease_user user = use_lease(pool, attach(pool, 1), 0);
    const uint64_t *words =
        (const uint64_t *)(uintptr_t)user.view.words_address; /* biased: 8, see slab_word.h */
    slabby_ref refs[COUNT];
    uint32_t id = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, COUNT), SLABBY_OK);
        for (int i = 0; i < COUNT; i++) {
            CHECK_STATUS(slabby_id(&id, pool, refs[i]), SLABBY_OK);
            assert_int_equal(words[id] & 8, 0);
        }
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, COUNT), SLABBY_OK);
    }
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, COUNT), SLABBY_OK);
    user.crossings = 0;
    for (int i = 0; i < COUNT; i++)
        CHECK_STATUS(lease_user_release(&user, refs[i]), SLABBY_OK);
    assert_int_equal(user.crossings, 0);
    finish(pool);
}

/* Guards: what a user does shows in the statistics, to the unit, and nearly all of it without a call. */
static void leases_are_counted(void **state) {
    enum { ROUNDS = 10000, HELD = 40 };
    slabby_allocator *pool = make_pool(64, ample_slabs(), NULL);
    uint64_t leases = attach(pool, 2);
    struct lease_user user = use_lease(pool, leases, 1);
    slabby_ref refs[HELD];

    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < HELD; i++)
            CHECK_STATUS(lease_user_allocate(&user, &refs[i]), SLABBY_OK);
        slabby_stats stats = stats_of(pool);
        assert_int_equal(stats.total_allocations, (round + 1) * HELD);
        assert_int_equal(stats.used_slabs, HELD);
        for (int i = 0; i < HELD; i++)
            CHECK_STATUS(lease_user_release(&user, refs[i]), SLABBY_OK);
        assert_int_equal(stats_of(pool).total_deallocations, (round + 1) * HELD);
    }
    slabby_stats stats = stats_of(pool);
    assert_true(stats.cached_slabs >= HELD);
    assert_true(user.crossings < ROUNDS * HELD / 30);
    assert_in_range(stats.latency_samples, ROUNDS * HELD / 512, ROUNDS * HELD / 32);
    CHECK_STATUS(lease_user_release(&user, refs[0]), SLABBY_DOUBLE_DEALLOCATION);
    finish(pool);
}

/* Guards: slabs in a lease serve every caller: no OutOfMemory while any is free, and none handed out
 * twice. While the gate is closed the lease is locked, and its user goes through the core. */
static void exhaustion_counts_leases(void **state) {
    enum { SLABS = 200 };
    slabby_allocator *pool = make_pool(64, SLABS, NULL);
    struct lease_user user = use_lease(pool, attach(pool, 1), 0);
    slabby_ref refs[SLABS], ref;

    (void)state;
    for (int i = 0; i < 20; i++)
        CHECK_STATUS(lease_user_allocate(&user, &refs[i]), SLABBY_OK);
    for (int i = 0; i < 20; i++)
        CHECK_STATUS(lease_user_release(&user, refs[i]), SLABBY_OK);
    assert_true(length_of(user.lease) > 0);
    for (int i = 0; i < SLABS; i++)
        refs[i] = take(pool);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OUT_OF_MEMORY);
    assert_int_equal(length_of(user.lease), LEASE_LOCKED);
    assert_int_equal(length_of(user.lease + LEASE_REFILLED), LEASE_LOCKED);
    CHECK_STATUS(lease_user_allocate(&user, &ref), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_lease_try(&ref, pool, user.lease), SLABBY_OUT_OF_MEMORY);
    assert_int_equal(stats_of(pool).errors[-SLABBY_OUT_OF_MEMORY], 2);
    CHECK_STATUS(lease_user_release(&user, refs[0]), SLABBY_OK);
    CHECK_STATUS(lease_user_allocate(&user, &refs[0]), SLABBY_OK);
    for (int i = 0; i < SLABS; i++)
        CHECK_STATUS(lease_user_release(&user, refs[i]), SLABBY_OK);
    assert_int_not_equal(length_of(user.lease), LEASE_LOCKED);
    finish(pool);
}

/* Guards: detached leases hold nothing, are locked, and count on; attached again they serve. */
static void detached_leases_hold_nothing(void **state) {
    slabby_allocator *pool = make_pool(64, 1000, NULL);
    uint64_t leases = attach(pool, 1);
    struct lease_user user = use_lease(pool, leases, 0);
    slabby_ref ref;

    (void)state;
    CHECK_STATUS(lease_user_allocate(&user, &ref), SLABBY_OK);
    CHECK_STATUS(lease_user_release(&user, ref), SLABBY_OK);
    CHECK_STATUS(slabby_lease_detach(pool, leases), SLABBY_OK);
    assert_int_equal(length_of(user.lease), LEASE_LOCKED);
    assert_int_equal(stats_of(pool).cached_slabs, 0);
    assert_int_equal(stats_of(pool).total_allocations, 1);
    CHECK_STATUS(lease_user_allocate(&user, &ref), SLABBY_OK); /* as without a lease */
    CHECK_STATUS(lease_user_release(&user, ref), SLABBY_OK);
    assert_int_equal(length_of(user.lease), LEASE_LOCKED);
    check_sound(pool, 0);
    assert_int_equal(attach(pool, 1), leases);
    CHECK_STATUS(lease_user_allocate(&user, &ref), SLABBY_OK);
    assert_true(length_of(user.lease + LEASE_REFILLED) > 0 &&
                length_of(user.lease + LEASE_REFILLED) < LEASE_LOCKED);
    CHECK_STATUS(lease_user_release(&user, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: an id that a user has stored above the length, before the core changed the lease, harms nothing; its
 * compare-and-swap fails. */
static void late_stores_harm_nothing(void **state) {
    slabby_allocator *pool = make_pool(64, 1000, NULL);
    struct lease_user user = use_lease(pool, attach(pool, 1), 0);
    slabby_ref refs[120];
    uint32_t max = lease_max(user.lease);

    (void)state;
    for (uint32_t i = 0; i < max; i++)
        CHECK_STATUS(lease_user_allocate(&user, &refs[i]), SLABBY_OK);
    for (uint32_t i = 0; i + 1 < max; i++)
        CHECK_STATUS(lease_user_release(&user, refs[i]), SLABBY_OK);
    uint64_t seen = atomic_load(lease_header(user.lease));
    assert_int_equal(seen & LEASE_LOCKED, max - 1);
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_OK); /* empties every cache */
    atomic_store(lease_id(user.lease, max - 1), 4711);
    assert_int_equal(length_of(user.lease), 0);
    assert_false(atomic_compare_exchange_strong(lease_header(user.lease), &seen, seen + 1));
    CHECK_STATUS(lease_user_release(&user, refs[max - 1]), SLABBY_OK);
    finish(pool);
}

/* Guards: a slab whose word is not free is not taken back unchecked. */
static void returns_are_checked(void **state) {
    slabby_allocator *pool = make_pool(64, 1000, NULL);
    struct lease_user user = use_lease(pool, attach(pool, 1), 0);
    slabby_ref ref = take(pool);

    (void)state;
    CHECK_STATUS(slabby_lease_return(pool, user.lease, ref, 0), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_lease_return(pool, user.lease, 1000, 1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_lease_return(pool, user.lease, 999, 1), SLABBY_INVALID_ARGUMENT); /* never used */
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* ------------------------------------------------------------------------------------------------ threads */

enum { THREADS = 6, CAPACITY = 64 };

struct shared {
    slabby_allocator *pool;
    uint64_t leases;
    atomic_int credits, next, refused, running;
    atomic_uchar holders[CAPACITY];
};

static void *hammer(void *argument) {
    struct shared *shared = argument;
    int number = atomic_fetch_add(&shared->next, 1);
    struct lease_user user = use_lease(shared->pool, shared->leases, (uint64_t)number);
    for (uint64_t i = 0; i < scaled(40000); i++) {
        slabby_ref ref;
        uint32_t id;
        if (atomic_fetch_sub(&shared->credits, 1) <= 0) {
            atomic_fetch_add(&shared->credits, 1);
            continue;
        }
        /* every third thread is a C program without a lease */
        slabby_status status =
            number % 3 == 2 ? slabby_allocate(&ref, NULL, shared->pool) : lease_user_allocate(&user, &ref);
        if (status == SLABBY_OK && slabby_id(&id, shared->pool, ref) == SLABBY_OK) {
            atomic_fetch_add(&shared->refused, atomic_exchange(&shared->holders[id], 1) != 0);
            atomic_store(&shared->holders[id], 0);
            status = number % 2 == 1 ? slabby_release(shared->pool, ref) : lease_user_release(&user, ref);
        }
        atomic_fetch_add(&shared->refused, status != SLABBY_OK);
        atomic_fetch_add(&shared->credits, 1);
    }
    atomic_fetch_sub(&shared->running, 1);
    return NULL;
}

/* Guards: law 1 with leases: a caller with a credit gets a slab, in whichever lease it lies, while the gate opens and
 * closes all the time. */
static void credits_never_meet_out_of_memory(void **state) {
    slabby_allocator *pool = make_pool(64, CAPACITY, NULL);
    struct shared shared = {.pool = pool, .leases = attach(pool, THREADS)};
    pthread_t threads[THREADS];

    (void)state;
    atomic_store(&shared.credits, CAPACITY);
    atomic_store(&shared.running, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &shared), 0);
    while (atomic_load(&shared.running) != 0)
        assert_true(slabby_trim(NULL, pool) != SLABBY_CLOSED);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&shared.refused), 0);
    assert_int_equal(stats_of(pool).total_allocations, stats_of(pool).total_deallocations);
    finish(pool);
}

/* A tool that watches each release, such as AddressSanitizer, is a protection, and then no lease may be used. */
static bool leases_may_be_used(void) {
    slabby_allocator *pool = make_pool(64, 1000, NULL);
    const uint32_t *mode = (const uint32_t *)(uintptr_t)view_of(pool).mode_address;
    bool unwatched = *mode == 0;

    finish(pool);
    return unwatched;
}

/* With an argument: on one CPU. */
int main(int count, char **words) {
    (void)words;
    if (count > 1)
        (void)stay_on_one_cpu(NULL);
    if (!leases_may_be_used())
        skip_all("a tool watches every release, so leases are not used");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attaching_has_limits),         cmocka_unit_test(batches_are_released_by_leases),
        cmocka_unit_test(leases_are_counted),           cmocka_unit_test(exhaustion_counts_leases),
        cmocka_unit_test(detached_leases_hold_nothing), cmocka_unit_test(late_stores_harm_nothing),
        cmocka_unit_test(returns_are_checked),          cmocka_unit_test(credits_never_meet_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
