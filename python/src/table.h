/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions of the core that the object types call, as a backend hands them over. */
#ifndef SLABBY_PYTHON_TABLE_H
#define SLABBY_PYTHON_TABLE_H

#include <slabby/slabby.h>

struct slabby_core_table {
    slabby_status (*allocate)(slabby_ref *, void **, slabby_allocator *);
    slabby_status (*allocate_fast)(void **, uint32_t *, slabby_allocator *);
    slabby_status (*allocate_batch)(slabby_ref *, void **, slabby_allocator *, uint64_t);
    slabby_status (*release)(slabby_allocator *, slabby_ref);
    slabby_status (*release_deferred)(slabby_allocator *, slabby_ref);
    slabby_status (*pin)(slabby_allocator *, slabby_ref);
    slabby_status (*unpin)(slabby_allocator *, slabby_ref);
    slabby_status (*data)(void **, slabby_allocator *, slabby_ref);
    int32_t (*is_valid)(slabby_allocator *, slabby_ref);
    slabby_status (*size)(uint64_t *, slabby_allocator *);
    slabby_status (*id)(uint32_t *, slabby_allocator *, slabby_ref);
    slabby_status (*ref_text)(char *, uint64_t, uint64_t *, slabby_allocator *, slabby_ref);
    slabby_status (*set_label)(slabby_allocator *, slabby_ref, uint64_t);
    slabby_status (*get_label)(uint64_t *, slabby_allocator *, slabby_ref);
    slabby_status (*deallocate_fast)(slabby_allocator *, uint32_t);
    slabby_status (*view)(slabby_view_info *, slabby_allocator *);
    slabby_status (*explain)(char *, uint64_t, uint64_t *, slabby_allocator *, slabby_ref, slabby_status);
    slabby_status (*abandon)(slabby_allocator *);
    slabby_status (*get_option)(int64_t *, slabby_allocator *, int32_t);
    slabby_status (*report_leak)(slabby_allocator *, slabby_ref, const char *, int32_t);
    slabby_status (*get_stats)(slabby_stats *, slabby_allocator *);
    slabby_status (*try_allocate)(slabby_ref *, void **, slabby_allocator *);
    slabby_status (*allocate_timeout)(slabby_ref *, void **, slabby_allocator *, uint64_t);
    slabby_status (*listener_create)(slabby_listener **, int32_t *, slabby_allocator *, slabby_error *);
    slabby_status (*listener_destroy)(slabby_listener *);
    slabby_status (*listener_wait)(slabby_listener *, uint64_t);
    slabby_status (*wait_begin)(uint64_t *, slabby_listener *, uint64_t);
    slabby_status (*wait_take)(uint64_t *, slabby_ref *, uint64_t *, uint64_t *, slabby_listener *, uint64_t);
    slabby_status (*wait_cancel)(slabby_ref *, slabby_listener *, uint64_t);
    slabby_status (*wait_expire)(slabby_ref *, slabby_listener *, uint64_t);
    slabby_status (*ref_of)(slabby_ref *, slabby_allocator *, const void *);
    slabby_status (*pool_of)(slabby_allocator **, const void *);
    slabby_status (*create)(slabby_allocator **, uint64_t, uint64_t, const slabby_options *, slabby_error *);
    slabby_status (*adopt)(slabby_allocator **, uint64_t, uint64_t, slabby_error *);
    slabby_status (*reset)(slabby_allocator *);
    slabby_status (*listener_set_timeout)(slabby_listener *, uint64_t);
};

/* Defined once per backend module, after this header. */
#define SLABBY_CORE_TABLE                                                                                    \
    {                                                                                                        \
        slabby_allocate, slabby_allocate_fast, slabby_allocate_batch, slabby_release,                        \
            slabby_release_deferred, slabby_pin, slabby_unpin, slabby_data, slabby_is_valid, slabby_size,    \
            slabby_id, slabby_ref_text, slabby_set_label, slabby_get_label, slabby_deallocate_fast,          \
            slabby_view, slabby_explain, slabby_abandon, slabby_get_option, slabby_report_leak,              \
            slabby_get_stats, slabby_try_allocate, slabby_allocate_timeout, slabby_listener_create,          \
            slabby_listener_destroy, slabby_listener_wait, slabby_wait_begin, slabby_wait_take,              \
            slabby_wait_cancel, slabby_wait_expire, slabby_ref_of, slabby_pool_of, slabby_create,            \
            slabby_adopt, slabby_reset, slabby_listener_set_timeout,                                         \
    }

#endif
