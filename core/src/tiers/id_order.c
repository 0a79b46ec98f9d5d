/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/id_order.h"

#include "slab_word.h"
#include "tiers/cpu_cache_state.h"

#include <string.h>

/* How many lines the ids are of: an estimate from below, as two lines may have the same one of 256 bits. */
static uint32_t count_lines(const uint32_t *ids, uint32_t count) {
    uint64_t seen[4] = {0};
    uint32_t lines = 0;
    for (uint32_t i = 0; i < count; i++)
        seen[ids[i] / SLB_WORDS_A_LINE / 64 % 4] |= 1ull << ids[i] / SLB_WORDS_A_LINE % 64;
    for (uint32_t i = 0; i < 4; i++)
        lines += (uint32_t)__builtin_popcountll(seen[i]);
    return lines;
}

/* How often the next id is of another line. */
static uint32_t count_changes(const uint32_t *ids, uint32_t count) {
    uint32_t changes = 0;
    for (uint32_t i = 1; i < count; i++)
        changes += ids[i] / SLB_WORDS_A_LINE != ids[i - 1] / SLB_WORDS_A_LINE;
    return changes;
}

/* Shell's method: the ids are few, and sorted once for many uses. */
static void sort(uint32_t *ids, uint32_t count) {
    static const uint32_t gaps[] = {57, 23, 10, 4, 1};
    for (uint32_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++) {
        for (uint32_t i = gaps[g]; i < count; i++) {
            uint32_t id = ids[i], at = i;
            for (; at >= gaps[g] && ids[at - gaps[g]] > id; at -= gaps[g])
                ids[at] = ids[at - gaps[g]];
            ids[at] = id;
        }
    }
}

/* The k-th of each line's worth of ids, for each k; every other line first, because the processor fetches lines in
 * pairs. */
static void deal(uint32_t *ids, uint32_t count) {
    uint32_t sorted[SLB_CACHE_IDS], dealt = 0;
    memcpy(sorted, ids, count * sizeof ids[0]);
    for (uint32_t k = 0; k < SLB_WORDS_A_LINE; k++)
        for (uint32_t half = 0; half < 2; half++)
            for (uint32_t i = half * SLB_WORDS_A_LINE + k; i < count; i += 2 * SLB_WORDS_A_LINE)
                ids[dealt++] = sorted[i];
}

/* Whether the order is wanted, and not there yet. Ids of many lines, as random lifetimes leave them, have few
 * neighbours that could be brought together. */
static bool is_wanted(const uint32_t *ids, uint32_t count, bool by_line) {
    uint32_t changes = count_changes(ids, count);
    if (!by_line)
        return changes + 1 < count - count / 8;
    uint32_t lines = count_lines(ids, count);
    return 3 * lines <= count && changes >= 2 * lines;
}

SLB_PRIVATE void slb_order_ids(uint32_t *ids, uint32_t count, bool by_line) {
    if (!is_wanted(ids, count, by_line))
        return;
    sort(ids, count);
    if (!by_line)
        deal(ids, count);
}
