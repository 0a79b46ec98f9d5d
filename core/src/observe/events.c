/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/events.h"

#include "observe/event_watch.h"
#include "observe/plain_text.h"
#include "observe/pool_label.h"
#include "observe/ring.h"
#include "os/os.h"
#include "os/trace.h"
#include "tiers/in_flight.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Words of an event behind the time. */
enum { EVENT_REF = 1, EVENT_VALUE, EVENT_WHAT, EVENT_SUPPRESSED, EVENT_DEFERRED, EVENT_TEXT };

_Static_assert(EVENT_TEXT + sizeof(((slabby_event *)0)->text) / 8 == SLB_EVENT_WORDS, "the text fits");
_Static_assert(SLB_EVENT_WORDS <= SLB_RING_WORDS, "a reader's buffer holds an event");

/* A logger that uses the pool may cause events; they go only to the ring, so that it does not call itself. */
static SLB_THREAD_LOCAL uint32_t inside_logger;

/* The events of one pool that this thread has raised inside it, and of which no logger has heard: from first to below
 * end. The call that leaves the pool first reports them all. A call inside another, as where a reset ends a resize,
 * also reports those of the outer one, and leaves it none. */
static SLB_THREAD_LOCAL struct {
    struct slabby_allocator *pool;
    uint64_t number; /* of the pool at this entry */
    uint64_t first, end;
} unreported;

static uint64_t pool_number(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->remains, memory_order_relaxed) / SLB_REMAINS_POOL;
}

static bool unreported_is_of(struct slabby_allocator *pool) {
    return unreported.pool == pool && unreported.number == pool_number(pool);
}

/* ---------------------------------------------------------------------------------------------------- rate */

/* Exhaustion comes once per refused call, as often as the caller tries. */
static uint64_t slb_event_limit(int32_t code) {
    return code == SLABBY_EVENT_CODE_EXHAUSTED || code == SLABBY_EVENT_CODE_HEAP_FALLBACK ? 1 : 10;
}

/* False if the code has already reached its limit for this second. */
static bool event_admitted(struct slabby_allocator *pool, int32_t code, uint64_t *out_suppressed) {
    struct slb_event_rate *rate = &pool->event_rates[(uint32_t)code % SLB_EVENT_CODES];
    uint64_t second = slb_os_coarse_ns() / 1000000000u + 1;
    uint64_t window = atomic_load_explicit(&rate->window, memory_order_relaxed), wanted;
    do {
        bool same = window >> 24 == second;
        if (same && (window & 0xffffff) >= slb_event_limit(code)) {
            atomic_fetch_add_explicit(&rate->suppressed, 1, memory_order_relaxed);
            return false;
        }
        wanted = (same ? window : second << 24) + 1;
    } while (!atomic_compare_exchange_weak_explicit(&rate->window, &window, wanted, memory_order_relaxed,
                                                    memory_order_relaxed));
    *out_suppressed = atomic_exchange_explicit(&rate->suppressed, 0, memory_order_relaxed);
    return true;
}

/* ---------------------------------------------------------------------------------------------------- ring */

static void event_write(struct slabby_allocator *pool, slabby_event *event, uint64_t deferred) {
    uint64_t words[SLB_EVENT_WORDS] = {
        event->time_ns,         event->ref,
        (uint64_t)event->value, (uint64_t)(uint32_t)event->level << 32 | (uint32_t)event->code,
        event->suppressed,      deferred};
    memcpy(&words[EVENT_TEXT], event->text, sizeof event->text);
    event->sequence = slb_ring_write(&pool->events, words);
    slb_watch_raise(pool, event);
}

static void name_pool(slabby_event *event, struct slabby_allocator *pool) {
    struct slb_text label = {.buffer = event->pool, .capacity = sizeof event->pool};
    slb_pool_label_add(&label, pool);
    event->allocator_address = (uint64_t)(uintptr_t)pool;
}

SLB_PRIVATE enum slb_ring_found slb_event_read(struct slabby_allocator *pool, uint64_t *cursor,
                                               uint64_t *lost, slabby_event *out, uint64_t *out_deferred) {
    uint64_t words[SLB_EVENT_WORDS];
    enum slb_ring_found found = slb_ring_read(&pool->events, cursor, lost, words);
    if (found != SLB_RING_RECORD)
        return found;
    *out = (slabby_event){.struct_size = sizeof *out,
                          .level = (int32_t)(words[EVENT_WHAT] >> 32),
                          .sequence = *cursor - 1,
                          .time_ns = words[0],
                          .ref = words[EVENT_REF],
                          .value = (int64_t)words[EVENT_VALUE],
                          .code = (int32_t)(uint32_t)words[EVENT_WHAT],
                          .suppressed = (uint32_t)words[EVENT_SUPPRESSED]};
    memcpy(out->text, &words[EVENT_TEXT], sizeof out->text);
    name_pool(out, pool);
    *out_deferred = words[EVENT_DEFERRED];
    return found;
}

/* ------------------------------------------------------------------------------------------------- raising */

static void event_compose(struct slabby_allocator *pool, slabby_event *event, uint64_t suppressed,
                          const char *format, va_list arguments) {
    event->struct_size = sizeof *event;
    name_pool(event, pool);
    event->time_ns = slb_os_wall_ns();
    event->suppressed = suppressed < UINT32_MAX ? (uint32_t)suppressed : UINT32_MAX;
    (void)vsnprintf(event->text, sizeof event->text, format, arguments);
}

SLB_PRIVATE void slb_event_notify(const struct slb_notification *notification) {
    if (notification->function == NULL || inside_logger)
        return;
    int held = slb_os_hold_cancellation();
    inside_logger = 1;
    notification->function(notification->context, &notification->event);
    inside_logger = 0;
    slb_os_allow_cancellation(held);
}

SLB_PRIVATE SLB_COLD void slb_event_prepare(struct slb_notification *out, struct slabby_allocator *pool,
                                            int32_t level, int32_t code, slabby_ref ref, int64_t value,
                                            const char *format, ...) {
    va_list arguments;
    uint64_t suppressed;
    memset(out, 0, sizeof *out);
    if (!event_admitted(pool, code, &suppressed))
        return;
    out->event = (slabby_event){.level = level, .code = code, .ref = ref, .value = value};
    va_start(arguments, format);
    event_compose(pool, &out->event, suppressed, format, arguments);
    va_end(arguments);
    event_write(pool, &out->event, 0);
    out->function = pool->options.logger;
    out->context = pool->options.logger_context;
}

static void note_unreported(struct slabby_allocator *pool, uint64_t sequence) {
    if (!unreported_is_of(pool) || unreported.first == unreported.end) {
        unreported.pool = pool;
        unreported.number = pool_number(pool);
        unreported.first = unreported.end = sequence;
    }
    if (unreported.end <= sequence) /* a signal handler may have raised the next one */
        unreported.end = sequence + 1;
}

/* In a function of its own: an exhausted pool raises many events that are not admitted, and the record is large. */
static __attribute__((noinline)) void raise_admitted(struct slabby_allocator *pool, int32_t level,
                                                     int32_t code, slabby_ref ref, int64_t value,
                                                     uint64_t suppressed, const char *format,
                                                     va_list arguments) {
    struct slb_notification notification = {.function = pool->options.logger,
                                            .context = pool->options.logger_context};
    bool inside = slb_in_flight();
    notification.event = (slabby_event){.level = level, .code = code, .ref = ref, .value = value};
    event_compose(pool, &notification.event, suppressed, format, arguments);
    bool deferred = inside && notification.function != NULL;
    event_write(pool, &notification.event, deferred ? slb_os_thread() : 0);
    if (deferred)
        note_unreported(pool, notification.event.sequence);
    if (!inside)
        slb_event_notify(&notification);
}

SLB_PRIVATE SLB_COLD void slb_event(struct slabby_allocator *pool, int32_t level, int32_t code,
                                    slabby_ref ref, int64_t value, const char *format, ...) {
    uint64_t suppressed;
    va_list arguments;
    if (!event_admitted(pool, code, &suppressed))
        return;
    va_start(arguments, format);
    raise_admitted(pool, level, code, ref, value, suppressed, format, arguments);
    va_end(arguments);
}

SLB_PRIVATE SLB_COLD struct slb_shown_name slb_shown_name(const struct slabby_allocator *pool) {
    struct slb_shown_name name;
    struct slb_text text = {.buffer = name.text, .capacity = sizeof name.text};
    memcpy(name.text, pool->options.name, sizeof name.text);
    if (name.text[0] == '\0') {
        slb_plain_add(&text, "pool");
        slb_plain_number(&text, slb_pool_tag(pool));
    }
    return name;
}

SLB_PRIVATE uint64_t slb_events_mark(struct slabby_allocator *pool) {
    return slb_ring_next(&pool->events);
}

/* From the mark where the thread's unreported events are another pool's. */
static SLB_COLD void deliver_to_logger(struct slabby_allocator *pool, uint64_t mark) {
    struct slb_notification notification = {.function = pool->options.logger,
                                            .context = pool->options.logger_context};
    uint64_t lost = 0, deferred, end = UINT64_MAX;
    if (unreported_is_of(pool)) {
        mark = unreported.first;
        end = unreported.end;
        unreported.first = end;
    }
    while (mark < end &&
           slb_event_read(pool, &mark, &lost, &notification.event, &deferred) == SLB_RING_RECORD)
        if (deferred == slb_os_thread())
            slb_event_notify(&notification);
}

/* In a function of its own, because the record of an event is large, and a pool without a logger need not clear one. */
SLB_PRIVATE void slb_events_deliver(struct slabby_allocator *pool, uint64_t mark) {
    if (slb_unlikely(pool->options.logger != NULL) && !slb_in_flight())
        deliver_to_logger(pool, mark);
}

/* ------------------------------------------------------------------------------------- events with a cause */

SLB_PRIVATE SLB_COLD void slb_event_exhausted(struct slabby_allocator *pool, bool refused) {
    SLB_TRACE(exhausted, pool, slb_capacity(pool), refused);
    if (refused)
        slb_event(pool, SLABBY_EVENT_LEVEL_WARNING, SLABBY_EVENT_CODE_EXHAUSTED, 0, slb_capacity(pool),
                  "no slab of pool \"%s\" is free (capacity %" PRIu32 "): an allocation was refused or waits",
                  slb_shown_name(pool).text, slb_capacity(pool));
    else
        slb_event(pool, SLABBY_EVENT_LEVEL_WARNING, SLABBY_EVENT_CODE_HEAP_FALLBACK, 0, slb_capacity(pool),
                  "no slab of pool \"%s\" is free (capacity %" PRIu32 "): the heap serves",
                  slb_shown_name(pool).text, slb_capacity(pool));
}

SLB_PRIVATE void slb_event_closed(struct slb_notification *out, struct slabby_allocator *pool,
                                  uint64_t live) {
    int32_t level = live == 0 ? SLABBY_EVENT_LEVEL_INFO : SLABBY_EVENT_LEVEL_WARNING;
    slb_event_prepare(out, pool, level, SLABBY_EVENT_CODE_CLOSED, 0, (int64_t)live,
                      "pool \"%s\" was closed with %" PRIu64 " slab%s still out", slb_shown_name(pool).text,
                      live, live == 1 ? "" : "s");
}
