/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * schedule [--full | --preemptions N] [--list] [SCENARIO...]
 * schedule --replay 'SCENARIO@STEP:TASK,...'
 *
 * Searches the named scenarios, or all, for an order that breaks something: exit status 1 at the first, with the
 * string that repeats it.
 */
#include "scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct scenario *const lists[] = {
    audit_scenarios,   word_scenarios,    bias_scenarios,    order_scenarios,
    tier_scenarios,    waiting_scenarios, ending_scenarios,  resize_scenarios,
    awaited_scenarios, late_scenarios,    shuffle_scenarios, lease_scenarios,
    section_scenarios, single_scenarios,  by_id_scenarios,   fork_scenarios};

#define LISTS (sizeof lists / sizeof *lists)

static const struct scenario *find(const char *name, size_t length) {
    for (size_t i = 0; i < LISTS; i++)
        for (const struct scenario *scenario = lists[i]; scenario->name != NULL; scenario++)
            if (strlen(scenario->name) == length && memcmp(scenario->name, name, length) == 0)
                return scenario;
    fprintf(stderr, "no scenario \"%.*s\"; see --list\n", (int)length, name);
    exit(2);
}

static void search(const struct scenario *scenario, bool full, long preemptions) {
    uint32_t most = scenario->preemptions;

    if (full)
        most += scenario->more != 0 ? scenario->more : 1;
    schedule_search(scenario, preemptions >= 0 ? (uint32_t)preemptions : most);
}

static void replay(const char *order) {
    const char *at = strchr(order, '@');

    if (at == NULL) {
        fprintf(stderr, "an order reads SCENARIO@STEP:TASK,..., not \"%s\"\n", order);
        exit(2);
    }
    schedule_replay(find(order, (size_t)(at - order)), at + 1);
}

int main(int count, char **words) {
    bool full = false, named = false, list = false;
    long preemptions = -1;

    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--full") == 0) {
            full = true;
        } else if (strcmp(words[i], "--list") == 0) {
            list = true;
        } else if (strcmp(words[i], "--preemptions") == 0 && i + 1 < count) {
            preemptions = strtol(words[++i], NULL, 10);
        } else if (strcmp(words[i], "--replay") == 0 && i + 1 < count) {
            replay(words[++i]);
            return 0;
        } else {
            search(find(words[i], strlen(words[i])), full, preemptions);
            named = true;
        }
    }
    for (size_t i = 0; i < LISTS && !named; i++)
        for (const struct scenario *scenario = lists[i]; scenario->name != NULL; scenario++)
            if (list)
                printf("%-28s %s\n", scenario->name, scenario->says);
            else
                search(scenario, full, preemptions);
    return 0;
}
