/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The macros of the header, in C and in C++: initialisers of structs, and versions. */
#include <slabby/slabby.h>

#include <stdio.h>
#include <string.h>

#if SLABBY_VERSION_NUMBER != SLABBY_VERSION_MAJOR * 10000 + SLABBY_VERSION_MINOR * 100 + SLABBY_VERSION_PATCH
#error "the numbers of the version do not agree"
#endif

#define EXPECT(condition) (condition ? 0 : (printf("line %d: %s\n", __LINE__, #condition), 1))

int main(void) {
    slabby_error error = SLABBY_ERROR_INIT;
    slabby_stats stats = SLABBY_STATS_INIT, bare;
    slabby_health health = SLABBY_HEALTH_INIT;
    slabby_memory memory = SLABBY_MEMORY_INIT;
    slabby_live live = SLABBY_LIVE_INIT;
    slabby_audit_record records[4] = {SLABBY_AUDIT_RECORD_INIT};
    slabby_event events[4] = {SLABBY_EVENT_INIT};
    slabby_finding findings[4] = {SLABBY_FINDING_INIT};
    slabby_fault fault = SLABBY_FAULT_INIT;
    slabby_view_info view = SLABBY_VIEW_INFO_INIT;
    slabby_options *options = NULL;
    slabby_allocator *pool = NULL;
    slabby_ref ref = 0;
    void *data = NULL;
    uint64_t count = 0, lost = 0, cursor = 0;
    char text[40];
    int wrong = 0;

    memset(&bare, 0, sizeof bare);
    wrong += EXPECT(strcmp(SLABBY_VERSION, slabby_version()) == 0);
    wrong += EXPECT(SLABBY_ABI_VERSION == slabby_abi_version());
    snprintf(text, sizeof text, "%d.%d.%d", SLABBY_VERSION_MAJOR, SLABBY_VERSION_MINOR, SLABBY_VERSION_PATCH);
    wrong += EXPECT(strcmp(SLABBY_VERSION, text) == 0);
    wrong += EXPECT(slabby_create(&pool, 0, 10, NULL, &error) == SLABBY_INVALID_SLAB_SIZE);
    wrong += EXPECT(error.minimum == 1 && error.text[0] != '\0');
    wrong += EXPECT(slabby_options_create(&options) == SLABBY_OK);
    wrong += EXPECT(slabby_options_set(options, SLABBY_OPTION_AUDIT, 8, &error) == SLABBY_OK);
    wrong += EXPECT(slabby_create(&pool, 64, 10, options, &error) == SLABBY_OK);
    wrong += EXPECT(slabby_allocate(&ref, &data, pool) == SLABBY_OK);
    wrong += EXPECT(slabby_get_stats(&stats, pool) == SLABBY_OK && stats.used_slabs == 1);
    wrong += EXPECT(slabby_get_stats(&bare, pool) == SLABBY_ABI_MISMATCH);
    wrong += EXPECT(strstr(slabby_status_message(SLABBY_ABI_MISMATCH), "struct_size was not set") != NULL);
    wrong += EXPECT(slabby_get_health(&health, pool) == SLABBY_OK && health.capacity == 10);
    wrong += EXPECT(slabby_get_memory(&memory, pool) == SLABBY_OK && memory.slab_bytes == 640);
    wrong += EXPECT(slabby_live_next(&live, &count, &cursor, pool) == SLABBY_OK && live.ref == ref);
    cursor = 0;
    wrong += EXPECT(slabby_audit_read(records, &count, &lost, &cursor, pool, 4) == SLABBY_OK && count == 2);
    cursor = 0;
    wrong += EXPECT(slabby_events_read(events, &count, &lost, &cursor, pool, 4) == SLABBY_OK && count == 1);
    wrong += EXPECT(slabby_verify(findings, &count, pool, 4) == SLABBY_OK && count == 0);
    wrong +=
        EXPECT(slabby_classify_fault(&fault, (uint64_t)(uintptr_t)data) == SLABBY_OK && fault.inside == 1);
    wrong += EXPECT(slabby_view(&view, pool) == SLABBY_OK && view.slab_size == 64);
    wrong += EXPECT(slabby_release(pool, ref) == SLABBY_OK);
    slabby_options_destroy(options);
    wrong += EXPECT(slabby_destroy(pool) == SLABBY_OK);
    puts(wrong == 0 ? "OK" : "wrong");
    return wrong;
}
