/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/pool_label.h"

#include "observe/plain_text.h"

#include <string.h>

_Static_assert(sizeof(((struct slabby_allocator *)0)->options.name) + sizeof "~4095" - 1 <=
                   SLB_POOL_LABEL_SIZE,
               "the longest label fits");
_Static_assert(sizeof(((slabby_pool_info *)0)->label) == SLB_POOL_LABEL_SIZE, "slabby.h has the same length");

static bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool has_plain_characters(const char *name) {
    for (; *name != '\0'; name++)
        if (!is_plain(*name))
            return false;
    return true;
}

/* "pool17", as a pool without a name is called. */
static bool is_numbered(const char *name) {
    if (strncmp(name, "pool", 4) != 0)
        return false;
    size_t digits = strspn(name + 4, "0123456789");
    return digits > 0 && name[4 + digits] == '\0';
}

/* A URL's path drops these two. */
static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

SLB_PRIVATE bool slb_pool_is_open(struct slabby_allocator *pool) {
    /* acquire: what create stored before it opened the pool */
    return atomic_load_explicit(&pool->phase, memory_order_acquire) == SLB_PHASE_OPEN &&
           (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_CLOSED) == 0;
}

static bool is_taken(const char *name) {
    uint32_t end = slb_pool_table_end();
    for (uint32_t entry = 1; entry < end; entry++) {
        struct slabby_allocator *pool = &slb_pool_table[entry].pool;
        if (slb_pool_is_open(pool) && pool->label_is_name && strcmp(pool->options.name, name) == 0)
            return true;
    }
    return false;
}

SLB_PRIVATE bool slb_pool_label_is_name(const char *name) {
    return name[0] != '\0' && has_plain_characters(name) && !is_numbered(name) && !is_dots(name) &&
           !is_taken(name);
}

SLB_PRIVATE void slb_pool_label_add(struct slb_text *text, const struct slabby_allocator *pool) {
    char plain[sizeof pool->options.name];
    if (pool->label_is_name) {
        slb_plain_add(text, pool->options.name);
        return;
    }
    memcpy(plain, pool->options.name, sizeof plain);
    for (char *at = plain; *at != '\0'; at++)
        *at = is_plain(*at) ? *at : '_';
    slb_plain_add(text, plain[0] == '\0' ? "pool" : plain);
    slb_plain_add(text, plain[0] == '\0' ? "" : "~");
    slb_plain_number(text, slb_pool_tag(pool));
}
