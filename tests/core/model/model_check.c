/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The calls that look at the whole pool, compared with the model. */
#include "model.h"

#include <stdio.h>
#include <string.h>

int model_differs(struct model *model, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(model->failure, sizeof model->failure, format, arguments);
    va_end(arguments);
    return 1;
}

int model_expect(struct model *model, const char *call, slabby_status found, slabby_status expected) {
    if (found < 0 && found > -64)
        model->errors[-found]++;
    if (found == expected)
        return 0;
    return model_differs(model, "%s answered %s, not %s", call, slabby_status_name(found),
                         slabby_status_name(expected));
}

struct pair {
    const char *name;
    uint64_t found;
    uint64_t expected;
};

static int check_pairs(struct model *model, const struct pair *pairs, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (pairs[i].found != pairs[i].expected)
            return model_differs(model, "stats: %s is %llu, not %llu", pairs[i].name,
                                 (unsigned long long)pairs[i].found, (unsigned long long)pairs[i].expected);
    return 0;
}

uint64_t model_free(const struct model *model) {
    return model->used < model->capacity ? model->capacity - model->used : 0;
}

int model_check_stats(struct model *model) {
    slabby_stats stats;
    const struct program *program = model->program;
    double total = (double)model->capacity;
    uint64_t awaited = model->used > model->capacity && !model->closed ? model->used - model->capacity : 0;

    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    if (model_expect(model, "get_stats", slabby_get_stats(&stats, model->pool), SLABBY_OK))
        return 1;
    const struct pair pairs[] = {
        {"total_slabs", stats.total_slabs, model->capacity},
        {"reserved_slabs", stats.reserved_slabs, model->view.capacity},
        {"awaited_slabs", stats.awaited_slabs, awaited},
        {"slab_size", stats.slab_size, program->slab_size},
        {"used_slabs", stats.used_slabs, model->used},
        {"available_slabs", stats.available_slabs, model_free(model)},
        {"total_allocations", stats.total_allocations, model->allocations},
        {"total_deallocations", stats.total_deallocations, model->deallocations},
        {"fast_allocations", stats.fast_allocations, model->fast_allocations},
        {"fast_deallocations", stats.fast_deallocations, model->fast_deallocations},
        {"ref_pool_hits", stats.ref_pool_hits, model->allocations - model->fast_allocations},
        {"heap_fallbacks", stats.heap_fallbacks, model->heap_fallbacks},
        {"heap_slabs", stats.heap_slabs, model->heap_used},
        {"retired_slabs", stats.retired_slabs, 0},
        {"quarantined_slabs", stats.quarantined_slabs, 0},
        {"allocation_errors", stats.allocation_errors,
         model->errors[-SLABBY_OUT_OF_MEMORY] + model->errors[-SLABBY_CLOSED]},
        {"sum of hits",
         stats.pcpu_cache_hits + stats.lock_free_hits + stats.shard_hits + stats.gate_hits +
             stats.guard_hits + stats.heap_fallbacks,
         model->allocations},
        {"cached_slabs within the free ones", stats.cached_slabs <= model_free(model), 1},
        {"peak_used at least used_slabs", stats.peak_used >= stats.used_slabs, 1},
        {"peak_used at most reserved_slabs", stats.peak_used <= stats.reserved_slabs, 1},
        {"memory_utilization", stats.memory_utilization == (double)model->used / total, 1},
        {"struct_size", stats.struct_size, sizeof stats},
    };
    if (check_pairs(model, pairs, COUNT_OF(pairs)))
        return 1;
    for (size_t i = 0; i < COUNT_OF(stats.errors); i++)
        if (stats.errors[i] != model->errors[i])
            return model_differs(model, "stats: errors[%s] is %llu, not %llu",
                                 slabby_status_name(-(slabby_status)i), (unsigned long long)stats.errors[i],
                                 (unsigned long long)model->errors[i]);
    return 0;
}

static const struct entry *entry_of_id(const struct model *model, uint32_t id) {
    for (uint32_t i = model->count; i-- > 0;)
        if (model->entries[i].id == id && model->entries[i].state != ENTRY_STALE)
            return &model->entries[i];
    return NULL;
}

static int check_live(struct model *model, const slabby_live *live) {
    static const int32_t states[] = {SLABBY_SLAB_STATE_LIVE, SLABBY_SLAB_STATE_LIVE_FAST,
                                     SLABBY_SLAB_STATE_DYING};
    const struct entry *entry = entry_of_id(model, live->id);

    if (!entry)
        return model_differs(model, "live cursor shows slab %u, which is free", live->id);
    if (live->state != states[entry->state] || live->pins != entry->pins || live->ref != entry->ref)
        return model_differs(model, "live cursor: slab %u: state %d, pins %u, reference %llx", live->id,
                             live->state, live->pins, (unsigned long long)live->ref);
    if (entry->state == ENTRY_LIVE && live->label != entry->label)
        return model_differs(model, "live cursor: slab %u has a wrong label", live->id);
    return 0;
}

int model_check_live(struct model *model) {
    slabby_live live = {.struct_size = sizeof live};
    uint64_t cursor = 0;
    uint64_t count = 0;
    uint64_t seen = 0;

    for (;; seen++) {
        if (model_expect(model, "live_next", slabby_live_next(&live, &count, &cursor, model->pool),
                         SLABBY_OK))
            return 1;
        if (!count)
            break;
        if (check_live(model, &live))
            return 1;
        if (seen > model->used + model->heap_used)
            break;
    }
    if (seen != model->used + model->heap_used)
        return model_differs(model, "live cursor showed %llu slabs, not %llu", (unsigned long long)seen,
                             (unsigned long long)(model->used + model->heap_used));
    return 0;
}

int model_check_verify(struct model *model) {
    slabby_finding finding = {.struct_size = sizeof finding};
    uint64_t count = 0;

    if (model_expect(model, "verify", slabby_verify(&finding, &count, model->pool, 1), SLABBY_OK))
        return 1;
    if (count)
        return model_differs(model, "verify found %llu things, the first: %s", (unsigned long long)count,
                             finding.text);
    return 0;
}
