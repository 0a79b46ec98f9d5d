/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What Go calls. Results come back by value, in small structs: an out-parameter would be a Go
 * pointer, and everything that such a pointer can reach would have to live on Go's heap.
 */
#ifndef SLABBY_GO_SHIM_H
#define SLABBY_GO_SHIM_H

#ifdef SLABBY_SYSTEM
#include <slabby/slabby.h>
#else
#include "slabby.h"
#endif

typedef struct {
    uint64_t value;
    slabby_status status;
} slabby_go_value;

typedef struct {
    void *data;
    uint32_t id;
    slabby_status status;
} slabby_go_slab;

typedef struct {
    slabby_allocator *allocator;
    slabby_status status;
} slabby_go_pool;

typedef struct {
    uint64_t address;
    uint64_t instance_id;
    slabby_status status;
} slabby_go_handle;

typedef struct {
    slabby_listener *listener;
    int32_t fd;
    slabby_status status;
} slabby_go_listener;

typedef struct {
    uint64_t tickets[8];
    slabby_ref refs[8];
    uint64_t count;
    slabby_status status;
} slabby_go_taken;

static inline slabby_go_value slabby_go_allocate(slabby_allocator *allocator) {
    slabby_go_value result = {0, 0};
    result.status = slabby_allocate(&result.value, 0, allocator);
    return result;
}

static inline slabby_go_value slabby_go_allocate_timeout(slabby_allocator *allocator, uint64_t timeout_ns) {
    slabby_go_value result = {0, 0};
    result.status = slabby_allocate_timeout(&result.value, 0, allocator, timeout_ns);
    return result;
}

/* One try before a wait: Timeout where there is nothing to take. Asking a pool that is full counts a failure, which
 * a wait is not until it ends, so this looks first; what else is against it the ticket will be told. A slab that goes
 * to somebody else in between counts as a Timeout, which never moves the breaker. */
static inline slabby_go_value slabby_go_try(slabby_allocator *allocator) {
    slabby_go_value nothing = {0, SLABBY_TIMEOUT};
    slabby_stats stats;
    int64_t heap = 0, limit = 0;
    stats.struct_size = sizeof stats;
    if (slabby_get_stats(&stats, allocator) == SLABBY_OK && stats.available_slabs == 0 &&
        slabby_get_option(&heap, allocator, SLABBY_OPTION_HEAP_FALLBACK) == SLABBY_OK &&
        slabby_get_option(&limit, allocator, SLABBY_OPTION_HEAP_FALLBACK_LIMIT) == SLABBY_OK &&
        (heap == 0 || stats.heap_slabs >= (uint64_t)limit))
        return nothing;
    return slabby_go_allocate_timeout(allocator, 1);
}

static inline slabby_go_listener slabby_go_listen(slabby_allocator *allocator, slabby_error *error) {
    slabby_go_listener result = {0, -1, 0};
    result.status = slabby_listener_create(&result.listener, &result.fd, allocator, error);
    return result;
}

/* Without a descriptor: a thread sleeps in slabby_listener_wait. */
static inline slabby_go_listener slabby_go_listen_plain(slabby_allocator *allocator, slabby_error *error) {
    slabby_go_listener result = {0, -1, 0};
    result.status = slabby_listener_create(&result.listener, 0, allocator, error);
    return result;
}

static inline slabby_go_value slabby_go_wait_begin(slabby_listener *listener) {
    slabby_go_value result = {0, 0};
    result.status = slabby_wait_begin(&result.value, listener);
    return result;
}

static inline slabby_go_taken slabby_go_wait_take(slabby_listener *listener) {
    slabby_go_taken result;
    result.count = 0;
    result.status = slabby_wait_take(result.tickets, result.refs, &result.count, listener, 8);
    return result;
}

static inline slabby_go_value slabby_go_wait_cancel(slabby_listener *listener, uint64_t ticket) {
    slabby_go_value result = {0, 0};
    result.status = slabby_wait_cancel(&result.value, listener, ticket);
    return result;
}

static inline slabby_go_slab slabby_go_allocate_fast(slabby_allocator *allocator) {
    slabby_go_slab result = {0, 0, 0};
    result.status = slabby_allocate_fast(&result.data, &result.id, allocator);
    return result;
}

static inline slabby_go_slab slabby_go_data(slabby_allocator *allocator, slabby_ref ref) {
    slabby_go_slab result = {0, 0, 0};
    result.status = slabby_data(&result.data, allocator, ref);
    return result;
}

static inline slabby_go_slab slabby_go_id(slabby_allocator *allocator, slabby_ref ref) {
    slabby_go_slab result = {0, 0, 0};
    result.status = slabby_id(&result.id, allocator, ref);
    return result;
}

typedef struct {
    const uint32_t *mode;
    uint64_t id_limit;
    uint64_t ref_bias;
    uint64_t id_mask;
} slabby_go_pin;

static inline slabby_go_pin slabby_go_view(slabby_allocator *allocator) {
    slabby_go_pin check = {0, 0, 0, 0};
    slabby_view_info view;
    view.struct_size = sizeof view;
    if (slabby_view(&view, allocator) == SLABBY_OK) {
        check.mode = (const uint32_t *)(uintptr_t)view.mode_address;
        check.id_limit = view.id_limit;
        check.ref_bias = view.ref_bias;
        check.id_mask = ((uint64_t)1 << view.id_bits) - 1;
    }
    return check;
}

static inline slabby_fault slabby_go_classify(uint64_t address) {
    slabby_fault fault;
    fault.struct_size = sizeof fault;
    (void)slabby_classify_fault(&fault, address);
    return fault;
}

static inline slabby_go_value slabby_go_label(slabby_allocator *allocator, slabby_ref ref) {
    slabby_go_value result = {0, 0};
    result.status = slabby_get_label(&result.value, allocator, ref);
    return result;
}

static inline slabby_go_value slabby_go_size(slabby_allocator *allocator) {
    slabby_go_value result = {0, 0};
    result.status = slabby_size(&result.value, allocator);
    return result;
}

static inline slabby_go_value slabby_go_option(slabby_allocator *allocator, int32_t option) {
    slabby_go_value result = {0, 0};
    int64_t value = 0;
    result.status = slabby_get_option(&value, allocator, option);
    result.value = (uint64_t)value;
    return result;
}

static inline slabby_go_value slabby_go_trim(slabby_allocator *allocator) {
    slabby_go_value result = {0, 0};
    result.status = slabby_trim(&result.value, allocator);
    return result;
}

static inline slabby_go_value slabby_go_reclaim(slabby_allocator *allocator) {
    slabby_go_value result = {0, 0};
    result.status = slabby_reclaim(&result.value, allocator);
    return result;
}

static inline slabby_go_value slabby_go_release_batch(slabby_allocator *allocator, const slabby_ref *refs,
                                                      uint64_t count) {
    slabby_go_value result = {0, 0};
    result.status = slabby_release_batch(&result.value, allocator, refs, count);
    return result;
}

static inline slabby_go_pool slabby_go_create(uint64_t slab_size, uint64_t capacity,
                                              const slabby_options *options, slabby_error *error) {
    slabby_go_pool result = {0, 0};
    (void)slabby_set_binding(SLABBY_BINDING_GO); /* of every goroutine, whatever thread it runs on */
    result.status = slabby_create(&result.allocator, slab_size, capacity, options, error);
    (void)slabby_set_binding(-1);
    return result;
}

static inline slabby_go_pool slabby_go_adopt(uint64_t address, uint64_t instance_id, slabby_error *error) {
    slabby_go_pool result = {0, 0};
    result.status = slabby_adopt(&result.allocator, address, instance_id, error);
    return result;
}

static inline slabby_go_handle slabby_go_handle_of(slabby_allocator *allocator) {
    slabby_go_handle result = {0, 0, 0};
    result.status = slabby_handle(&result.address, &result.instance_id, allocator);
    return result;
}

#endif
