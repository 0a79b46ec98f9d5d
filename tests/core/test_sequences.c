/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The restartable sequences one by one, over a CPU cache of this test's own: what each changes, what it
 * refuses, and that an interruption before its last store leaves everything as it was. */
#define _GNU_SOURCE
#include "backend.h"
#include "support.h"
#include "threads.h"

#include <stdio.h>
#include <string.h>

#include "tiers/cpu_cache.h"

#if SLB_HAVE_RSEQ

#include "rseq_stops.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum sequence {
    TAKE,
    TAKE_UNTIMED,
    GIVE,
#ifdef SLB_RSEQ_COUNTS_FAST
    TAKE_FAST,
    TAKE_COUNTED,
    GIVE_FAST,
#endif
    ADD,
    GIVE_BATCH,
    TAKE_BATCH,
    SERVE_BATCH,
    FOLD,
    AUDIT,
    SWAP,
    RELEASE,
    RELEASE_NEXT,
    RELEASE_FAST,
    SEQUENCES
};

enum { MOST = 8, BATCH = 5, GIVEN = 77, ADDED = 7 };

#define FOLDED (1ull << 40)

/* The word of slab 2, live in its tenth generation. */
#define SWAPPED 2
#define ID_BITS 6
#define LAST 63 /* generation */
#define LIVE_WORD slb_word_make(ID_BITS, 10, SLABBY_SLAB_STATE_LIVE)
#define FREE_WORD slb_word_make(ID_BITS, 11, SLABBY_SLAB_STATE_FREE)

static const uint32_t batch_in[BATCH] = {101, 102, 103, 104, 105};

/* An audit record: the thread, status, binding and operation are one word here. */
enum { SLOTS = 4, RECORDED_REF = 0x123, RECORDED_ABOUT = 0x456 };

static struct slabby_allocator pool;
static struct slb_cpu_cache *cache; /* of the CPU that the test stays on */
static _Atomic uint64_t words[SWAPPED + 2];
static uint32_t own_cpu, add_on;
static uint32_t taken[BATCH];
static struct slb_audit_merged merged;
static struct slb_audit_ring *ring; /* of the same CPU */
static struct slb_audit_slot slots[SLOTS];
static uint64_t record_key;

static uint64_t header_of(uint64_t served, uint32_t length) {
    return served << 16 | length;
}

/* The ids below the length are 10, 20, 30, ...; those above it are not 0, so that each write shows. */
static void lay_out(uint64_t served, uint32_t length) {
    memset((void *)cache, 0, sizeof *cache);
    for (uint32_t i = 0; i < SLB_CACHE_IDS; i++)
        cache->ids[i] = (i + 1) * 10;
    atomic_store(&cache->sample_at, SLB_SAMPLE_POINT(served + SLB_SAMPLE_AHEAD_MOST));
    atomic_store(&cache->header, header_of(served, length));
    memset(taken, 0, sizeof taken);
    atomic_store(&words[SWAPPED], LIVE_WORD | slb_word_mark(own_cpu));
    atomic_store(&ring->head, 0);
    atomic_store(&merged.floor, 0);
    memset((void *)slots, 0, sizeof slots);
    record_key = 1;
}

static enum slb_rseq_result take_batch(uint64_t change) {
    struct slb_cpu_cache *served;
    enum slb_rseq_result result =
        slb_rseq_try_take_batch(&pool, &pool.caches, &pool.hot_cpus, taken, BATCH, change, &served);

    if (result == SLB_RSEQ_DONE)
        assert_ptr_equal(served, cache);
    return result;
}

static enum slb_rseq_result run_once(enum sequence sequence) {
    struct slb_cpu_cache *served;

    switch (sequence) {
    case TAKE:
        return slb_rseq_try_take(&pool, taken);
    case TAKE_UNTIMED:;
        uint64_t id;
        if (!slb_rseq_take_untimed(&pool, &pool.hot_cpus, &id, &served))
            return SLB_RSEQ_REFUSED;
        *taken = (uint32_t)id;
        assert_ptr_equal(served, cache);
        return SLB_RSEQ_DONE;
#ifdef SLB_RSEQ_COUNTS_FAST
    case TAKE_FAST:;
        served = cache;
        enum slb_rseq_result result = slb_rseq_take_fast(&pool, &pool.hot_cpus, taken, &served);
        assert_ptr_equal(served, cache);
        return result;
    case TAKE_COUNTED:
        return slb_rseq_try_take_counted(&pool, taken);
    case GIVE_FAST:
        return slb_rseq_try_give_fast(&pool, GIVEN);
#endif
    case GIVE:
        return slb_rseq_try_give(SLB_RSEQ_AREA, &pool, GIVEN);
    case RELEASE_FAST:
        return slb_rseq_release_fast(&pool, SWAPPED);
    case ADD:
        return slb_rseq_try_add(add_on, &cache->fast_given, ADDED);
    case GIVE_BATCH:
        return slb_rseq_try_give_batch(&pool, &pool.return_caches, batch_in, BATCH);
    case TAKE_BATCH:
        return take_batch(-(uint64_t)BATCH);
    case SERVE_BATCH:
        return take_batch(BATCH * (uint64_t)SLB_CACHE_TAKE);
    case AUDIT:
        return slb_rseq_try_audit(&pool, &record_key, RECORDED_REF, RECORDED_ABOUT);
    case RELEASE_NEXT:
        return slb_rseq_release_next(SLB_RSEQ_AREA, &words[SWAPPED], &pool.release_cpus,
                                     LIVE_WORD | SLB_WORD_BIASED, FREE_WORD)
                   ? SLB_RSEQ_DONE
                   : SLB_RSEQ_REFUSED;
    case SWAP:
        return slb_rseq_try_swap(&pool, SWAPPED, LIVE_WORD | SLB_WORD_BIASED, FREE_WORD);
    case RELEASE:
        return slb_rseq_release(SLB_RSEQ_AREA, &pool, &pool.ref_limit, SWAPPED,
                                LIVE_WORD - SLABBY_SLAB_STATE_LIVE);
    default:
        return slb_rseq_try_fold(&pool, FOLDED);
    }
}

/* The kernel may interrupt any try; one in a row that it leaves alone is enough. */
static void expect_done(enum sequence sequence) {
    for (int tries = 0; tries < 1000; tries++)
        if (run_once(sequence) == SLB_RSEQ_DONE)
            return;
    fail_msg("sequence %d was never done", (int)sequence);
}

static void expect_refused(enum sequence sequence) {
    struct slb_cpu_cache before;
    enum slb_rseq_result result = SLB_RSEQ_RESTARTED;

    uint64_t word = atomic_load(&words[SWAPPED]);
    memcpy((void *)&before, (void *)cache, sizeof before);
    for (int tries = 0; tries < 1000 && result == SLB_RSEQ_RESTARTED; tries++)
        result = run_once(sequence);
    if (result != SLB_RSEQ_REFUSED)
        fail_msg("sequence %d answered %d", (int)sequence, (int)result);
    assert_memory_equal((void *)&before, (void *)cache, sizeof before);
    assert_int_equal(atomic_load(&words[SWAPPED]), word);
    assert_int_equal(atomic_load(&ring->head), 0);
    assert_int_equal(record_key, 1);
}

static int lay_out_on_one_cpu(void **state) {
    uint32_t cpus = slb_os_cpu_count();
    int cpu = sched_getcpu();

    (void)state;
    if (!slb_os_has_rseq() || cpu < 0 || (uint32_t)cpu >= cpus || cpu >= CPU_SETSIZE ||
        !run_on((unsigned)cpu))
        return 0;
    pool.caches = aligned_alloc(SLB_CACHE_LINE, cpus * sizeof *pool.caches);
    pool.audit = (struct slb_audit){.merged = &merged, .mask = SLOTS - 1};
    pool.audit.rings = aligned_alloc(SLB_CACHE_LINE, cpus * sizeof *pool.audit.rings);
    if (pool.caches == NULL || pool.audit.rings == NULL)
        return -1;
    ring = &pool.audit.rings[cpu];
    ring->slots = slots;
    pool.return_caches = pool.caches;
    pool.cache_max = MOST;
    pool.cpus = cpus;
    atomic_store(&pool.used_cpus, cpus);
    atomic_store(&pool.rseq_cpus, cpus);
    atomic_store(&pool.word_cpus, cpus);
    atomic_store(&pool.hot_cpus, cpus);
    atomic_store(&pool.release_cpus, cpus);
    pool.words = words;
    pool.id_mask = (1u << ID_BITS) - 1;
    pool.generation_step = 1u << ID_BITS;
    pool.ref_end = (uint64_t)LAST << ID_BITS;
    atomic_store(&pool.ref_limit, pool.ref_end);
    own_cpu = add_on = (uint32_t)cpu;
    cache = &pool.caches[cpu].cache;
    return 0;
}

static int let_go(void **state) {
    (void)state;
    free(pool.caches);
    free(pool.audit.rings);
    return 0;
}

/* Guards: each sequence commits exactly its own change. */
static void each_does_its_work(void **state) {
    (void)state;
    need_sequences(cache != NULL);
    lay_out(5, 3);
    expect_done(TAKE);
    assert_int_equal(taken[0], 30);
    assert_int_equal(atomic_load(&cache->header), header_of(6, 2));
    expect_done(TAKE_UNTIMED);
    assert_int_equal(taken[0], 20);
    assert_int_equal(atomic_load(&cache->header), header_of(7, 1));
    expect_done(GIVE);
    assert_int_equal(cache->ids[1], GIVEN);
    assert_int_equal(atomic_load(&cache->header), header_of(7, 2));
    expect_done(GIVE_BATCH);
    assert_memory_equal(&cache->ids[2], batch_in, sizeof batch_in);
    assert_int_equal(atomic_load(&cache->header), header_of(7, 2 + BATCH));
    expect_done(TAKE_BATCH);
    assert_memory_equal(taken, batch_in, sizeof taken);
    assert_int_equal(atomic_load(&cache->header), header_of(7, 2));
    expect_done(GIVE_BATCH);
    expect_done(SERVE_BATCH);
    assert_memory_equal(taken, batch_in, sizeof taken);
    assert_int_equal(atomic_load(&cache->header), header_of(7 + BATCH, 2));
    atomic_store(&cache->header, header_of(7, 2));
    expect_done(ADD);
    assert_int_equal(atomic_load(&cache->fast_given), ADDED);
    assert_int_equal(atomic_load(&cache->header), header_of(7, 2));
    assert_int_equal(cache->ids[0], 10);
    assert_int_equal(cache->ids[2 + BATCH], (2 + BATCH + 1) * 10);
}

#ifdef SLB_RSEQ_COUNTS_FAST
/* Guards: uses by id are counted with the header, and nothing beside the two changes. */
static void uses_by_id_are_counted(void **state) {
    (void)state;
    need_sequences(cache != NULL);
    lay_out(5, 3);
    expect_done(TAKE_FAST);
    assert_int_equal(taken[0], 30);
    assert_int_equal(atomic_load(&cache->header), header_of(6, 2));
    assert_int_equal(atomic_load(&cache->fast_taken), 1);
    expect_done(GIVE_FAST);
    assert_int_equal(cache->ids[2], GIVEN);
    assert_int_equal(atomic_load(&cache->header), header_of(6, 3));
    assert_int_equal(atomic_load(&cache->fast_given), 1);
    assert_int_equal(atomic_load(&cache->fast_taken), 1);
    assert_int_equal(atomic_load(&cache->sample_at), SLB_SAMPLE_POINT(5 + SLB_SAMPLE_AHEAD_MOST));
}
#endif

/* Guards: a release by id is for words that are live by id, biased to this CPU, and not of the last generation. */
static void release_by_id_is_for_the_owner(void **state) {
    const uint64_t live = slb_word_make(ID_BITS, 10, SLABBY_SLAB_STATE_LIVE_FAST);
    const uint64_t refused[] = {
        live,                                    /* plain */
        live | slb_word_mark(SLB_WORD_REVOKING), /* being shared */
        live | slb_word_mark(own_cpu + 1),       /* another CPU's */
        LIVE_WORD | slb_word_mark(own_cpu),      /* by reference */
        FREE_WORD,                               /* free */
        slb_word_make(ID_BITS, LAST, SLABBY_SLAB_STATE_LIVE_FAST) | slb_word_mark(own_cpu), /* the last */
        live | slb_word_mark(own_cpu) | SLB_WORD_GUARDED, /* on a guard slot */
    };

    (void)state;
    need_sequences(cache != NULL);
    lay_out(5, 3);
    atomic_store(&words[SWAPPED], live | slb_word_mark(own_cpu));
    expect_done(RELEASE_FAST);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        assert_int_equal(atomic_load(&words[i]), i == SWAPPED ? FREE_WORD : 0);
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        atomic_store(&words[SWAPPED], refused[i]);
        expect_refused(RELEASE_FAST);
    }
}

/* Guards: a fold takes off served allocations and leaves the length. */
static void fold_takes_off_what_was_served(void **state) {
    (void)state;
    need_sequences(cache != NULL);
    lay_out(FOLDED + 9, 4);
    expect_done(FOLD);
    assert_int_equal(atomic_load(&cache->header), header_of(9, 4));
    expect_refused(FOLD);
}

/* Guards: a record goes into the next slot and no other, with the wanted key, or one above that of the record before
 * and above the floor. */
static void records_rise(void **state) {
    static const struct {
        uint64_t head, before, floor, wanted, given;
    } cases[] = {
        {0, 0, 0, 1, 1},         /* the first, in memory that was never written */
        {6, 100, 50, 200, 200},  /* as wanted */
        {6, 100, 50, 101, 101},  /* just above the one before */
        {6, 100, 50, 100, 101},  /* as the one before */
        {7, 100, 50, 3, 101},    /* below it; the last slot */
        {8, 100, 150, 151, 151}, /* just above the floor; the first slot again, behind the last */
        {9, 100, 150, 150, 151}, /* as the floor */
        {9, 100, 150, 120, 151}, /* between the one before and the floor */
    };

    (void)state;
    need_sequences(cache != NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t at = cases[i].head % SLOTS;
        lay_out(5, 3);
        atomic_store(&ring->head, cases[i].head);
        atomic_store(&slots[(cases[i].head + SLOTS - 1) % SLOTS].key, cases[i].before);
        atomic_store(&merged.floor, cases[i].floor);
        record_key = cases[i].wanted;
        expect_done(AUDIT);
        assert_int_equal(record_key, cases[i].given);
        assert_int_equal(atomic_load(&ring->head), cases[i].head + 1);
        for (size_t slot = 0; slot < SLOTS; slot++) {
            uint64_t other = (slot + 1) % SLOTS == at ? cases[i].before : 0;
            assert_int_equal(atomic_load(&slots[slot].key), slot == at ? cases[i].given : other);
            assert_int_equal(atomic_load(&slots[slot].ref), slot == at ? RECORDED_REF : 0);
            assert_int_equal(atomic_load(&slots[slot].about), slot == at ? RECORDED_ABOUT : 0);
        }
        assert_ptr_equal(ring->slots, slots);
    }
}

/* Guards: a biased word changes on its CPU alone, and no word beside it. */
static void swap_is_for_the_owner(void **state) {
    const uint64_t refused[] = {
        LIVE_WORD,                                                                  /* plain */
        LIVE_WORD | SLB_WORD_PIN,                                                   /* pinned */
        LIVE_WORD | slb_word_mark(SLB_WORD_REVOKING),                               /* being shared */
        LIVE_WORD | slb_word_mark(own_cpu + 1),                                     /* another CPU's */
        FREE_WORD,                                                                  /* free */
        slb_word_make(ID_BITS, 9, SLABBY_SLAB_STATE_LIVE) | slb_word_mark(own_cpu), /* older */
    };

    (void)state;
    need_sequences(cache != NULL);
    for (enum sequence sequence = SWAP; sequence <= RELEASE_NEXT; sequence++) {
        lay_out(5, 3);
        expect_done(sequence);
        for (size_t i = 0; i < COUNT_OF(words); i++)
            assert_int_equal(atomic_load(&words[i]), i == SWAPPED ? FREE_WORD : 0);
        assert_int_equal(atomic_load(&cache->header), header_of(5, 3));
        for (size_t i = 0; i < COUNT_OF(refused); i++) {
            atomic_store(&words[SWAPPED], refused[i]);
            expect_refused(sequence);
        }
    }
}

/* Guards: the next of several releases leaves words alone where protections act. */
static void the_next_release_steps_aside(void **state) {
    (void)state;
    need_sequences(cache != NULL);
    atomic_store(&pool.release_cpus, own_cpu);
    lay_out(5, 3);
    expect_refused(RELEASE_NEXT);
    atomic_store(&pool.release_cpus, pool.cpus);
}

/* Guards: empty, full, too short, too full; the bounds themselves are accepted. */
static void each_refuses_what_does_not_fit(void **state) {
    static const enum sequence takers[] = {TAKE, TAKE_UNTIMED, TAKE_BATCH, SERVE_BATCH};
    static const enum sequence givers[] = {GIVE, GIVE_BATCH};

    (void)state;
    need_sequences(cache != NULL);
    lay_out(5, 0);
    for (size_t i = 0; i < COUNT_OF(takers); i++)
        expect_refused(takers[i]);
    lay_out(5, MOST);
    for (size_t i = 0; i < COUNT_OF(givers); i++)
        expect_refused(givers[i]);
    lay_out(5, BATCH - 1);
    expect_refused(TAKE_BATCH);
    lay_out(5, BATCH);
    expect_done(TAKE_BATCH);
    assert_int_equal(atomic_load(&cache->header), header_of(5, 0));
    lay_out(5, MOST - BATCH + 1);
    expect_refused(GIVE_BATCH);
    lay_out(5, MOST - BATCH);
    expect_done(GIVE_BATCH);
    assert_int_equal(atomic_load(&cache->header), header_of(5, MOST));
    expect_done(TAKE);
    expect_done(GIVE);
    assert_int_equal(atomic_load(&cache->header), header_of(6, MOST));
}

/* Guards: the gate's lock, a CPU beyond the table, an allocation that is due to be timed. */
static void each_is_refused_on_demand(void **state) {
    uint32_t cpus = pool.rseq_cpus;

    (void)state;
    need_sequences(cache != NULL);
    lay_out(2 * FOLDED, SLB_CACHE_LOCKED);
    for (enum sequence sequence = TAKE; sequence < SEQUENCES; sequence++)
        if (sequence != ADD && sequence < AUDIT) /* which do not touch the header */
            expect_refused(sequence);
    lay_out(2 * FOLDED, 4);
    pool.rseq_cpus = 0;
    atomic_store(&pool.hot_cpus, 0);
    add_on = own_cpu + 1;
    for (enum sequence sequence = TAKE; sequence < RELEASE; sequence++)
        expect_refused(sequence);
    add_on = own_cpu;
    pool.rseq_cpus = cpus;
    expect_refused(TAKE_UNTIMED);
    atomic_store(&pool.hot_cpus, cpus);
    for (uint64_t passed = 0; passed <= SLB_SAMPLE_AHEAD_MOST; passed += SLB_SAMPLE_AHEAD_MOST) {
        lay_out(0x98765, 4);
        atomic_store(&cache->sample_at, SLB_SAMPLE_POINT(0x98765 - passed));
        expect_refused(TAKE_UNTIMED);
    }
    lay_out(0x98765, 4);
    atomic_store(&cache->sample_at, SLB_SAMPLE_POINT(0x98766));
    expect_done(TAKE_UNTIMED);
    expect_refused(TAKE_UNTIMED);
    expect_done(TAKE);
    expect_refused(TAKE_UNTIMED);
}

enum stepped { STEPPED_WELL, STEPPED_ANSWER, STEPPED_CHANGE, STEPPED_UNTRACED };

/* What the hot path tries once does not tell a restart from a refusal. */
static bool answers_refused(enum sequence sequence) {
#ifdef SLB_RSEQ_COUNTS_FAST
    if (sequence == TAKE_FAST)
        return true;
#endif
    return sequence == TAKE_UNTIMED || sequence == RELEASE_NEXT;
}

/* Between two stops: the parent makes the kernel interrupt every instruction in between. */
static enum stepped life_of_stepped(enum sequence sequence) {
    enum slb_rseq_result expected = answers_refused(sequence) ? SLB_RSEQ_REFUSED : SLB_RSEQ_RESTARTED;

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return STEPPED_UNTRACED;
    raise(SIGSTOP);
    enum slb_rseq_result result = run_once(sequence);
    raise(SIGSTOP);
    if (result != expected)
        return STEPPED_ANSWER;
    return atomic_load(&cache->header) == header_of(2 * FOLDED, 4) && atomic_load(&cache->fast_given) == 0 &&
                   atomic_load(&ring->head) == 0 && slb_word_plain(atomic_load(&words[SWAPPED])) == LIVE_WORD
               ? STEPPED_WELL
               : STEPPED_CHANGE;
}

#ifdef SLB_RSEQ_COUNTS_FAST
static enum stepped life_of_counted(enum sequence sequence, enum instruction instruction) {
    enum slb_rseq_result expected = instruction == HEADER_INSTRUCTION ? SLB_RSEQ_COUNTED
                                    : sequence == TAKE_FAST           ? SLB_RSEQ_REFUSED
                                                                      : SLB_RSEQ_RESTARTED;
    _Atomic uint64_t *count = sequence == GIVE_FAST ? &cache->fast_given : &cache->fast_taken;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return STEPPED_UNTRACED;
    raise(SIGSTOP);
    if (run_once(sequence) != expected)
        return STEPPED_ANSWER;
    return atomic_load(count) == (instruction == HEADER_INSTRUCTION) &&
                   atomic_load(&cache->header) == header_of(2 * FOLDED, 4)
               ? STEPPED_WELL
               : STEPPED_CHANGE;
}

/* Stops a child ahead of an instruction, which makes the kernel restart the sequence. False: something else did so
 * before. */
static bool stops_ahead(enum sequence sequence, enum instruction instruction) {
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit((int)life_of_counted(sequence, instruction));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == STEPPED_UNTRACED) {
        print_message("this process may not trace its child\n");
        skip();
    }
    if (!stop_at(child, instruction))
        return false;
    assert_int_equal(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != STEPPED_WELL)
        fail_msg("sequence %d, stopped ahead of instruction %d: it ended with %d", (int)sequence,
                 (int)instruction, WEXITSTATUS(status));
    return true;
}

static void stop_ahead(enum sequence sequence, enum instruction instruction) {
    enum { TRIES = 1000 };
    for (int tries = 0; tries < TRIES; tries++)
        if (stops_ahead(sequence, instruction))
            return;
    fail_msg("sequence %d never comes to instruction %d", (int)sequence, (int)instruction);
}

/* Guards: a use by id that is stopped between its two stores says that it was counted; one that is stopped ahead of
 * both does not, whatever earlier comparisons have left in the flags. */
static void a_count_without_its_use_is_reported(void **state) {
    static const enum sequence counted[] = {TAKE_FAST, TAKE_COUNTED, GIVE_FAST};
    (void)state;
    need_sequences(cache != NULL);
    lay_out(2 * FOLDED, 4);
    for (size_t i = 0; i < COUNT_OF(counted); i++) {
        stop_ahead(counted[i], HEADER_INSTRUCTION);
        stop_ahead(counted[i], COUNT_INSTRUCTION);
        stop_ahead(counted[i], INDEX_INSTRUCTION);
    }
}
#endif

static void step_through(enum sequence sequence) {
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit((int)life_of_stepped(sequence));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == STEPPED_UNTRACED) {
        print_message("this process may not trace its child\n");
        skip();
    }
    do {
        assert_true(WIFSTOPPED(status));
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
    } while (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP);
    assert_int_equal(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != STEPPED_WELL)
        fail_msg("sequence %d: stepping ended with %d", (int)sequence, WEXITSTATUS(status));
}

/* Guards: the kernel finds every descriptor, signature and abort address; no store but the last counts. */
static void each_restarts_when_interrupted(void **state) {
    (void)state;
    need_sequences(cache != NULL);
    lay_out(2 * FOLDED, 4);
    for (enum sequence sequence = TAKE; sequence < SEQUENCES; sequence++)
        step_through(sequence);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_does_its_work),
#ifdef SLB_RSEQ_COUNTS_FAST
        cmocka_unit_test(uses_by_id_are_counted),
        cmocka_unit_test(a_count_without_its_use_is_reported),
#endif
        cmocka_unit_test(release_by_id_is_for_the_owner),
        cmocka_unit_test(fold_takes_off_what_was_served),
        cmocka_unit_test(records_rise),
        cmocka_unit_test(swap_is_for_the_owner),
        cmocka_unit_test(the_next_release_steps_aside),
        cmocka_unit_test(each_refuses_what_does_not_fit),
        cmocka_unit_test(each_is_refused_on_demand),
        cmocka_unit_test(each_restarts_when_interrupted),
    };

    return cmocka_run_group_tests(tests, lay_out_on_one_cpu, let_go);
}

#else

int main(void) {
    puts("skipped: this build has no restartable sequences");
    return 77;
}

#endif
