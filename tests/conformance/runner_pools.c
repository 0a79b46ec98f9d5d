/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The instructions about pools, and those that ask about a reference in words. */
#include "runner.h"

#include "enums.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define CHUNK 256

/* ---------------------------------------------------------------------------------------- a pool's life */

static void library(const struct instruction *in) {
    (void)in;
    begin_line("OK");
    put(",\"version\":\"%s\",\"abi\":%" PRIu32, slabby_version(), slabby_abi_version());
    finish_line();
}

static slabby_status set_options(slabby_options *options, const struct instruction *in) {
    slabby_status status = SLABBY_OK;
    for (unsigned i = 3; i < in->count && status == SLABBY_OK; i++) {
        char name[128];
        const char *equals = strchr(in->words[i], '=');
        if (equals == NULL || (size_t)(equals - in->words[i]) >= sizeof name)
            give_up("not OPTION=TEXT", in->words[i]);
        memcpy(name, in->words[i], (size_t)(equals - in->words[i]));
        name[equals - in->words[i]] = 0;
        status = strcmp(name, "preset") == 0 ? slabby_options_preset(options, equals + 1, NULL)
                                             : slabby_options_set_text(options, name, equals + 1, NULL);
    }
    return status;
}

static void create(const struct instruction *in) {
    unsigned target = key(in->target, 'p', POOLS);
    slabby_options *options;
    if (machine.pools[target] != NULL) {
        print_unset();
        return;
    }
    slabby_status status = slabby_options_create(&options);
    if (status == SLABBY_OK)
        status = set_options(options, in);
    if (status == SLABBY_OK)
        status =
            slabby_create(&machine.pools[target], number(in->words[1]), number(in->words[2]), options, NULL);
    slabby_options_destroy(options);
    if (status == SLABBY_OK) {
        struct seen *seen = calloc(1, sizeof *seen);
        if (seen == NULL)
            give_up("no memory for", "ids");
        seen->next = machine.seen;
        machine.seen = machine.seen_of[target] = seen;
    }
    print_status(status);
}

static void adopt(const struct instruction *in) {
    unsigned target = key(in->target, 'p', POOLS), source = key(in->words[1], 'p', POOLS);
    uint64_t address, instance;
    if (machine.pools[target] != NULL || machine.pools[source] == NULL) {
        print_unset();
        return;
    }
    slabby_status status = slabby_handle(&address, &instance, machine.pools[source]);
    if (status == SLABBY_OK)
        status = slabby_adopt(&machine.pools[target], address, instance, NULL);
    if (status == SLABBY_OK)
        machine.seen_of[target] = machine.seen_of[source];
    print_status(status);
}

static void destroy(const struct instruction *in) {
    slabby_status status = slabby_destroy(pool_at(in, 1));
    if (status == SLABBY_OK)
        machine.pools[key(in->words[1], 'p', POOLS)] = NULL;
    print_status(status);
}

static void call_on_pool(const struct instruction *in) {
    slabby_status status = in->words[0][0] == 'c'   ? slabby_close(pool_at(in, 1))
                           : in->words[0][0] == 'r' ? slabby_reset(pool_at(in, 1))
                                                    : slabby_health_tick(pool_at(in, 1));
    print_status(status);
}

static void trim(const struct instruction *in) {
    uint64_t bytes;
    print_status(slabby_trim(&bytes, pool_at(in, 1)));
}

static void counted(const struct instruction *in) {
    uint64_t count;
    bool resize = in->words[0][2] == 's';
    slabby_status status = resize ? slabby_resize(&count, pool_at(in, 1), number(in->words[2]), NULL)
                                  : slabby_reclaim(&count, pool_at(in, 1));
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK)
        put(",\"%s\":%" PRIu64, resize ? "awaited" : "count", count);
    finish_line();
}

/* ------------------------------------------------------------------------------------------- options */

static int32_t option_of(const char *name) {
    if (name[0] == '#')
        return (int32_t)number(name + 1);
    for (size_t i = 1; i < COUNT_OF(option_names); i++)
        if (option_names[i] != NULL && strcmp(option_names[i], name) == 0)
            return (int32_t)i;
    give_up("no such option", name);
}

static void set_option(const struct instruction *in) {
    int64_t value = strtoll(in->words[3], NULL, 10);
    print_status(slabby_set_option(pool_at(in, 1), option_of(in->words[2]), value, NULL));
}

static void get_option(const struct instruction *in) {
    int64_t value;
    slabby_status status = slabby_get_option(&value, pool_at(in, 1), option_of(in->words[2]));
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK)
        put(",\"value\":%" PRId64, value);
    finish_line();
}

static void breaker(const struct instruction *in) {
    print_status(slabby_breaker_force(pool_at(in, 1), (int32_t)number(in->words[2])));
}

/* ------------------------------------------------------------------------------------------- a reference */

static void is_valid(const struct instruction *in) {
    begin_line("OK");
    put(",\"valid\":%s", slabby_is_valid(pool_at(in, 1), ref_at(in, 2)) ? "true" : "false");
    finish_line();
}

static uint32_t first_seen(struct seen *seen, uint32_t id) {
    for (uint32_t i = 0; i < seen->count; i++)
        if (seen->ids[i] == id)
            return i;
    if (seen->count == IDS)
        give_up("too many ids for", "one program");
    seen->ids[seen->count] = id;
    return seen->count++;
}

static void print_id(const struct instruction *in) {
    uint32_t id;
    slabby_status status = slabby_id(&id, pool_at(in, 1), ref_at(in, 2));
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK)
        put(",\"slab\":%" PRIu32, first_seen(machine.seen_of[key(in->words[1], 'p', POOLS)], id));
    finish_line();
}

static void size(const struct instruction *in) {
    uint64_t size;
    slabby_status status = slabby_size(&size, pool_at(in, 1));
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK)
        put(",\"size\":%" PRIu64, size);
    finish_line();
}

static int32_t status_of(const char *name) {
    for (int32_t status = 0; status > -64; status--)
        if (strcmp(slabby_status_name(status), name) == 0)
            return status;
    give_up("no such status", name);
}

static void text_of_ref(const struct instruction *in) {
    char text[8192] = "";
    uint64_t length = 0;
    slabby_allocator *pool = pool_at(in, 1);
    slabby_ref ref = ref_at(in, 2);
    bool name = in->words[0][0] == 'r';
    slabby_status status = name                     ? slabby_ref_text(text, sizeof text, &length, pool, ref)
                           : in->words[0][0] == 's' ? slabby_stack(text, sizeof text, &length, pool, ref)
                                                    : slabby_explain(text, sizeof text, &length, pool, ref,
                                                                     status_of(in->words[3]));
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK && name) {
        char *colon = strrchr(text, ':');
        put(",\"name\":\"%.*s\"", (int)(colon == NULL ? 0 : colon - text), text);
    } else if (status == SLABBY_OK) {
        put(",\"empty\":%s", length == 0 ? "true" : "false");
    }
    finish_line();
}

static void label(const struct instruction *in) {
    uint64_t label;
    bool get = in->words[0][0] == 'g';
    slabby_status status = get ? slabby_get_label(&label, pool_at(in, 1), ref_at(in, 2))
                               : slabby_set_label(pool_at(in, 1), ref_at(in, 2), number(in->words[3]));
    begin_line(slabby_status_name(status));
    if (get && status == SLABBY_OK)
        put(",\"label\":%" PRIu64, label);
    finish_line();
}

/* ------------------------------------------------------------------------------------------- snapshots */

static uint64_t ppm(double ratio) {
    return (uint64_t)(ratio * 1e6 + 0.5);
}

static int compare_names(const void *one, const void *other) {
    return strcmp(slabby_status_name(-*(const int32_t *)one), slabby_status_name(-*(const int32_t *)other));
}

/* Prints what is above 0, by name; InUse and NotSupported are left out. */
static void print_errors(const uint64_t *errors) {
    static int32_t sorted[64];
    const char *comma = "";
    if (sorted[0] == 0) {
        for (int32_t i = 0; i < 63; i++)
            sorted[i] = i + 1;
        qsort(sorted, 63, sizeof sorted[0], compare_names);
    }
    for (unsigned i = 0; i < 63; i++) {
        if (errors[sorted[i]] == 0 || -sorted[i] == SLABBY_IN_USE || -sorted[i] == SLABBY_NOT_SUPPORTED)
            continue;
        put("%s\"%s\":%" PRIu64, comma, slabby_status_name(-sorted[i]), errors[sorted[i]]);
        comma = ",";
    }
}

static void stats(const struct instruction *in) {
    slabby_stats s = {.struct_size = sizeof s};
    slabby_status status = slabby_get_stats(&s, pool_at(in, 1));
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK) {
        const struct {
            const char *name;
            uint64_t value;
        } fields[] = {{"total_slabs", s.total_slabs},
                      {"slab_size", s.slab_size},
                      {"used_slabs", s.used_slabs},
                      {"available_slabs", s.available_slabs},
                      {"total_allocations", s.total_allocations},
                      {"total_deallocations", s.total_deallocations},
                      {"fast_allocations", s.fast_allocations},
                      {"fast_deallocations", s.fast_deallocations},
                      {"ref_pool_hits", s.ref_pool_hits},
                      {"utilization_ppm", ppm(s.memory_utilization)},
                      {"allocation_errors", s.allocation_errors},
                      {"guard_page_violations", s.guard_page_violations},
                      {"heap_fallbacks", s.heap_fallbacks},
                      {"tier_hits", s.pcpu_cache_hits + s.lock_free_hits + s.shard_hits + s.gate_hits +
                                        s.guard_hits + s.heap_fallbacks},
                      {"corruptions", s.corruptions},
                      {"quarantined_slabs", s.quarantined_slabs},
                      {"retired_slabs", s.retired_slabs},
                      {"heap_slabs", s.heap_slabs},
                      {"heap_bytes", s.heap_bytes},
                      {"waiters", s.waiters}};
        for (size_t i = 0; i < COUNT_OF(fields); i++)
            put(",\"%s\":%" PRIu64, fields[i].name, fields[i].value);
        put(",\"breaker_state\":\"%s\"", breaker_state_names[s.breaker_state]);
        put(",\"degradation_state\":\"%s\"", degradation_state_names[s.degradation_state]);
        put(",\"pool_state\":\"%s\"", pool_state_names[s.pool_state]);
        put(",\"awaited_slabs\":%" PRIu64 ",\"reserved_slabs\":%" PRIu64 ",\"errors\":{", s.awaited_slabs,
            s.reserved_slabs);
        print_errors(s.errors);
        put("}");
    }
    finish_line();
}

static void health(const struct instruction *in) {
    slabby_health h = {.struct_size = sizeof h};
    slabby_status status = slabby_get_health(&h, pool_at(in, 1));
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK)
        put(",\"score_ppm\":%" PRIu64 ",\"error_rate_ppm\":%" PRIu64 ",\"breaker_open\":%" PRId32,
            ppm(h.health_score), ppm(h.error_rate), h.circuit_breaker_open);
    finish_line();
}

static void memory(const struct instruction *in) {
    slabby_memory m = {.struct_size = sizeof m};
    slabby_status status = slabby_get_memory(&m, pool_at(in, 1));
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK)
        put(",\"slab_bytes\":%" PRIu64 ",\"heap_bytes\":%" PRIu64, m.slab_bytes, m.heap_bytes);
    finish_line();
}

static void json(const struct instruction *in) {
    static const char used[] = "\"used_slabs\":";
    char text[8192];
    bool stats = in->words[0][0] == 's';
    slabby_status status = stats ? slabby_stats_json(text, sizeof text, NULL, pool_at(in, 1))
                                 : slabby_health_json(text, sizeof text, NULL, pool_at(in, 1));
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK && stats) {
        const char *at = strstr(text, used);
        put(",\"used\":%" PRIu64,
            at == NULL ? UINT64_MAX : (uint64_t)strtoull(at + sizeof used - 1, NULL, 10));
    } else if (status == SLABBY_OK) {
        unsigned keys = 0;
        for (const char *at = text; (at = strstr(at, "\":")) != NULL; at++)
            keys++;
        put(",\"keys\":%u", keys);
    }
    finish_line();
}

/* ------------------------------------------------------------------------------------------- looking inside */

static bool is_first(const uint32_t *ids, uint64_t index) {
    for (uint64_t i = 0; i < index; i++)
        if (ids[i] == ids[index])
            return false;
    return true;
}

static void live(const struct instruction *in) {
    static uint32_t ids[IDS];
    slabby_live slab = {.struct_size = sizeof slab};
    uint64_t cursor = 0, one = 0, count = 0, distinct = 0, pins = 0, labels = 0, states[16] = {0};
    slabby_status status;
    while ((status = slabby_live_next(&slab, &one, &cursor, pool_at(in, 1))) == SLABBY_OK && one != 0) {
        if (count == IDS)
            give_up("too many live slabs for", "one program");
        ids[count] = slab.id;
        distinct += is_first(ids, count++);
        states[slab.state & 15]++;
        pins += slab.pins;
        labels += slab.label;
    }
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK)
        put(",\"count\":%" PRIu64 ",\"distinct\":%" PRIu64 ",\"live\":%" PRIu64 ",\"live_fast\":%" PRIu64
            ",\"dying\":%" PRIu64 ",\"pins\":%" PRIu64 ",\"labels\":%" PRIu64,
            count, distinct, states[SLABBY_SLAB_STATE_LIVE] + states[SLABBY_SLAB_STATE_GRANTED],
            states[SLABBY_SLAB_STATE_LIVE_FAST], states[SLABBY_SLAB_STATE_DYING], pins, labels);
    finish_line();
}

static void verify(const struct instruction *in) {
    static slabby_finding findings[CHUNK];
    static uint32_t ids[CHUNK];
    uint64_t count = 0, damaged = 0, keys = 0;
    findings[0].struct_size = sizeof findings[0];
    slabby_status status = slabby_verify(findings, &count, pool_at(in, 1), CHUNK);
    for (uint64_t i = 0; i < count && i < CHUNK; i++) {
        if (findings[i].kind != SLABBY_FINDING_KIND_GUARD_BYTES)
            continue;
        ids[keys] = findings[i].id;
        damaged += is_first(ids, keys++);
    }
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK)
        put(",\"damaged\":%" PRIu64 ",\"other\":%" PRIu64, damaged, count - keys);
    finish_line();
}

/* Sorted insertion of "OPERATION STATUS" with its count. */
struct tally {
    char key[64];
    uint64_t count;
};

static void note(struct tally *tallies, unsigned *used, const char *operation, const char *status) {
    char key[64];
    unsigned at = 0;
    strcpy(key, operation);
    strcat(strcat(key, " "), status);
    while (at < *used && strcmp(tallies[at].key, key) < 0)
        at++;
    if (at == *used || strcmp(tallies[at].key, key) != 0) {
        if (*used == CHUNK)
            give_up("too many kinds of records", key);
        memmove(&tallies[at + 1], &tallies[at], (*used - at) * sizeof tallies[0]);
        strcpy(tallies[at].key, key);
        tallies[at].count = 0;
        (*used)++;
    }
    tallies[at].count++;
}

static bool is_printed(int32_t operation) {
    return operation != SLABBY_AUDIT_OPERATION_CREATE && operation != SLABBY_AUDIT_OPERATION_RETAIN &&
           operation != SLABBY_AUDIT_OPERATION_DESTROY && operation != SLABBY_AUDIT_OPERATION_ABANDON;
}

/* A binding may wait for a slab by a ticket. */
static int32_t plain(int32_t operation) {
    return operation == SLABBY_AUDIT_OPERATION_ALLOCATE_WAIT ? SLABBY_AUDIT_OPERATION_ALLOCATE : operation;
}

static void audit(const struct instruction *in) {
    static slabby_audit_record records[CHUNK];
    static struct tally tallies[CHUNK + 1];
    uint64_t cursor = 0, count = 0, lost = 0, all_lost = 0, foreign = 0;
    unsigned used = 0;
    slabby_status status;
    records[0].struct_size = sizeof records[0];
    while ((status = slabby_audit_read(records, &count, &lost, &cursor, pool_at(in, 1), CHUNK)) ==
               SLABBY_OK &&
           count != 0) {
        all_lost += lost;
        for (uint64_t i = 0; i < count; i++) {
            foreign += records[i].binding != SLABBY_BINDING_C;
            if (is_printed(records[i].operation))
                note(tallies, &used, audit_operation_names[plain(records[i].operation)],
                     slabby_status_name(records[i].status));
        }
    }
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK) {
        put(",\"lost\":%" PRIu64 ",\"foreign\":%" PRIu64 ",\"records\":{", all_lost + lost, foreign);
        for (unsigned i = 0; i < used; i++)
            put("%s\"%s\":%" PRIu64, i == 0 ? "" : ",", tallies[i].key, tallies[i].count);
        put("}");
    }
    finish_line();
}

static int compare_words(const void *one, const void *other) {
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

static void events(const struct instruction *in) {
    static slabby_event records[CHUNK];
    const char *words[COUNT_OF(event_code_names)];
    bool seen[COUNT_OF(event_code_names)] = {false};
    uint64_t cursor = 0, count = 0;
    unsigned used = 0;
    slabby_status status;
    records[0].struct_size = sizeof records[0];
    while ((status = slabby_events_read(records, &count, NULL, &cursor, pool_at(in, 1), CHUNK)) ==
               SLABBY_OK &&
           count != 0)
        for (uint64_t i = 0; i < count; i++)
            if (!seen[records[i].code]) {
                seen[records[i].code] = true;
                words[used++] = event_code_names[records[i].code];
            }
    qsort(words, used, sizeof words[0], compare_words);
    begin_line(slabby_status_name(status));
    if (status == SLABBY_OK) {
        put(",\"codes\":[");
        for (unsigned i = 0; i < used; i++)
            put("%s\"%s\"", i == 0 ? "" : ",", words[i]);
        put("]");
    }
    finish_line();
}

static void rest(const struct instruction *in) {
    uint64_t duration = number(in->words[1]);
    struct timespec left = {.tv_sec = (time_t)(duration / 1000000000),
                            .tv_nsec = (long)(duration % 1000000000)};
    while (nanosleep(&left, &left) != 0)
        continue;
    begin_line("OK");
    finish_line();
}

bool run_pool_instruction(const struct instruction *in) {
    static const struct {
        const char *name;
        void (*run)(const struct instruction *);
        bool needs_pool;
    } table[] = {{"create", create, false},
                 {"stats", stats, true},
                 {"id", print_id, true},
                 {"is_valid", is_valid, true},
                 {"live", live, true},
                 {"verify", verify, true},
                 {"library", library, false},
                 {"sleep", rest, false},
                 {"adopt", adopt, false},
                 {"close", call_on_pool, true},
                 {"destroy", destroy, true},
                 {"reset", call_on_pool, true},
                 {"health_tick", call_on_pool, true},
                 {"trim", trim, true},
                 {"reclaim", counted, true},
                 {"resize", counted, true},
                 {"set_option", set_option, true},
                 {"get_option", get_option, true},
                 {"breaker", breaker, true},
                 {"size", size, true},
                 {"ref_text", text_of_ref, true},
                 {"stack", text_of_ref, true},
                 {"explain", text_of_ref, true},
                 {"set_label", label, true},
                 {"get_label", label, true},
                 {"health", health, true},
                 {"memory", memory, true},
                 {"stats_json", json, true},
                 {"health_json", json, true},
                 {"audit", audit, true},
                 {"events", events, true}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (strcmp(table[i].name, in->words[0]) != 0)
            continue;
        if (table[i].needs_pool && pool_at(in, 1) == NULL)
            print_unset();
        else
            table[i].run(in);
        return true;
    }
    return false;
}
