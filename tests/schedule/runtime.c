/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stands in for ThreadSanitizer's runtime: what instrumented code calls at each access goes to the scheduler, and the
 * operation itself follows. All orders of memory are sequentially consistent here. */
#include "scheduler.h"

#include <string.h>

#define HERE __builtin_return_address(0)

void __tsan_init(void);
void __tsan_init(void) {
}

void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller) {
    (void)caller;
}

void __tsan_func_exit(void);
void __tsan_func_exit(void) {
}

/* ----------------------------------------------------------------------------------------- plain accesses */

#define PLAIN(name, access)                                                                                  \
    void __tsan_##name(void *location);                                                                      \
    void __tsan_##name(void *location) {                                                                     \
        schedule_access(location, access, HERE);                                                             \
    }

PLAIN(read1, ACCESS_READ)
PLAIN(read2, ACCESS_READ)
PLAIN(read4, ACCESS_READ)
PLAIN(read8, ACCESS_READ)
PLAIN(read16, ACCESS_READ)
PLAIN(unaligned_read2, ACCESS_READ)
PLAIN(unaligned_read4, ACCESS_READ)
PLAIN(unaligned_read8, ACCESS_READ)
PLAIN(unaligned_read16, ACCESS_READ)
PLAIN(write1, ACCESS_WRITE)
PLAIN(write2, ACCESS_WRITE)
PLAIN(write4, ACCESS_WRITE)
PLAIN(write8, ACCESS_WRITE)
PLAIN(write16, ACCESS_WRITE)
PLAIN(unaligned_write2, ACCESS_WRITE)
PLAIN(unaligned_write4, ACCESS_WRITE)
PLAIN(unaligned_write8, ACCESS_WRITE)
PLAIN(unaligned_write16, ACCESS_WRITE)

#define RANGE(name, access)                                                                                  \
    void __tsan_##name(void *location, size_t size);                                                         \
    void __tsan_##name(void *location, size_t size) {                                                        \
        (void)size;                                                                                          \
        schedule_access(location, access, HERE);                                                             \
    }

RANGE(read_range, ACCESS_READ)
RANGE(write_range, ACCESS_WRITE)

/* Blocks, four bytes at a time as far as ids go; what is longer is nobody's but its owner's. */
enum { UNIT = 4, LONGEST = 64 };

void *schedule_copy(void *to, const void *from, size_t size);
void *schedule_copy(void *to, const void *from, size_t size) {
    for (size_t at = 0; at < size && at < LONGEST; at += UNIT) {
        schedule_access((const char *)from + at, ACCESS_READ, HERE);
        schedule_access((char *)to + at, ACCESS_WRITE, HERE);
    }
    return memmove(to, from, size);
}

void *schedule_fill(void *to, int byte, size_t size);
void *schedule_fill(void *to, int byte, size_t size) {
    schedule_access(to, ACCESS_WRITE, HERE);
    return memset(to, byte, size);
}

int schedule_compare(const void *one, const void *other, size_t size);
int schedule_compare(const void *one, const void *other, size_t size) {
    schedule_access(one, ACCESS_READ, HERE);
    schedule_access(other, ACCESS_READ, HERE);
    return memcmp(one, other, size);
}

/* ---------------------------------------------------------------------------------------------- atomics */

#define LOAD(bits, type)                                                                                     \
    type __tsan_atomic##bits##_load(const volatile type *location, int order);                               \
    type __tsan_atomic##bits##_load(const volatile type *location, int order) {                              \
        (void)order;                                                                                         \
        schedule_access(location, ACCESS_READ, HERE);                                                        \
        return *location;                                                                                    \
    }

#define STORE(bits, type)                                                                                    \
    void __tsan_atomic##bits##_store(volatile type *location, type value, int order);                        \
    void __tsan_atomic##bits##_store(volatile type *location, type value, int order) {                       \
        (void)order;                                                                                         \
        schedule_access(location, ACCESS_WRITE, HERE);                                                       \
        *location = value;                                                                                   \
        schedule_changed(location);                                                                          \
    }

#define UPDATE(bits, type, name, access, result)                                                             \
    type __tsan_atomic##bits##_##name(volatile type *location, type value, int order);                       \
    type __tsan_atomic##bits##_##name(volatile type *location, type value, int order) {                      \
        (void)order;                                                                                         \
        schedule_access(location, access, HERE);                                                             \
        type before = *location;                                                                             \
        *location = (type)(result);                                                                          \
        schedule_changed(location);                                                                          \
        return before;                                                                                       \
    }

#define COMPARE(bits, type, name)                                                                            \
    int __tsan_atomic##bits##_##name(volatile type *location, type *expected, type wanted, int order,        \
                                     int otherwise);                                                         \
    int __tsan_atomic##bits##_##name(volatile type *location, type *expected, type wanted, int order,        \
                                     int otherwise) {                                                        \
        (void)order, (void)otherwise;                                                                        \
        schedule_access(location, ACCESS_WRITE, HERE);                                                       \
        type before = *location;                                                                             \
        bool equal = before == *expected;                                                                    \
        *expected = before;                                                                                  \
        if (equal) {                                                                                         \
            *location = wanted;                                                                              \
            schedule_changed(location);                                                                      \
        }                                                                                                    \
        return equal;                                                                                        \
    }

#define ATOMICS(bits, type)                                                                                  \
    LOAD(bits, type)                                                                                         \
    STORE(bits, type)                                                                                        \
    UPDATE(bits, type, exchange, ACCESS_WRITE, value)                                                        \
    UPDATE(bits, type, fetch_add, ACCESS_ADD, before + value)                                                \
    UPDATE(bits, type, fetch_sub, ACCESS_ADD, before - value)                                                \
    UPDATE(bits, type, fetch_and, ACCESS_WRITE, before &value)                                               \
    UPDATE(bits, type, fetch_or, ACCESS_WRITE, before | value)                                               \
    UPDATE(bits, type, fetch_xor, ACCESS_WRITE, before ^ value)                                              \
    COMPARE(bits, type, compare_exchange_strong)                                                             \
    COMPARE(bits, type, compare_exchange_weak)

ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order) {
    (void)order;
}

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order) {
    (void)order;
}
