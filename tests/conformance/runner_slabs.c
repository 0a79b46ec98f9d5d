/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The instructions about slabs: allocate, release, look, pin. */
#include "runner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------------------- allocate and release */

static void allocate(const struct instruction *in) {
    slabby_allocator *pool = pool_at(in, 1);
    unsigned target = key(in->target, 'r', REFS);
    slabby_ref ref;
    void *data;
    slabby_status status;
    if (pool == NULL) {
        print_unset();
        return;
    }
    status = in->count > 2 ? slabby_allocate_timeout(&ref, &data, pool, number(in->words[2]))
                           : slabby_allocate(&ref, &data, pool);
    if (status == SLABBY_OK)
        machine.refs[target] = ref;
    print_status(status);
}

static void allocate_batch(const struct instruction *in) {
    static slabby_ref refs[REFS];
    slabby_allocator *pool = pool_at(in, 1);
    unsigned target = key(in->target, 'r', REFS);
    uint64_t count = in->count > 2 ? number(in->words[2]) : 0;
    if (pool == NULL) {
        print_unset();
        return;
    }
    if (count > REFS - target)
        give_up("the batch is too large for the registers", in->words[2]);
    slabby_status status = slabby_allocate_batch(refs, NULL, pool, count);
    if (status == SLABBY_OK)
        memcpy(&machine.refs[target], refs, count * sizeof refs[0]);
    print_status(status);
}

static void allocate_fast(const struct instruction *in) {
    slabby_allocator *pool = pool_at(in, 1);
    struct fast *fast = &machine.fasts[key(in->target, 'f', FASTS)];
    void *data;
    uint32_t id;
    if (pool == NULL) {
        print_unset();
        return;
    }
    slabby_status status = slabby_allocate_fast(&data, &id, pool);
    if (status == SLABBY_OK)
        *fast = (struct fast){.set = true, .id = id, .data = data};
    print_status(status);
}

static void deallocate_fast(const struct instruction *in) {
    slabby_allocator *pool = pool_at(in, 1);
    struct fast *fast = &machine.fasts[key(in->words[2], 'f', FASTS)];
    if (pool == NULL || !fast->set) {
        print_unset();
        return;
    }
    slabby_status status = slabby_deallocate_fast(pool, fast->id);
    if (status == SLABBY_OK || status == SLABBY_MEMORY_CORRUPTION)
        fast->data = NULL;
    print_status(status);
}

static void release_batch(const struct instruction *in) {
    slabby_ref refs[TOKENS];
    slabby_allocator *pool = pool_at(in, 1);
    uint64_t released;
    if (pool == NULL) {
        print_unset();
        return;
    }
    for (unsigned i = 2; i < in->count; i++)
        refs[i - 2] = ref_at(in, i);
    slabby_status status = slabby_release_batch(&released, pool, refs, in->count - 2);
    begin_line(slabby_status_name(status));
    put(",\"released\":%" PRIu64, released);
    finish_line();
}

/* ------------------------------------------------------------------------------------------------ bytes */

static void fill(unsigned char *data, uint64_t size, uint64_t seed) {
    unsigned value = (unsigned)(seed % 251);
    for (uint64_t i = 0; i < size; i++) {
        data[i] = (unsigned char)value;
        value = value == 250 ? 0 : value + 1;
    }
}

static uint64_t size_of(slabby_allocator *pool) {
    uint64_t size = 0;
    (void)slabby_size(&size, pool);
    return size;
}

static void print_crc(const unsigned char *data, uint64_t size) {
    begin_line("OK");
    put(",\"crc\":%" PRIu32, crc32_of(data, size));
    finish_line();
}

/* write, digest and flip: what they do once the bytes are there. */
static void use_bytes(const struct instruction *in, unsigned char *data, uint64_t size) {
    if (in->words[0][0] == 'd') {
        print_crc(data, size);
        return;
    }
    if (in->words[0][0] == 'f')
        data[strtoll(in->words[3], NULL, 10)] ^= 90;
    else
        fill(data, size, number(in->words[3]));
    print_status(SLABBY_OK);
}

static void bytes_of_ref(const struct instruction *in) {
    slabby_allocator *pool = pool_at(in, 1);
    slabby_ref ref = ref_at(in, 2);
    void *data;
    if (pool == NULL) {
        print_unset();
        return;
    }
    slabby_status status = slabby_data(&data, pool, ref);
    if (status == SLABBY_OK)
        use_bytes(in, data, size_of(pool));
    else
        print_status(status);
}

static void bytes_of_fast(const struct instruction *in) {
    slabby_allocator *pool = pool_at(in, 1);
    struct fast *fast = &machine.fasts[key(in->words[2], 'f', FASTS)];
    if (pool == NULL || fast->data == NULL)
        print_unset();
    else
        use_bytes(in, fast->data, size_of(pool));
}

/* ------------------------------------------------------------------------------------------------ views */

static void view(const struct instruction *in) {
    slabby_allocator *pool = pool_at(in, 1);
    slabby_ref ref = ref_at(in, 2);
    struct view *view = &machine.views[key(in->target, 'v', VIEWS)];
    void *data = NULL;
    if (pool == NULL || view->pool != NULL) {
        print_unset();
        return;
    }
    slabby_status status = slabby_pin(pool, ref);
    if (status == SLABBY_OK)
        status = slabby_data(&data, pool, ref);
    if (status != SLABBY_OK) {
        print_status(status);
        return;
    }
    *view = (struct view){.pool = pool, .ref = ref, .data = data, .size = size_of(pool)};
    begin_line("OK");
    put(",\"size\":%" PRIu64, view->size);
    finish_line();
}

static void slice(const struct instruction *in) {
    const struct view *view = &machine.views[key(in->words[1], 'v', VIEWS)];
    uint64_t offset = number(in->words[2]), count = number(in->words[3]);
    if (view->pool == NULL) {
        print_unset();
        return;
    }
    offset = offset > view->size ? view->size : offset;
    count = count > view->size - offset ? view->size - offset : count;
    begin_line("OK");
    put(",\"size\":%" PRIu64 ",\"crc\":%" PRIu32, count, crc32_of(view->data + offset, count));
    finish_line();
}

static void unview(const struct instruction *in) {
    struct view *view = &machine.views[key(in->words[1], 'v', VIEWS)];
    if (view->pool == NULL) {
        print_unset();
        return;
    }
    slabby_status status = slabby_unpin(view->pool, view->ref);
    view->pool = NULL;
    print_status(status);
}

/* -------------------------------------------------------------------------------- calls on a reference alone */

static void call_on_ref(const struct instruction *in) {
    static const struct {
        const char *name;
        slabby_status (*call)(slabby_allocator *, slabby_ref);
    } calls[] = {{"release", slabby_release},
                 {"release_deferred", slabby_release_deferred},
                 {"pin", slabby_pin},
                 {"unpin", slabby_unpin}};
    slabby_allocator *pool = pool_at(in, 1);
    slabby_ref ref = ref_at(in, 2);
    if (pool == NULL) {
        print_unset();
        return;
    }
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strcmp(calls[i].name, in->words[0]) == 0)
            print_status(calls[i].call(pool, ref));
}

static void make_ref(const struct instruction *in) {
    slabby_ref *target = &machine.refs[key(in->target, 'r', REFS)];
    slabby_ref ref = ref_at(in, 1);
    const char *kind = in->count > 2 ? in->words[2] : "";
    if (strcmp(kind, "zero") == 0)
        ref = 0;
    else if (strcmp(kind, "ones") == 0)
        ref = UINT64_MAX;
    else if (strcmp(kind, "tag") == 0)
        ref ^= 1ull << 63;
    else if (strcmp(kind, "generation") == 0)
        ref += 1ull << 40;
    *target = ref;
    print_status(SLABBY_OK);
}

bool run_slab_instruction(const struct instruction *in) {
    static const struct {
        const char *name;
        void (*run)(const struct instruction *);
    } table[] = {{"allocate", allocate},
                 {"release", call_on_ref},
                 {"write", bytes_of_ref},
                 {"digest", bytes_of_ref},
                 {"allocate_timeout", allocate},
                 {"allocate_batch", allocate_batch},
                 {"allocate_fast", allocate_fast},
                 {"deallocate_fast", deallocate_fast},
                 {"release_deferred", call_on_ref},
                 {"release_batch", release_batch},
                 {"write_fast", bytes_of_fast},
                 {"digest_fast", bytes_of_fast},
                 {"flip", bytes_of_ref},
                 {"view", view},
                 {"slice", slice},
                 {"unview", unview},
                 {"pin", call_on_ref},
                 {"unpin", call_on_ref},
                 {"copy", make_ref},
                 {"forge", make_ref}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].name, in->words[0]) != 0)
            continue;
        table[i].run(in);
        return true;
    }
    return false;
}
