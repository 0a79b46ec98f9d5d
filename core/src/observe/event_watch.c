/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/event_watch.h"

#include "observe/event_state.h"
#include "observe/pool_label.h"
#include "os/os.h"

#include <errno.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------------- ring */

/* Words of a record behind the time. */
enum { WATCH_REF = 1, WATCH_VALUE, WATCH_WHAT, WATCH_SUPPRESSED, WATCH_POOL, WATCH_TEXT, WATCH_LABEL = 30 };

#define WATCH_EVENTS 256u
#define WATCH_WORDS (WATCH_LABEL + SLB_POOL_LABEL_SIZE / 8)
#define WATCH_STRIDE 44u

_Static_assert(WATCH_TEXT + sizeof(((slabby_event *)0)->text) / 8 == WATCH_LABEL, "the text fits");
_Static_assert(WATCH_WORDS <= SLB_RING_WORDS, "a reader's buffer holds a record");
_Static_assert(WATCH_WORDS < WATCH_STRIDE, "an entry holds a record and its check");

static struct {
    struct slb_ring_head head;
    _Atomic uint64_t entries[WATCH_EVENTS * WATCH_STRIDE];
} watch_memory;

static const struct slb_ring watch_ring = {
    .head = &watch_memory.head, .size = WATCH_EVENTS, .words = WATCH_WORDS, .stride = WATCH_STRIDE};

SLB_PRIVATE uint64_t slb_watch_next(void) {
    return slb_ring_next(&watch_ring);
}

SLB_PRIVATE enum slb_ring_found slb_watch_read(uint64_t *cursor, uint64_t *lost, slabby_event *out) {
    uint64_t words[SLB_RING_WORDS];
    enum slb_ring_found found = slb_ring_read(&watch_ring, cursor, lost, words);
    if (found != SLB_RING_RECORD)
        return found;
    *out = (slabby_event){.struct_size = sizeof *out,
                          .level = (int32_t)(words[WATCH_WHAT] >> 32),
                          .sequence = *cursor - 1,
                          .time_ns = words[0],
                          .ref = words[WATCH_REF],
                          .value = (int64_t)words[WATCH_VALUE],
                          .code = (int32_t)(uint32_t)words[WATCH_WHAT],
                          .suppressed = (uint32_t)words[WATCH_SUPPRESSED],
                          .allocator_address = words[WATCH_POOL]};
    memcpy(out->text, &words[WATCH_TEXT], sizeof out->text);
    memcpy(out->pool, &words[WATCH_LABEL], sizeof out->pool);
    return found;
}

/* ------------------------------------------------------------------------------------------------ watchers */

/* users: raisers that may be about to signal the descriptor, which is not closed until there are none. */
struct watcher {
    _Atomic int32_t descriptor; /* + 1; 0: free */
    _Atomic uint32_t pending;
    _Atomic uint32_t users;
};

static struct watcher watchers[SLB_WATCHERS];

static void wake_watchers(void) {
    for (uint32_t i = 0; i < SLB_WATCHERS; i++) {
        struct watcher *watcher = &watchers[i];
        if (atomic_load(&watcher->descriptor) == 0)
            continue;
        /* seq_cst, the default: either this sees the descriptor withdrawn, or slb_watch_end sees a user */
        atomic_fetch_add(&watcher->users, 1);
        int32_t descriptor = atomic_load(&watcher->descriptor);
        if (descriptor != 0 && atomic_exchange(&watcher->pending, 1) == 0)
            slb_os_notifier_signal(descriptor - 1);
        atomic_fetch_sub(&watcher->users, 1);
    }
}

SLB_PRIVATE void slb_watch_raise(struct slabby_allocator *pool, const slabby_event *event) {
    uint64_t words[WATCH_WORDS] = {
        event->time_ns,         event->ref,
        (uint64_t)event->value, (uint64_t)(uint32_t)event->level << 32 | (uint32_t)event->code,
        event->suppressed,      (uint64_t)(uintptr_t)pool};
    memcpy(&words[WATCH_TEXT], event->text, sizeof event->text);
    memcpy(&words[WATCH_LABEL], event->pool, sizeof event->pool);
    (void)slb_ring_write(&watch_ring, words);
    wake_watchers();
}

static struct watcher *find_watcher(int descriptor) {
    for (uint32_t i = 0; i < SLB_WATCHERS && descriptor >= 0; i++)
        if (atomic_load(&watchers[i].descriptor) == descriptor + 1)
            return &watchers[i];
    return NULL;
}

SLB_PRIVATE int slb_watch_begin(void) {
    int descriptor = slb_os_notifier_create();
    if (descriptor < 0)
        return descriptor;
    for (uint32_t i = 0; i < SLB_WATCHERS; i++) {
        int32_t none = 0;
        if (atomic_load(&watchers[i].descriptor) != 0)
            continue;
        /* Before the descriptor is stored: a 1 left from an earlier watcher would suppress the first signal. If another
         * thread takes the entry first, its descriptor is signalled once more than needed. */
        atomic_store(&watchers[i].pending, 0);
        if (atomic_compare_exchange_strong(&watchers[i].descriptor, &none, descriptor + 1))
            return descriptor;
    }
    slb_os_notifier_destroy(descriptor);
    return -EBUSY;
}

SLB_PRIVATE bool slb_watch_clear(int descriptor) {
    struct watcher *watcher = find_watcher(descriptor);
    if (watcher == NULL)
        return false;
    slb_os_notifier_clear(descriptor);
    (void)atomic_exchange(&watcher->pending, 0);
    return true;
}

SLB_PRIVATE bool slb_watch_end(int descriptor) {
    int32_t number = descriptor + 1;
    struct watcher *watcher = find_watcher(descriptor);
    if (watcher == NULL || !atomic_compare_exchange_strong(&watcher->descriptor, &number, 0))
        return false;
    for (uint32_t attempt = 0; atomic_load(&watcher->users) != 0; attempt++)
        slb_os_wait_a_little(attempt);
    slb_os_notifier_destroy(descriptor);
    return true;
}

/* Threads that were raising an event and vanished in the fork do not count as users. */
SLB_PRIVATE void slb_watch_after_fork(void) {
    for (uint32_t i = 0; i < SLB_WATCHERS; i++) {
        int32_t descriptor = atomic_load(&watchers[i].descriptor);
        atomic_store(&watchers[i].users, 0);
        atomic_store(&watchers[i].pending, 0);
        if (descriptor != 0)
            slb_os_notifier_renew(descriptor - 1);
    }
}
