/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "waiting.h"

#include "timing.h"

void until_waiting(slabby_allocator *pool, uint64_t count) {
    WAIT_UNTIL(stats_of(pool).waiters >= count);
}

static void *release_when_awaited(void *argument) {
    struct awaited_release *release = argument;

    until_waiting(release->pool, 1);
    release->status = slabby_release(release->pool, release->ref);
    return NULL;
}

void begin_awaited_release(struct awaited_release *release, slabby_allocator *pool, slabby_ref ref) {
    release->pool = pool;
    release->ref = ref;
    assert_int_equal(pthread_create(&release->thread, NULL, release_when_awaited, release), 0);
}

void end_awaited_release(struct awaited_release *release) {
    assert_int_equal(pthread_join(release->thread, NULL), 0);
    CHECK_STATUS(release->status, SLABBY_OK);
}
