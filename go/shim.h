/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The C functions that Go calls. Results come back by value, in small structs: an out-parameter would be a Go pointer,
 * and everything that such a pointer can reach would have to live on Go's heap.
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

/* One try before a wait: finding nothing is no failure, which a wait is not until it ends. */
static inline slabby_go_value slabby_go_try(slabby_allocator *allocator, uint64_t lease) {
    slabby_go_value result = {0, 0};
    result.status = slabby_lease_try(&result.value, allocator, lease);
    return result;
}

typedef struct {
    void *leases;
    slabby_status status;
} slabby_go_leases;

static inline slabby_go_leases slabby_go_lease_attach(slabby_allocator *allocator, uint64_t count) {
    slabby_go_leases result = {0, 0};
    uint64_t address = 0;
    result.status = slabby_lease_attach(&address, allocator, count, SLABBY_LEASE_LAYOUT);
    result.leases = (void *)(uintptr_t)address;
    return result;
}

static inline slabby_go_value slabby_go_sequences(slabby_allocator *allocator) {
    slabby_go_value result = {0, 0};
    result.status = slabby_sequences(&result.value, allocator, SLABBY_SEQUENCE_LAYOUT);
    return result;
}

static inline slabby_go_value slabby_go_lease_allocate(slabby_allocator *allocator, uint64_t lease) {
    slabby_go_value result = {0, 0};
    result.status = slabby_lease_allocate(&result.value, allocator, lease);
    return result;
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
    result.status = slabby_wait_begin(&result.value, listener, 0);
    return result;
}

static inline slabby_go_taken slabby_go_wait_take(slabby_listener *listener) {
    slabby_go_taken result;
    result.count = 0;
    result.status = slabby_wait_take(result.tickets, result.refs, NULL, &result.count, listener, 8);
    return result;
}

static inline slabby_go_value slabby_go_wait_cancel(slabby_listener *listener, uint64_t ticket) {
    slabby_go_value result = {0, 0};
    result.status = slabby_wait_cancel(&result.value, listener, ticket);
    return result;
}

static inline slabby_go_value slabby_go_wait_expire(slabby_listener *listener, uint64_t ticket) {
    slabby_go_value result = {0, 0};
    result.status = slabby_wait_expire(&result.value, listener, ticket);
    return result;
}

static inline slabby_go_slab slabby_go_allocate_fast(slabby_allocator *allocator) {
    slabby_go_slab result = {0, 0, 0};
    result.status = slabby_allocate_fast(&result.data, &result.id, allocator);
    return result;
}

static inline slabby_go_slab slabby_go_lease_allocate_fast(slabby_allocator *allocator, uint64_t lease) {
    slabby_go_slab result = {0, 0, 0};
    result.status = slabby_lease_allocate_fast(&result.data, &result.id, allocator, lease);
    return result;
}

static inline slabby_go_slab slabby_go_data(slabby_allocator *allocator, slabby_ref ref) {
    slabby_go_slab result = {0, 0, 0};
    result.status = slabby_data(&result.data, allocator, ref);
    return result;
}

static inline slabby_go_value slabby_go_ref_of(slabby_allocator *allocator, const void *pointer) {
    slabby_go_value result = {0, 0};
    result.status = slabby_ref_of(&result.value, allocator, pointer);
    return result;
}

static inline slabby_go_handle slabby_go_pool_of(const void *address) {
    slabby_go_handle result = {0, 0, 0};
    slabby_allocator *allocator = 0;
    result.status = slabby_pool_of(&allocator, address);
    if (result.status == SLABBY_OK)
        result.status = slabby_handle(&result.address, &result.instance_id, allocator);
    return result;
}

static inline slabby_go_slab slabby_go_id(slabby_allocator *allocator, slabby_ref ref) {
    slabby_go_slab result = {0, 0, 0};
    result.status = slabby_id(&result.id, allocator, ref);
    return result;
}

typedef struct {
    void *words, *slabs, *mode;
    uint64_t stride, capacity, id_limit, ref_bias, ref_limit;
    uint32_t id_bits;
    slabby_status status;
} slabby_go_addresses;

/* A version that this package does not know counts as no view: every call crosses. */
static inline slabby_go_addresses slabby_go_view(slabby_allocator *allocator) {
    slabby_go_addresses result = {0};
    slabby_view_info view;
    view.struct_size = sizeof view;
    result.status = slabby_view(&view, allocator);
    if (result.status == SLABBY_OK && view.version != 2)
        result.status = SLABBY_ABI_MISMATCH;
    if (result.status == SLABBY_OK) {
        result.words = (void *)(uintptr_t)view.words_address;
        result.slabs = (void *)(uintptr_t)view.slabs_address;
        result.mode = (void *)(uintptr_t)view.mode_address;
        result.stride = view.stride;
        result.capacity = view.capacity;
        result.id_limit = view.id_limit;
        result.ref_bias = view.ref_bias;
        result.ref_limit = view.ref_limit;
        result.id_bits = view.id_bits;
    }
    return result;
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
