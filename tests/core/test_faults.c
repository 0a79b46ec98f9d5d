/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults on guards: classified by address, reported in words, counted, passed on. */
#define _GNU_SOURCE
#include "support.h"

#include "death.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static slabby_allocator *named_pool(uint64_t slab_size, const struct setting *settings) {
    slabby_allocator *pool = NULL;
    slabby_options *options = NULL;

    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "name", "orders", NULL), SLABBY_OK);
    for (; settings && settings->option; settings++)
        CHECK_STATUS(slabby_options_set(options, settings->option, settings->value, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, slab_size, 3, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    return pool;
}

static slabby_fault classify(const volatile char *address) {
    slabby_fault fault = {.struct_size = sizeof fault};

    CHECK_STATUS(slabby_classify_fault(&fault, (uintptr_t)address), SLABBY_OK);
    assert_true(fault.address == (uintptr_t)address);
    return fault;
}

static void assert_says(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("\"%s\" is missing in: %s", part, text);
}

/* Guards: the words for an address in, before, behind and between slabs. */
static void addresses_are_reported_in_words(void **state) {
    slabby_allocator *pool = named_pool(4096, WITH({SLABBY_OPTION_GUARD_PAGES, 1}));
    slabby_ref refs[3];
    void *datas[3];
    slabby_fault fault;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, datas, pool, 3), SLABBY_OK);
    for (int i = 0; i < 3; i++) {
        uint32_t id = 0;
        char *data = datas[i];

        CHECK_STATUS(slabby_id(&id, pool, refs[i]), SLABBY_OK);
        fault = classify(data + 17);
        assert_int_equal(fault.inside, 1);
        assert_int_equal(fault.offset, 17);
        assert_true(fault.ref == refs[i] && fault.id == id && fault.slab_size == 4096);
        assert_int_equal(fault.state, SLABBY_SLAB_STATE_LIVE);
        assert_string_equal(fault.pool_name, "orders");
        assert_says(fault.text, "access at offset 17 of slab ");
        assert_says(fault.text, "(4096 bytes) of pool 'orders'");
        fault = classify(data + 4096);
        assert_true(fault.offset == 4096 && fault.id == id);
        assert_says(fault.text, "access 1 byte past the end of slab");
        assert_int_equal(fault.kind, SLABBY_FAULT_KIND_PAST_END);
        assert_true(fault.allocator_address == (uintptr_t)pool);
        fault = classify(data + 4100);
        assert_says(fault.text, "access 5 bytes past the end of slab");
        fault = classify(data - 1);
        assert_true(fault.offset == -1 && fault.id == id);
        assert_says(fault.text, "access 1 byte before the start of slab");
        assert_int_equal(fault.kind, SLABBY_FAULT_KIND_BEFORE_START);
    }
    CHECK_STATUS(slabby_release(pool, refs[1]), SLABBY_OK);
    fault = classify((char *)datas[1] + 5);
    assert_true(fault.ref == refs[1] && fault.state == SLABBY_SLAB_STATE_FREE);
    assert_says(fault.text, ", after its release");
    assert_int_equal(fault.kind, SLABBY_FAULT_KIND_AFTER_RELEASE);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
    fault = classify(datas[0]);
    assert_int_equal(fault.inside, 0);
}

/* Guards: what no pool has, and bad places for the answer. */
static void other_addresses_are_outside(void **state) {
    slabby_fault fault = {.struct_size = sizeof fault};
    int local = 0;

    (void)state;
    CHECK_STATUS(slabby_classify_fault(NULL, 0), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_classify_fault(&fault, (uintptr_t)&local), SLABBY_OK);
    assert_int_equal(fault.inside, 0);
    assert_int_equal(fault.kind, SLABBY_FAULT_KIND_NONE);
    assert_says(fault.text, "belongs to no pool");
    fault.struct_size = 4;
    CHECK_STATUS(slabby_classify_fault(&fault, 0), SLABBY_ABI_MISMATCH);
}

struct deed {
    const struct setting *settings;
    uint64_t slab_size;
    int64_t offset;
    int reads;
};

static slabby_allocator *deed_pool;

/* Slab 0, whichever CPU's share comes first. */
static void *first_slab(void) {
    slabby_ref ref = 0;
    uint32_t id = 1;
    void *memory = NULL;

    while (id != 0)
        if (slabby_allocate(&ref, &memory, deed_pool) || slabby_id(&id, deed_pool, ref))
            _exit(93);
    return memory;
}

/* Exported, for its name in stacks. */
__attribute__((visibility("default"))) void do_the_deed(void *context);

void do_the_deed(void *context) {
    const struct deed *deed = context;
    volatile char *data;
    void *memory = NULL;

    deed_pool = named_pool(deed->slab_size, deed->settings);
    if (slabby_install_fault_handler(NULL) || slabby_install_fault_handler(NULL))
        _exit(99);
    memory = first_slab();
    data = memory;
    if (deed->reads)
        (void)data[deed->offset];
    else
        data[deed->offset] = 1;
}

/* Guards: one byte too far ends the process by SIGSEGV, with the story on stderr. */
static void faults_are_reported(void **state) {
    const struct setting *guarded = WITH({SLABBY_OPTION_GUARD_PAGES, 1}, {SLABBY_OPTION_DEBUG, 1});
    struct death past = run_in_child(do_the_deed, &(struct deed){guarded, 100, 100, 0});
    struct death read = run_in_child(do_the_deed, &(struct deed){guarded, 4096, 4099, 1});
    struct death front = run_in_child(do_the_deed, &(struct deed){NULL, 4096, -1, 0});
    struct death sound = run_in_child(do_the_deed, &(struct deed){guarded, 100, 99, 0});

    (void)state;
    assert_int_equal(past.signal, SIGSEGV);
    assert_int_equal(read.signal, SIGSEGV);
    assert_int_equal(front.signal, SIGSEGV);
    assert_int_equal(sound.signal, 0);
    assert_int_equal(sound.status, 0);
    assert_string_equal(sound.said, "");
#if defined(__x86_64__)
    assert_says(past.said, "slabby: write 1 byte past the end of slab ");
    assert_says(read.said, "slabby: read 4 bytes past the end of slab ");
    assert_says(front.said, "slabby: write 1 byte before the start of slab 0 ");
#endif
    assert_says(past.said, "(100 bytes) of pool 'orders'\n");
    assert_says(past.said, "allocated by thread");
    assert_says(past.said, "do_the_deed+0x");
}

static volatile sig_atomic_t seen_by_handler;
static sigjmp_buf way_out;

static void handler_with_details(int number, siginfo_t *info, void *context) {
    (void)context;
    seen_by_handler = number == SIGSEGV && info->si_addr;
    siglongjmp(way_out, 1);
}

static void plain_handler(int number) {
    (void)number;
    siglongjmp(way_out, 1);
}

/* Faults once; the handler of before jumps out; the violation is counted. */
static void fault_and_survive(void (*install)(void)) {
    slabby_stats stats = {.struct_size = sizeof stats};
    void *memory = NULL;
    volatile char *data;

    install();
    deed_pool = named_pool(64, NULL);
    if (slabby_install_fault_handler(NULL))
        _exit(98);
    memory = first_slab();
    data = memory;
    if (sigsetjmp(way_out, 1) == 0) {
        data[-1] = 1;
        _exit(97);
    }
    if (slabby_get_stats(&stats, deed_pool) || stats.guard_page_violations != 1)
        _exit(96);
}

static void install_detailed(void) {
    struct sigaction action = {.sa_sigaction = handler_with_details, .sa_flags = SA_SIGINFO};

    if (sigaction(SIGSEGV, &action, NULL))
        _exit(95);
}

static void install_plain(void) {
    if (signal(SIGSEGV, plain_handler) == SIG_ERR)
        _exit(95);
}

static void survive_with_details(void *context) {
    (void)context;
    fault_and_survive(install_detailed);
    if (!seen_by_handler)
        _exit(94);
}

static void survive_plainly(void *context) {
    (void)context;
    fault_and_survive(install_plain);
}

/* Guards: the handler of before gets its signal, in both forms, and the violation is counted. */
static void earlier_handlers_have_their_turn(void **state) {
    struct death detailed = run_in_child(survive_with_details, NULL);
    struct death plain = run_in_child(survive_plainly, NULL);

    (void)state;
    assert_int_equal(detailed.status, 0);
    assert_int_equal(plain.status, 0);
    assert_says(detailed.said, "before the start of slab 0");
    assert_says(plain.said, "before the start of slab 0");
}

static void *nowhere = (void *)(uintptr_t)64;

static void fault_elsewhere(void *context) {
    (void)context;
    deed_pool = named_pool(64, NULL);
    if (slabby_install_fault_handler(NULL))
        _exit(98);
    *(volatile char *)*(void *volatile *)&nowhere = 1;
}

static void kill_itself(void *context) {
    (void)context;
    if (slabby_install_fault_handler(NULL))
        _exit(98);
    (void)raise(SIGSEGV);
}

/* Guards: faults of others and signals that somebody sent keep their effect, in silence. */
static void other_faults_pass(void **state) {
    struct death elsewhere = run_in_child(fault_elsewhere, NULL);
    struct death sent = run_in_child(kill_itself, NULL);

    (void)state;
    assert_int_equal(elsewhere.signal, SIGSEGV);
    assert_string_equal(elsewhere.said, "");
    assert_int_equal(sent.signal, SIGSEGV);
    assert_string_equal(sent.said, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_reported_in_words),
        cmocka_unit_test(other_addresses_are_outside),
        cmocka_unit_test(faults_are_reported),
        cmocka_unit_test(earlier_handlers_have_their_turn),
        cmocka_unit_test(other_faults_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
