/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "demand.h"

#include "credits.h"

#include <sched.h>

enum { BAG_SIZE = 160 };

struct bag {
    slabby_ref refs[BAG_SIZE];
    uint64_t count;
};

int demand_is_over(struct demand *demand) {
    if (threads_failed())
        return 1;
    return (atomic_load(&demand->over) || now_ns() >= demand->end_ns) && atomic_load(&demand->served) != 0;
}

static void fetch(struct demand *demand, struct bag *bag, uint64_t count) {
    slabby_ref *refs = bag->refs + bag->count;
    slabby_status status = count == 1 ? slabby_allocate(refs, NULL, demand->pool)
                                      : slabby_allocate_batch(refs, NULL, demand->pool, count);

    if (status == SLABBY_OK) {
        bag->count += count;
        atomic_fetch_add_explicit(&demand->served, count, memory_order_relaxed); /* read after the join */
    } else if (demand->by_credit || (status != SLABBY_OUT_OF_MEMORY && status != SLABBY_INVALID_BATCH_SIZE)) {
        complain("%llu slabs%s: %s", (unsigned long long)count, demand->by_credit ? " with credit" : "",
                 slabby_status_name(status));
    }
}

static void give(struct demand *demand, struct bag *bag, uint64_t count) {
    slabby_ref *refs = bag->refs + bag->count - count;
    uint64_t released = 1;
    slabby_status status = count == 1 ? slabby_release(demand->pool, refs[0])
                                      : slabby_release_batch(&released, demand->pool, refs, count);

    if (status != SLABBY_OK || released != count)
        complain("release: %s", slabby_status_name(status));
    bag->count -= count;
    if (demand->by_credit)
        give_credits(&demand->credits, (int64_t)count);
}

static void take_turn(struct demand *demand, struct bag *bag, uint64_t roll) {
    uint64_t count = roll % 4 ? 1 : 1 + (roll >> 8) % demand->batch_limit;
    int taking = (roll >> 40 & (demand->hoards ? 3 : 1)) && bag->count + count <= BAG_SIZE;

    if (taking && (!demand->by_credit || take_credits(&demand->credits, (int64_t)count)))
        fetch(demand, bag, count);
    else if (bag->count)
        give(demand, bag, count < bag->count ? count : bag->count);
    else
        sched_yield();
}

void demand_slabs(struct demand *demand, struct worker *worker) {
    struct bag bag = {.count = 0};

    do
        for (int i = 0; i < 64; i++)
            take_turn(demand, &bag, random_next(&worker->random));
    while (!demand_is_over(demand));
    while (bag.count && !threads_failed())
        give(demand, &bag, 1);
}

void verify_demanded(struct demand *demand) {
    slabby_finding finding = {.struct_size = sizeof finding};
    uint64_t findings = 0;

    if (slabby_verify(&finding, &findings, demand->pool, 1) != SLABBY_OK || findings)
        complain("verify found %llu things: %s", (unsigned long long)findings, finding.text);
}
