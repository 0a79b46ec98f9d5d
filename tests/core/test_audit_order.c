/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The order of audit records that several CPUs write at the same time: of a slab, of a thread, of the whole pool. */
#define _GNU_SOURCE
#include "support.h"
#include "backend.h"
#include "threads.h"

#include "pool.h"
#include "os/os.h"
#include "ref.h"
#include "test_hooks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, PAIRS = 1500, MAILBOXES = 32, CAPACITY = 64, MOST = 4 * THREADS * PAIRS };

/* Without padding: compared as bytes. */
struct step {
    int64_t operation;
    slabby_ref ref;
};

/* What one thread did, in its order. */
struct log {
    uint64_t thread;
    uint32_t count;
    struct step steps[2 * PAIRS + MAILBOXES];
};

/* What one reader found, by number; operation 0: lost. */
struct found {
    uint64_t cursor, lost;
    struct step steps[MOST];
    uint64_t threads[MOST];
};

struct exchange {
    slabby_allocator *pool;
    _Atomic(slabby_ref) mailboxes[MAILBOXES];
    struct log logs[THREADS];
    struct found found[2];
    atomic_uint working;
    unsigned cpus;
};

static struct exchange exchange;

static void note(struct log *log, int64_t operation, slabby_ref ref) {
    log->steps[log->count++] = (struct step){operation, ref};
}

/* Takes a slab, leaves it in a mailbox, and gives back what another thread has left there. */
static void exchange_slab(struct log *log, uint64_t random) {
    slabby_ref ref = 0;

    if (slabby_allocate(&ref, NULL, exchange.pool) != SLABBY_OK) {
        complain("an allocation was refused");
        return;
    }
    note(log, SLABBY_AUDIT_OPERATION_ALLOCATE, ref);
    ref = atomic_exchange(&exchange.mailboxes[random % MAILBOXES], ref);
    if (ref == 0)
        return;
    if (slabby_release(exchange.pool, ref) != SLABBY_OK)
        complain("a release was refused");
    note(log, SLABBY_AUDIT_OPERATION_RELEASE, ref);
}

static void write_records(struct worker *worker) {
    struct log *log = &exchange.logs[worker->index];

    log->thread = slb_os_thread();
    for (int i = 0; i < PAIRS && !threads_failed(); i++) {
        uint64_t random = random_next(&worker->random);
        if ((random >> 32) % 64 == 0)
            (void)run_on((unsigned)(random >> 40) % exchange.cpus);
        exchange_slab(log, random);
    }
    atomic_fetch_sub(&exchange.working, 1);
}

static void read_some(struct found *found) {
    slabby_audit_record records[32] = {{.struct_size = sizeof records[0]}};
    uint64_t count = 0;
    uint64_t lost = 0;
    uint64_t before = found->cursor;
    slabby_status status =
        slabby_audit_read(records, &count, &lost, &found->cursor, exchange.pool, COUNT_OF(records));

    if (status != SLABBY_OK || found->cursor != before + count + lost)
        complain("status %d, cursor %llu after %llu", status, (unsigned long long)found->cursor,
                 (unsigned long long)before);
    found->lost += lost;
    for (uint64_t i = 0; i < count && !threads_failed(); i++) {
        uint64_t at = records[i].sequence;
        if (at < before || at >= found->cursor || (i > 0 && at <= records[i - 1].sequence))
            complain("record %llu of %llu to %llu", (unsigned long long)at, (unsigned long long)before,
                     (unsigned long long)found->cursor);
        if (i > 0 && records[i].time_ns + 1000000000u < records[i - 1].time_ns)
            complain("record %llu is a second older than the one before", (unsigned long long)at);
        found->steps[at] = (struct step){records[i].operation, records[i].ref};
        found->threads[at] = records[i].thread;
    }
}

/* The last two threads read while the others write. */
static void write_or_read(struct worker *worker) {
    if (worker->index < THREADS) {
        write_records(worker);
        return;
    }
    while (atomic_load(&exchange.working) != 0 && !threads_failed())
        read_some(&exchange.found[worker->index - THREADS]);
}

static void read_the_rest(struct found *found) {
    uint64_t before;

    do {
        before = found->cursor;
        read_some(found);
    } while (found->cursor != before && !threads_failed());
}

/* A slab goes out under one reference, then comes back under it. */
static void check_slabs(const struct found *found) {
    slabby_ref out[CAPACITY] = {0};

    for (uint64_t at = 0; at < found->cursor; at++) {
        const struct step *step = &found->steps[at];
        uint64_t id = slb_ref_relative(exchange.pool, step->ref) & exchange.pool->id_mask;
        if (step->operation == SLABBY_AUDIT_OPERATION_ALLOCATE) {
            assert_int_equal(out[id], 0);
            out[id] = step->ref;
        } else if (step->operation == SLABBY_AUDIT_OPERATION_RELEASE) {
            assert_int_equal(out[id], step->ref);
            out[id] = 0;
        }
    }
}

/* What a thread did comes in its order; a record that was put together of two is none of these. */
static void check_threads(const struct found *found, bool keeps_all) {
    for (unsigned i = 0; i < THREADS; i++) {
        const struct log *log = &exchange.logs[i];
        uint32_t done = 0;
        for (uint64_t at = 0; at < found->cursor; at++) {
            const struct step *step = &found->steps[at];
            if (found->threads[at] != log->thread || step->operation == SLABBY_AUDIT_OPERATION_CREATE)
                continue;
            while (!keeps_all && done < log->count && memcmp(step, &log->steps[done], sizeof *step) != 0)
                done++;
            assert_true(done < log->count);
            assert_int_equal(step->operation, log->steps[done].operation);
            assert_int_equal(step->ref, log->steps[done++].ref);
        }
        assert_true(done == log->count || !keeps_all);
    }
}

static void check_readers_agree(void) {
    for (uint64_t at = 0; at < exchange.found[0].cursor; at++) {
        const struct step *one = &exchange.found[0].steps[at], *other = &exchange.found[1].steps[at];
        if (one->operation != 0 && other->operation != 0)
            assert_memory_equal(one, other, sizeof *one);
    }
}

static uint64_t written(void) {
    uint64_t count = 1; /* create */

    for (unsigned i = 0; i < THREADS; i++)
        count += exchange.logs[i].count;
    return count;
}

static void hammer(const struct setting *settings, bool keeps_all) {
    memset(&exchange, 0, sizeof exchange);
    exchange.pool = make_pool(64, CAPACITY, settings);
    exchange.cpus = exchange.pool->cpus;
    atomic_store(&exchange.working, THREADS);
    run_threads(THREADS + 2, write_or_read, NULL, test_seed());
    for (int i = 0; i < 2; i++) {
        read_the_rest(&exchange.found[i]);
        assert_no_thread_failed();
        assert_int_equal(exchange.found[i].cursor, written());
        check_threads(&exchange.found[i], keeps_all);
        if (!keeps_all)
            continue;
        assert_int_equal(exchange.found[i].lost, 0);
        check_slabs(&exchange.found[i]);
    }
    check_readers_agree();
    for (int i = 0; i < MAILBOXES; i++)
        if (exchange.mailboxes[i] != 0)
            CHECK_STATUS(slabby_release(exchange.pool, exchange.mailboxes[i]), SLABBY_OK);
    finish(exchange.pool);
}

static void hammer_each_backend(int64_t records, bool keeps_all) {
    for (size_t i = 0; i < COUNT_OF(all_backends); i++)
        if (backend_is_here(all_backends[i]))
            hammer(WITH({SLABBY_OPTION_AUDIT, records}, {SLABBY_OPTION_CPU_CACHE_BACKEND, all_backends[i]}),
                   keeps_all);
    hammer(WITH({SLABBY_OPTION_AUDIT, records}, {SLABBY_OPTION_PER_CPU_CACHE, 0}), keeps_all);
}

/* Guards: slabs wander between threads and CPUs while two readers follow: each slab's records are in the order of its
 * life, each thread's in the order of its calls, and nothing is lost. */
static void slabs_and_threads_keep_their_order(void **state) {
    (void)state;
    hammer_each_backend(MOST, true);
}

/* Guards: rings that are overwritten all the time: read + lost = written, no number names two records. */
static void overwritten_rings_add_up(void **state) {
    (void)state;
    hammer_each_backend(64, false);
    hammer_each_backend(1, false);
}

/* ------------------------------------------------------------------------------------ the whole pool */

struct turns {
    slabby_allocator *pool;
    pthread_barrier_t barrier;
};

enum { ROUNDS = 200 };

/* The two are on different CPUs, as far as there are two. */
static void take_turns(struct worker *worker) {
    struct turns *turns = worker->shared;

    (void)run_on(worker->index % turns->pool->cpus);
    for (int i = 0; i < ROUNDS; i++) {
        slabby_ref ref = 0;
        if (worker->index == 0 && (slabby_allocate(&ref, NULL, turns->pool) != SLABBY_OK ||
                                   slabby_release(turns->pool, ref) != SLABBY_OK))
            complain("a pair was refused");
        pthread_barrier_wait(&turns->barrier);
        if (worker->index == 1 &&
            slabby_set_option(turns->pool, SLABBY_OPTION_SECURE, i % 2, NULL) != SLABBY_OK)
            complain("a change was refused");
        pthread_barrier_wait(&turns->barrier);
    }
}

/* Guards: an operation on the whole pool is recorded behind what came before it on another CPU, and before what comes
 * after it there. */
static void changes_of_the_pool_stand_between(void **state) {
    static slabby_audit_record records[4 * ROUNDS];
    struct turns turns = {.pool = make_pool(64, 8, WITH({SLABBY_OPTION_AUDIT, 4 * ROUNDS}))};
    uint64_t count = 0;
    uint64_t lost = 0;
    uint64_t cursor = 1;

    (void)state;
    assert_int_equal(pthread_barrier_init(&turns.barrier, NULL, 2), 0);
    run_threads(2, take_turns, &turns, test_seed());
    assert_no_thread_failed();
    records[0].struct_size = sizeof records[0];
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, turns.pool, COUNT_OF(records)),
                 SLABBY_OK);
    assert_int_equal(count, 3 * ROUNDS);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(records[i].operation, i % 3 == 0   ? SLABBY_AUDIT_OPERATION_ALLOCATE
                                               : i % 3 == 1 ? SLABBY_AUDIT_OPERATION_RELEASE
                                                            : SLABBY_AUDIT_OPERATION_OPTION_CHANGE);
    pthread_barrier_destroy(&turns.barrier);
    finish(turns.pool);
}

/* ------------------------------------------------------------------------------------ writers that stop */

static _Thread_local int parks_here;
static atomic_int parked;

static void park(int point) {
    if (point != SLB_POINT_RING_WRITE || !parks_here)
        return;
    parks_here = 0;
    atomic_store(&parked, 1);
    WAIT_UNTIL(atomic_load(&parked) == 2);
}

static void *trim_and_park(void *pool) {
    parks_here = 1;
    if (slabby_trim(NULL, pool) != SLABBY_OK)
        complain("trim was refused");
    return NULL;
}

/* Guards: a writer that is stopped inside a ring holds no thread up: records of others are written and read, and its
 * own when it comes back. */
static void stopped_writers_stop_no_reader(void **state) {
    slabby_allocator *pool =
        make_pool(64, 8, WITH({SLABBY_OPTION_AUDIT, 64}, {SLABBY_OPTION_PER_CPU_CACHE, 0}));
    slabby_audit_record records[4] = {{.struct_size = sizeof records[0]}};
    pthread_t thread;
    uint64_t cursor = 1;
    uint64_t count = 0;
    uint64_t lost = 0;

    (void)state;
    slb_test_point = park;
    assert_int_equal(pthread_create(&thread, NULL, trim_and_park, pool), 0);
    WAIT_UNTIL(atomic_load(&parked) == 1);
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, 4), SLABBY_OK);
    assert_int_equal(count, 2);
    atomic_store(&parked, 2);
    assert_int_equal(pthread_join(thread, NULL), 0);
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, 4), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(lost, 0);
    assert_int_equal(records[0].operation, SLABBY_AUDIT_OPERATION_TRIM);
    slb_test_point = NULL;
    assert_no_thread_failed();
    finish(pool);
}

/* Guards: a listener owns the pool as others do, so its records are a retain and, behind it, an abandon. */
static void listeners_retain_and_abandon(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 64}));
    slabby_audit_record records[8] = {{.struct_size = sizeof records[0]}};
    uint64_t count = 0, lost = 0, cursor = 0;
    slabby_listener *listener;

    (void)state;
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, COUNT_OF(records)), SLABBY_OK);
    assert_true(count >= 2);
    assert_int_equal(records[count - 2].operation, SLABBY_AUDIT_OPERATION_RETAIN);
    assert_int_equal(records[count - 1].operation, SLABBY_AUDIT_OPERATION_ABANDON);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slabs_and_threads_keep_their_order),
        cmocka_unit_test(overwritten_rings_add_up),
        cmocka_unit_test(changes_of_the_pool_stand_between),
        cmocka_unit_test(stopped_writers_stop_no_reader),
        cmocka_unit_test(listeners_retain_and_abandon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
