/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A run of releases (tiers/rseq_run.h) that is interrupted before each of its instructions, once each: what the run
 * says it has freed is what it has freed. */
#define _GNU_SOURCE
#include "backend.h"
#include "support.h"
#include "threads.h"

#include <stdio.h>
#include <string.h>

#include "tiers/cpu_cache.h"
#include "tiers/rseq_run.h"

#if SLB_HAVE_RSEQ && defined(__x86_64__)

#include "rseq_interrupt.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>

enum { ID_BITS = 6, SLABS = 8, LENGTH = 3, MOST = 4, CACHE_MAX = 12, GENERATION = 10 };

#define LAST_GENERATION 63
#define REF_BIAS (7ull << SLB_WORD_HIGH)
#define LIVE slb_word_make(ID_BITS, GENERATION, SLABBY_SLAB_STATE_LIVE)
#define FREE slb_word_make(ID_BITS, GENERATION + 1, SLABBY_SLAB_STATE_FREE)

enum life { LIFE_WELL, LIFE_COUNT, LIFE_WORDS, LIFE_HEADER, LIFE_IDS, LIFE_DONE };

/* Slabs are live in generation 10 and biased to this CPU, but slab 4 is plain and slab 5 another CPU's. */
static const struct run {
    uint32_t count, ids[MOST], freed;
} runs[] = {
    {1, {0}, 1},          {4, {0, 1, 2, 3}, 4}, {4, {3, 2, 1, 0}, 4}, /* neighbours in both directions */
    {2, {1, 1}, 1},       {3, {1, 1, 2}, 1},    {4, {2, 1, 2, 3}, 2}, /* one twice */
    {4, {6, 4, 1, 2}, 1}, {3, {4, 1, 2}, 0},    {3, {0, 7, 5}, 2},    /* one that is not for this way */
};

static struct slabby_allocator pool;
static struct slb_cpu_cache *cache;          /* of the CPU that the test stays on */
static _Atomic uint64_t words[1 << ID_BITS]; /* those of no slab are 0 */
static uint32_t own_cpu;

static void lay_out(void) {
    for (uint32_t id = 0; id < SLABS; id++)
        atomic_store(&words[id], LIVE | slb_word_mark(own_cpu));
    atomic_store(&words[4], LIVE);
    atomic_store(&words[5], LIVE | slb_word_mark(own_cpu + 1));
    atomic_store(&cache->header, LENGTH);
}

static struct slb_rseq_run release(const struct run *run, uint32_t *ids) {
    struct slb_rseq_run did;
    slabby_ref refs[MOST];

    for (uint32_t i = 0; i < run->count; i++)
        refs[i] = REF_BIAS + ((uint64_t)GENERATION << ID_BITS) + run->ids[i];
    slb_rseq_release_run(&pool, refs, ids, run->count, &did);
    return did;
}

/* Whether the first `freed` slabs of the run are free and no other is. */
static bool freed_exactly(const struct run *run, uint64_t freed) {
    uint64_t expected = 0, found = 0;

    for (uint32_t i = 0; i < freed; i++)
        expected |= 1ull << run->ids[i];
    for (uint32_t id = 0; id < SLABS; id++)
        found |= (uint64_t)(atomic_load(&words[id]) == FREE) << id;
    return expected == found;
}

/* What became of a run that ended as it did. */
static enum life judge(const struct run *run, const struct slb_rseq_run *did, const uint32_t *ids) {
    uint64_t freed = did->freed;

    if (freed > run->freed || (did->result == SLB_RSEQ_DONE && freed != run->freed))
        return LIFE_COUNT;
    if (!freed_exactly(run, freed))
        return LIFE_WORDS;
    if (atomic_load(&cache->header) != LENGTH + (did->result == SLB_RSEQ_DONE ? freed : 0))
        return LIFE_HEADER;
    if (memcmp(ids, run->ids, freed * sizeof *ids) != 0 ||
        (did->result == SLB_RSEQ_DONE && memcmp(&cache->ids[LENGTH], ids, freed * sizeof *ids) != 0))
        return LIFE_IDS;
    return LIFE_WELL;
}

static int lay_out_on_one_cpu(void **state) {
    uint32_t cpus = slb_os_cpu_count();
    int cpu = sched_getcpu();

    (void)state;
    if (!slb_os_has_rseq() || cpu < 0 || (uint32_t)cpu >= cpus || cpu >= CPU_SETSIZE ||
        !run_on((unsigned)cpu))
        return 0;
    pool.return_caches = aligned_alloc(SLB_CACHE_LINE, cpus * sizeof *pool.return_caches);
    if (pool.return_caches == NULL)
        return -1;
    pool.cache_max = CACHE_MAX;
    atomic_store(&pool.release_cpus, cpus);
    pool.words = words;
    pool.ref_bias = REF_BIAS;
    pool.id_mask = (1u << ID_BITS) - 1;
    pool.generation_step = 1u << ID_BITS;
    atomic_store(&pool.ref_limit, (uint64_t)LAST_GENERATION << ID_BITS);
    own_cpu = (uint32_t)cpu;
    cache = &pool.return_caches[cpu].cache;
    memset((void *)cache, 0, sizeof *cache);
    return 0;
}

static int let_go(void **state) {
    (void)state;
    free(pool.return_caches);
    return 0;
}

/* The kernel may interrupt any try; one in a row that it leaves alone is enough. */
static struct slb_rseq_run release_undisturbed(const struct run *run, uint32_t *ids) {
    for (int tries = 0; tries < 1000; tries++) {
        lay_out();
        struct slb_rseq_run did = release(run, ids);
        if (did.result != SLB_RSEQ_RESTARTED)
            return did;
    }
    fail_msg("a run was never done");
    return (struct slb_rseq_run){.result = SLB_RSEQ_REFUSED};
}

/* Guards: a run ends before the first slab that is not live, of this generation and biased to this CPU. */
static void a_run_ends_where_it_must(void **state) {
    uint32_t ids[MOST];

    (void)state;
    need_sequences(cache != NULL);
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        struct slb_rseq_run did = release_undisturbed(&runs[i], ids);
        if (did.result != SLB_RSEQ_DONE || judge(&runs[i], &did, ids) != LIFE_WELL)
            fail_msg("run %zu: %d, %d", i, (int)did.result, (int)judge(&runs[i], &did, ids));
    }
}

/* The second of two references is none that a run may judge. */
static void expect_one(slabby_ref second) {
    const slabby_ref refs[] = {REF_BIAS + ((uint64_t)GENERATION << ID_BITS), second};
    struct slb_rseq_run did = {.result = SLB_RSEQ_RESTARTED};
    uint32_t ids[2];

    for (int tries = 0; tries < 1000 && did.result == SLB_RSEQ_RESTARTED; tries++) {
        lay_out();
        slb_rseq_release_run(&pool, refs, ids, 2, &did);
    }
    assert_int_equal(did.result, SLB_RSEQ_DONE);
    assert_int_equal(did.freed, 1);
    assert_int_equal(atomic_load(&cache->header), LENGTH + 1);
}

/* Guards: foreign references, ids beyond the pool, old generations and the last one are left to slabby_release. */
static void a_run_leaves_what_it_cannot_judge(void **state) {
    const uint64_t one = (uint64_t)GENERATION << ID_BITS | 1;

    (void)state;
    need_sequences(cache != NULL);
    expect_one(0);
    expect_one(one);
    expect_one(REF_BIAS + one - (1u << ID_BITS));
    expect_one(REF_BIAS + SLB_WORD_PIN + one);
    expect_one(REF_BIAS + ((uint64_t)GENERATION << ID_BITS) + SLABS);
    expect_one(REF_BIAS + ((uint64_t)GENERATION << ID_BITS) + (1u << ID_BITS) - 1);
    atomic_store(&pool.ref_limit, one);
    expect_one(REF_BIAS + one);
    atomic_store(&pool.ref_limit, (uint64_t)LAST_GENERATION << ID_BITS);
}

static void expect_untouched(uint64_t header) {
    uint32_t ids[MOST];
    struct slb_rseq_run did = {.result = SLB_RSEQ_RESTARTED};

    for (int tries = 0; tries < 1000 && did.result == SLB_RSEQ_RESTARTED; tries++) {
        lay_out();
        atomic_store(&cache->header, header);
        did = release(&runs[1], ids);
    }
    assert_int_equal(did.result, SLB_RSEQ_REFUSED);
    assert_int_equal(did.freed, 0);
    assert_true(freed_exactly(&runs[1], 0));
    assert_int_equal(atomic_load(&cache->header), header);
}

/* Guards: a locked cache, one without enough space, and a CPU that makes no runs. */
static void a_run_is_refused_as_a_whole(void **state) {
    uint32_t ids[MOST];

    (void)state;
    need_sequences(cache != NULL);
    expect_untouched(SLB_CACHE_LOCKED);
    expect_untouched(CACHE_MAX);
    expect_untouched(CACHE_MAX - MOST + 1);
    pool.cache_max = LENGTH + MOST;
    assert_int_equal(release_undisturbed(&runs[1], ids).result, SLB_RSEQ_DONE);
    pool.cache_max = CACHE_MAX;
    atomic_store(&pool.release_cpus, own_cpu);
    expect_untouched(LENGTH);
    atomic_store(&pool.release_cpus, own_cpu + 1);
    assert_int_equal(release_undisturbed(&runs[1], ids).result, SLB_RSEQ_DONE);
}

/* -------------------------------------------------------------------------------------- interrupted */

/* Stops once, behind the run. */
static int life_of_stepped(void *context) {
    const struct run *run = context;
    uint32_t ids[MOST];
    struct slb_rseq_run did = release(run, ids);
    raise(SIGSTOP);
    enum life life = judge(run, &did, ids);
    return (int)(life == LIFE_WELL && did.result == SLB_RSEQ_DONE ? LIFE_DONE : life);
}

/* Interrupts the run before the instruction `at` of those that it is armed for; false where it has fewer. */
static bool interrupt(const struct run *run, uint32_t at) {
    pid_t child = begin_stepped(life_of_stepped, (void *)(uintptr_t)run, own_cpu);
    if (!step_to(child, at))
        return false;
    bool committed = peek(child, (uint64_t)(uintptr_t)&cache->header) != LENGTH;
    interrupt_thread(child);
    enum life life = (enum life)end_stepped(child);
    if (life != (committed ? LIFE_DONE : LIFE_WELL) && !(life == LIFE_DONE && run->freed == 0))
        fail_msg("interrupted before instruction %u of run %td: %d", at, run - runs, (int)life);
    return true;
}

/* Guards: wherever a run is interrupted, it says how many slabs it has freed; the cache has all of them, where the
 * header was stored before, or none. */
static void an_interrupted_run_knows_what_it_did(void **state) {
    (void)state;
    need_sequences(cache != NULL);
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        uint32_t at = 0;
        lay_out();
        while (interrupt(&runs[i], at))
            at++;
        assert_true(at > 15 * (runs[i].freed + 1)); /* so many instructions has a slab, at least */
    }
}

static volatile sig_atomic_t handled;

/* A sequence that no thread ever enters: one instruction, the signature, and the address for restarts. */
__asm__(".pushsection .text\n\t"
        "nowhere: nop\n\t"
        ".long 0x53053053\n\t"
        "nowhere_restarted: ud2\n\t"
        ".popsection");
extern const char nowhere[], nowhere_restarted[];

/* Arms the sequence of a run again, at whatever instruction of a run this thread is. */
static void release_in_handler(int number) {
    (void)number;
    uint32_t ids[MOST];
    const slabby_ref ref = REF_BIAS + ((uint64_t)GENERATION << ID_BITS) + 7;
    struct slb_rseq_run did;
    slb_rseq_release_run(&pool, &ref, ids, 1, &did);
    handled++;
}

/* Guards: the kernel takes a sequence back from a thread that it interrupts elsewhere, and a run leaves none behind. */
static void no_sequence_stays_armed(void **state) {
    uint64_t *armed = (uint64_t *)(void *)slb_os_rseq_area() + 1;
    uint32_t ids[MOST];

    (void)state;
    need_sequences(cache != NULL);
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        (void)release_undisturbed(&runs[i], ids);
        assert_int_equal(*(volatile uint64_t *)armed, 0);
    }
    expect_untouched(SLB_CACHE_LOCKED);
    assert_int_equal(*(volatile uint64_t *)armed, 0);
    static struct rseq_descriptor elsewhere __attribute__((aligned(32)));
    elsewhere = (struct rseq_descriptor){0, 0, (uintptr_t)nowhere, 1, (uintptr_t)nowhere_restarted};
    struct sigaction action = {.sa_handler = release_in_handler}, before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    *(volatile uint64_t *)armed = (uintptr_t)&elsewhere;
    raise(SIGUSR1);
    assert_int_equal(*(volatile uint64_t *)armed, 0);
    assert_int_equal(handled, 1);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_ends_where_it_must),    cmocka_unit_test(a_run_leaves_what_it_cannot_judge),
        cmocka_unit_test(a_run_is_refused_as_a_whole), cmocka_unit_test(an_interrupted_run_knows_what_it_did),
        cmocka_unit_test(no_sequence_stays_armed),
    };

    return cmocka_run_group_tests(tests, lay_out_on_one_cpu, let_go);
}

#else

int main(void) {
    puts("skipped: this build has no runs of releases");
    return 77;
}

#endif
