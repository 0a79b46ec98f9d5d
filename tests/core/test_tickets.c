/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tickets: they carry a value of the user's, and no number passes for both a ticket and a reference. */
#include "support.h"

/* Guards: each ticket comes back with the value it was begun with, granted at once, later, or revoked. */
static void user_data_comes_back(void **state) {
    slabby_allocator *pool = make_pool(64, 2, NULL);
    slabby_listener *listener;
    uint64_t tickets[4], taken[4], user_data[4], count;
    slabby_ref refs[4];

    (void)state;
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    for (uint64_t i = 0; i < 4; i++)
        CHECK_STATUS(slabby_wait_begin(&tickets[i], listener, UINT64_MAX - i), SLABBY_OK);
    for (uint64_t i = 0; i < 4; i += 2) {
        CHECK_STATUS(slabby_wait_take(taken, refs, user_data, &count, listener, 2), SLABBY_OK);
        assert_int_equal(count, 2);
        for (uint64_t j = 0; j < 2; j++) {
            assert_int_equal(taken[j], tickets[i + j]);
            assert_int_equal(user_data[j], UINT64_MAX - i - j);
            CHECK_STATUS(slabby_release(pool, refs[j]), SLABBY_OK);
        }
    }
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: a ticket is refused wherever a reference is asked for, and a reference where a ticket is. */
static void tickets_are_no_references(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_listener *listener;
    uint64_t ticket = 0, label = 0, unknown;
    slabby_ref ref = take(pool), found = 7;
    void *data = NULL;

    (void)state;
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    assert_true(ticket != 0 && ticket >> 52 == 0);
    CHECK_STATUS(slabby_release(pool, ticket), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_release_deferred(pool, ticket), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_release_batch(NULL, pool, &ticket, 1), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_data(&data, pool, ticket), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_pin(pool, ticket), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_unpin(pool, ticket), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_set_label(pool, ticket, 1), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_get_label(&label, pool, ticket), SLABBY_INVALID_REFERENCE);
    assert_int_equal(slabby_is_valid(pool, ticket), 0);

    CHECK_STATUS(slabby_wait_cancel(&found, listener, ref), SLABBY_INVALID_ARGUMENT);
    for (unknown = 0; unknown < 64; unknown++)
        if (UINT64_C(1) << unknown != ticket)
            CHECK_STATUS(slabby_wait_cancel(&found, listener, UINT64_C(1) << unknown),
                         SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_wait_cancel(&found, listener, 0), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_wait_cancel(&found, listener, ticket + (UINT64_C(1) << 24)), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_wait_cancel(&found, listener, ticket + 1), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(found, 7);
    CHECK_STATUS(slabby_wait_cancel(&found, listener, ticket), SLABBY_OK);
    assert_int_equal(found, 0);
    CHECK_STATUS(slabby_wait_cancel(&found, listener, ticket), SLABBY_OK); /* over */
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_data_comes_back),
        cmocka_unit_test(tickets_are_no_references),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
