/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a program call by call against the core, with the model beside it. */
#include "model.h"

#include <string.h>

static struct model model_of_run;

static uint64_t space_for(const struct model *model) {
    uint64_t heap = model->heap_enabled ? model->heap_limit - model->heap_used : 0;

    return model_free(model) + heap;
}

static slabby_status allocation_answer(const struct model *model, uint64_t count) {
    if (model->closed)
        return SLABBY_CLOSED;
    return count <= space_for(model) ? SLABBY_OK : SLABBY_OUT_OF_MEMORY;
}

static int check_content(struct model *model, const struct entry *entry) {
    for (uint64_t i = 0; i < model->program->slab_size; i++)
        if (entry->data[i] != entry->stamp)
            return model_differs(model, "byte %llu of slab %u is %02x, not %02x", (unsigned long long)i,
                                 entry->id, entry->data[i], entry->stamp);
    return 0;
}

/* A new slab: nobody else's, where its id says, zero when secure; a reference never seen before. */
static int admit(struct model *model, enum entry_state state, slabby_ref ref, uint32_t id, void *data) {
    struct entry *entry = &model->entries[model->count];

    for (uint32_t i = 0; i < model->count; i++) {
        if (state == ENTRY_LIVE && model->entries[i].ref == ref)
            return model_differs(model, "reference %llx was issued twice", (unsigned long long)ref);
        if (model->entries[i].id == id && model->entries[i].state != ENTRY_STALE)
            return model_differs(model, "slab %u was handed out twice", id);
    }
    if (id >= model->view.capacity) {
        if (model_free(model) != 0)
            return model_differs(model, "heap slab %u while the pool has free ones", id);
        model->heap_used++;
        model->heap_fallbacks++;
    } else {
        int at_home = (uintptr_t)data == model->view.slabs_address + id * model->view.stride;
        if (!at_home && (model->program->extras & EXTRA_SAMPLES) == 0) /* or on a guard slot */
            return model_differs(model, "slab %u lies in the wrong place", id);
        model->used++;
    }
    *entry = (struct entry){state, ref, id, 0, 0, data, 0};
    if (model->secure && check_content(model, entry))
        return 1;
    entry->stamp = (unsigned char)(1 + (model->allocations * 7 + id) % 250);
    memset(data, entry->stamp, model->program->slab_size);
    model->count++;
    model->allocations++;
    model->fast_allocations += state == ENTRY_FAST;
    return 0;
}

static int admit_reference(struct model *model, slabby_ref ref, void *data) {
    uint32_t id = 0;

    if (model_expect(model, "id", slabby_id(&id, model->pool, ref), SLABBY_OK))
        return 1;
    return admit(model, ENTRY_LIVE, ref, id, data);
}

static void dismiss(struct model *model, struct entry *entry) {
    model->deallocations++;
    model->fast_deallocations += entry->state == ENTRY_FAST;
    if (entry->id >= model->view.capacity)
        model->heap_used--;
    else
        model->used--;
    entry->state = ENTRY_STALE;
    entry->pins = 0;
}

static int run_allocate(struct model *model, const struct op *op) {
    slabby_status expected = allocation_answer(model, 1);
    slabby_ref ref = 0;
    uint32_t id = 0;
    void *data = NULL;

    if (model->count == ENTRY_LIMIT)
        return 0;
    if (op->kind == OP_ALLOCATE_FAST) {
        if (model_expect(model, "allocate_fast", slabby_allocate_fast(&data, &id, model->pool), expected))
            return 1;
        return expected ? 0 : admit(model, ENTRY_FAST, 0, id, data);
    }
    if (model_expect(model, "allocate", slabby_allocate(&ref, &data, model->pool), expected))
        return 1;
    return expected ? 0 : admit_reference(model, ref, data);
}

static int run_allocate_batch(struct model *model, const struct op *op) {
    enum { LIMIT = 80 };
    slabby_ref refs[LIMIT];
    void *datas[LIMIT];
    uint64_t most = model->capacity < LIMIT ? model->capacity : LIMIT;
    uint64_t count = 1 + op->first % most;
    slabby_status expected = allocation_answer(model, count);
    uint64_t refused = op->second % 16 ? 0 : 1;

    if (model->count + count > ENTRY_LIMIT)
        return 0;
    if (refused && !model->closed)
        return model_expect(model, "allocate_batch of 0", slabby_allocate_batch(refs, datas, model->pool, 0),
                            SLABBY_INVALID_BATCH_SIZE);
    if (model_expect(model, "allocate_batch", slabby_allocate_batch(refs, datas, model->pool, count),
                     expected))
        return 1;
    for (uint64_t i = 0; i < count && !expected; i++)
        if (admit_reference(model, refs[i], datas[i]))
            return 1;
    return 0;
}

/* Mostly something that still lives, sometimes anything ever handed out; fast slabs have no
 * reference. */
static struct entry *pick(struct model *model, const struct op *op, int fast) {
    for (uint32_t tries = 0; tries < 64 && model->count; tries++) {
        uint32_t at = (op->first + tries * (op->second | 1)) % model->count;
        struct entry *entry = &model->entries[at];

        if ((entry->ref == 0) == fast && (entry->state != ENTRY_STALE || op->second % 4 == 0))
            return entry;
    }
    return NULL;
}

static slabby_status release_answer(const struct entry *entry) {
    if (entry->state != ENTRY_LIVE)
        return SLABBY_DOUBLE_DEALLOCATION;
    return entry->pins ? SLABBY_PINNED : SLABBY_OK;
}

static int run_release(struct model *model, const struct op *op) {
    struct entry *entry = pick(model, op, 0);
    slabby_status expected;

    if (!entry)
        return 0;
    expected = release_answer(entry);
    if (entry->state == ENTRY_LIVE && check_content(model, entry))
        return 1;
    if (op->kind == OP_RELEASE_DEFERRED && expected == SLABBY_PINNED) {
        entry->state = ENTRY_DYING;
        return model_expect(model, "release_deferred", slabby_release_deferred(model->pool, entry->ref),
                            SLABBY_OK);
    }
    if (model_expect(model, op->kind == OP_RELEASE ? "release" : "release_deferred",
                     op->kind == OP_RELEASE ? slabby_release(model->pool, entry->ref)
                                            : slabby_release_deferred(model->pool, entry->ref),
                     expected))
        return 1;
    if (!expected)
        dismiss(model, entry);
    return 0;
}

/* As many releases in order: each refusal is counted, the first is the answer. */
static int run_release_batch(struct model *model, const struct op *op) {
    slabby_ref refs[40];
    uint64_t count = 0;
    uint64_t expected_done = 0;
    uint64_t done = 99;
    slabby_status first = SLABBY_OK;
    slabby_status found;

    for (uint32_t i = 0; i < 1 + op->second % 40; i++) {
        struct op next = {OP_RELEASE, op->first + i * 31, op->second + i};
        struct entry *entry = pick(model, &next, 0);
        slabby_status expected = entry ? release_answer(entry) : SLABBY_OK;

        if (!entry)
            continue;
        refs[count++] = entry->ref;
        if (expected == SLABBY_OK) {
            expected_done++;
            dismiss(model, entry);
        } else {
            model->errors[-expected]++;
            first = first ? first : expected;
        }
    }
    found = slabby_release_batch(&done, model->pool, refs, count);
    if (found != first || done != expected_done)
        return model_differs(model, "release_batch: %s and %llu released, not %s and %llu",
                             slabby_status_name(found), (unsigned long long)done, slabby_status_name(first),
                             (unsigned long long)expected_done);
    return 0;
}

static int id_is_taken_by_reference(const struct model *model, uint32_t id) {
    for (uint32_t i = 0; i < model->count; i++)
        if (model->entries[i].id == id &&
            (model->entries[i].state == ENTRY_LIVE || model->entries[i].state == ENTRY_DYING))
            return 1;
    return 0;
}

static struct entry *fast_owner(struct model *model, uint32_t id) {
    for (uint32_t i = 0; i < model->count; i++)
        if (model->entries[i].id == id && model->entries[i].state == ENTRY_FAST)
            return &model->entries[i];
    return NULL;
}

static int run_deallocate_fast(struct model *model, const struct op *op) {
    struct entry *entry = pick(model, op, 1);
    uint32_t id = entry ? entry->id : (uint32_t)(op->first % model->view.capacity);
    slabby_status expected = SLABBY_DOUBLE_DEALLOCATION;

    entry = fast_owner(model, id);
    if (entry)
        expected = SLABBY_OK;
    else if (id_is_taken_by_reference(model, id))
        expected = SLABBY_INVALID_SLAB_ID;
    if (entry && check_content(model, entry))
        return 1;
    if (model_expect(model, "deallocate_fast", slabby_deallocate_fast(model->pool, id), expected))
        return 1;
    if (entry)
        dismiss(model, entry);
    return 0;
}

static int run_data(struct model *model, struct entry *entry) {
    slabby_status expected = entry->state == ENTRY_LIVE ? SLABBY_OK : SLABBY_USE_AFTER_FREE;
    void *data = NULL;

    if (slabby_is_valid(model->pool, entry->ref) != (expected == SLABBY_OK))
        return model_differs(model, "is_valid contradicts the model");
    if (model_expect(model, "data", slabby_data(&data, model->pool, entry->ref), expected))
        return 1;
    if (expected == SLABBY_OK && data != entry->data)
        return model_differs(model, "the data of slab %u moved", entry->id);
    return expected == SLABBY_OK && check_content(model, entry);
}

static int run_unpin(struct model *model, struct entry *entry) {
    slabby_status expected = SLABBY_OK;

    if (entry->state == ENTRY_STALE)
        expected = SLABBY_USE_AFTER_FREE;
    else if (entry->pins == 0)
        expected = SLABBY_INVALID_ARGUMENT;
    if (entry->state == ENTRY_DYING && check_content(model, entry))
        return 1;
    if (model_expect(model, "unpin", slabby_unpin(model->pool, entry->ref), expected))
        return 1;
    if (expected == SLABBY_OK) {
        entry->pins--;
        if (entry->state == ENTRY_DYING && entry->pins == 0)
            dismiss(model, entry);
    }
    return 0;
}

static int run_on_reference(struct model *model, const struct op *op) {
    struct entry *entry = pick(model, op, 0);
    slabby_status expected;
    uint64_t label = 0;

    if (!entry)
        return 0;
    expected = entry->state == ENTRY_LIVE ? SLABBY_OK : SLABBY_USE_AFTER_FREE;
    switch (op->kind) {
    case OP_PIN:
        entry->pins += expected == SLABBY_OK;
        return model_expect(model, "pin", slabby_pin(model->pool, entry->ref), expected);
    case OP_UNPIN:
        return run_unpin(model, entry);
    case OP_SET_LABEL:
        if (expected == SLABBY_OK)
            entry->label = op->second;
        return model_expect(model, "set_label", slabby_set_label(model->pool, entry->ref, op->second),
                            expected);
    case OP_GET_LABEL:
        if (model_expect(model, "get_label", slabby_get_label(&label, model->pool, entry->ref), expected))
            return 1;
        if (expected == SLABBY_OK && label != entry->label)
            return model_differs(model, "label of slab %u is %llu, not %llu", entry->id,
                                 (unsigned long long)label, (unsigned long long)entry->label);
        return 0;
    default:
        return run_data(model, entry);
    }
}

/* A generation above anything issued, or another tag: no function may take it. */
static int run_forge(struct model *model, const struct op *op) {
    struct entry *entry = pick(model, op, 0);
    slabby_ref forged = op->second;

    if (entry && op->first % 2)
        forged = entry->ref + (((uint64_t)ENTRY_LIMIT + op->first % 1000) << model->view.id_bits);
    else if (entry)
        forged = entry->ref ^ (UINT64_C(1) << (52 + op->first / 2 % 12));
    if (slabby_is_valid(model->pool, forged))
        return model_differs(model, "forged %llx is valid", (unsigned long long)forged);
    if (op->second % 2)
        return model_expect(model, "release of a forged reference", slabby_release(model->pool, forged),
                            SLABBY_INVALID_REFERENCE);
    return model_expect(model, "pin of a forged reference", slabby_pin(model->pool, forged),
                        SLABBY_INVALID_REFERENCE);
}

static int run_reset(struct model *model) {
    slabby_status expected = SLABBY_OK;

    for (uint32_t i = 0; i < model->count; i++)
        if (model->entries[i].state != ENTRY_STALE && model->entries[i].pins)
            expected = SLABBY_PINNED;
    if (model_expect(model, "reset", slabby_reset(model->pool), expected))
        return 1;
    for (uint32_t i = 0; i < model->count && expected == SLABBY_OK; i++)
        if (model->entries[i].state != ENTRY_STALE)
            dismiss(model, &model->entries[i]);
    return 0;
}

static int run_switch(struct model *model, const struct op *op) {
    int heap = op->kind == OP_SWITCH_HEAP;
    int value = (int)(op->first % 2);

    *(heap ? &model->heap_enabled : &model->secure) = value;
    return model_expect(model, "set_option",
                        slabby_set_option(model->pool,
                                          heap ? SLABBY_OPTION_HEAP_FALLBACK : SLABBY_OPTION_SECURE, value,
                                          NULL),
                        SLABBY_OK);
}

/* One in 16 asks for more than there is room for. */
static int run_resize(struct model *model, const struct op *op) {
    uint64_t most = model->view.capacity, capacity = 1 + op->first % most, awaited = 0;
    slabby_status expected = model->closed ? SLABBY_CLOSED : SLABBY_OK;

    if (op->second % 16 == 0) {
        capacity = most + 1 + op->first % 9;
        expected = SLABBY_CAPACITY_EXCEEDED;
    }
    if (model_expect(model, "resize", slabby_resize(&awaited, model->pool, capacity, NULL), expected))
        return 1;
    if (expected != SLABBY_OK)
        return 0;
    model->capacity = capacity;
    if (awaited != (model->used > capacity ? model->used - capacity : 0))
        return model_differs(model, "resize awaits %llu slabs", (unsigned long long)awaited);
    return 0;
}

static int run_op(struct model *model, const struct op *op) {
    uint64_t count = 9;

    switch (op->kind) {
    case OP_ALLOCATE:
    case OP_ALLOCATE_FAST:
        return run_allocate(model, op);
    case OP_ALLOCATE_BATCH:
        return run_allocate_batch(model, op);
    case OP_RELEASE:
    case OP_RELEASE_DEFERRED:
        return run_release(model, op);
    case OP_RELEASE_BATCH:
        return run_release_batch(model, op);
    case OP_DEALLOCATE_FAST:
        return run_deallocate_fast(model, op);
    case OP_FORGE:
        return run_forge(model, op);
    case OP_RESET:
        return run_reset(model);
    case OP_TRIM:
        return model_expect(model, "trim", slabby_trim(&count, model->pool), SLABBY_OK);
    case OP_RECLAIM:
        if (model_expect(model, "reclaim", slabby_reclaim(&count, model->pool), SLABBY_OK))
            return 1;
        return count ? model_differs(model, "reclaim found something in a sound pool") : 0;
    case OP_VERIFY:
        return model_check_verify(model);
    case OP_STATS:
        return model_check_stats(model);
    case OP_LIVE:
        return model_check_live(model);
    case OP_SWITCH_HEAP:
    case OP_SWITCH_SECURE:
        return run_switch(model, op);
    case OP_RESIZE:
        return run_resize(model, op);
    case OP_CLOSE:
        model->closed = 1;
        return model_expect(model, "close", slabby_close(model->pool), SLABBY_OK);
    default:
        return run_on_reference(model, op);
    }
}

/* Windows leaves nothing out of a dump. */
static int no_dump_is_here(void) {
    static int known = -1;
    slabby_allocator *pool = NULL;

    if (known < 0) {
        known = try_pool(&pool, 64, 1, WITH({SLABBY_OPTION_NO_DUMP, 1}), NULL) == SLABBY_OK;
        (void)slabby_destroy(pool);
    }
    return known;
}

static size_t add_extras(struct setting *settings, size_t count, uint64_t extras) {
    static const struct {
        uint64_t extra;
        struct setting setting;
    } groups[] = {
        {EXTRA_SAMPLES, {SLABBY_OPTION_GUARD_SAMPLE_RATE, 3}},
        {EXTRA_SAMPLES, {SLABBY_OPTION_GUARD_SLOTS, 4}},
        {EXTRA_DEGRADE, {SLABBY_OPTION_DEGRADE_AT, 50}},
        {EXTRA_DEGRADE, {SLABBY_OPTION_SURVIVE_AT, 80}},
        {EXTRA_MEMORY, {SLABBY_OPTION_NO_DUMP, 1}},
        {EXTRA_MEMORY, {SLABBY_OPTION_PREFAULT, 1}},
        {EXTRA_MEMORY, {SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT}},
        {EXTRA_WATCH, {SLABBY_OPTION_FINALIZERS, 1}},
        {EXTRA_WATCH, {SLABBY_OPTION_CORRUPTION_POLICY, SLABBY_CORRUPTION_POLICY_RECLAIM}},
        {EXTRA_WATCH, {SLABBY_OPTION_MAX_ALLOC_LATENCY, 3600000000000}},
        {EXTRA_WATCH, {SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1000000}},
        {EXTRA_WATCH, {SLABBY_OPTION_HEALTH_CHECKS, 1}},
    };

    for (size_t i = 0; i < COUNT_OF(groups); i++)
        if (extras & groups[i].extra &&
            (groups[i].setting.option != SLABBY_OPTION_NO_DUMP || no_dump_is_here()))
            settings[count++] = groups[i].setting;
    return count;
}

static int make_pool_of(struct model *model) {
    const struct program *program = model->program;
    struct setting settings[32] = {{SLABBY_OPTION_PER_CPU_CACHE, program->per_cpu_cache},
                                   {SLABBY_OPTION_CPU_CACHE_BACKEND, program->backend},
                                   {SLABBY_OPTION_HEAP_FALLBACK, program->heap_fallback},
                                   {SLABBY_OPTION_SECURE, program->secure},
                                   {SLABBY_OPTION_BIT_GUARD, program->bit_guard},
                                   {SLABBY_OPTION_GUARD_PAGES, program->guard_pages},
                                   {SLABBY_OPTION_REUSE_DELAY, program->reuse_delay},
                                   {SLABBY_OPTION_SHUFFLE, program->shuffle},
                                   {SLABBY_OPTION_AUDIT, program->audit},
                                   {SLABBY_OPTION_DEBUG, program->debug},
                                   {SLABBY_OPTION_LATENCY_TRACKING, program->tracking},
                                   {SLABBY_OPTION_GUARD_SLACK, 1}};
    size_t count = 12;

    if (program->spare)
        settings[count++] =
            (struct setting){SLABBY_OPTION_MAX_CAPACITY, (int64_t)(program->capacity + program->spare)};
    if (program->shards)
        settings[count++] = (struct setting){SLABBY_OPTION_SHARDS, program->shards};
    if (program->alignment)
        settings[count++] = (struct setting){SLABBY_OPTION_ALIGNMENT, program->alignment};
    if (program->heap_limit)
        settings[count++] = (struct setting){SLABBY_OPTION_HEAP_FALLBACK_LIMIT, program->heap_limit};
    count = add_extras(settings, count, program->extras);
    model->heap_limit = program->heap_limit ? (uint64_t)program->heap_limit : program->capacity;
    model->capacity = program->capacity;
    model->heap_enabled = (int)program->heap_fallback;
    model->secure = (int)program->secure;
    return model_expect(model, "create",
                        try_pool(&model->pool, program->slab_size, program->capacity, settings, NULL),
                        SLABBY_OK);
}

/* Whatever the program left behind goes back, and the pool must end sound and empty. */
static int wind_up(struct model *model) {
    for (uint32_t i = 0; i < model->count; i++) {
        struct entry *entry = &model->entries[i];

        while (entry->state != ENTRY_STALE && entry->pins)
            if (run_unpin(model, entry))
                return 1;
        if (entry->state == ENTRY_LIVE && check_content(model, entry))
            return 1;
    }
    if (run_reset(model) || model_check_stats(model) || model_check_verify(model))
        return 1;
    return model_expect(model, "destroy", slabby_destroy(model->pool), SLABBY_OK);
}

const char *program_run(const struct program *program) {
    struct model *model = &model_of_run;

    memset(model, 0, sizeof *model);
    model->program = program;
    if (make_pool_of(model))
        return model->failure;
    model->view.struct_size = sizeof model->view;
    if (model_expect(model, "view", slabby_view(&model->view, model->pool), SLABBY_OK))
        return model->failure;
    for (uint32_t i = 0; i < program->count; i++)
        if (run_op(model, &program->ops[i]))
            return model->failure;
    return wind_up(model) ? model->failure : NULL;
}
