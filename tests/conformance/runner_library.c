/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The C binding of a process that several bindings share (shared.py): the runner as a library. The driver keeps the
 * registers that all bindings see, sets those an instruction reads and fetches those it wrote. */
#include "runner.h"

#include <stdlib.h>

/* A pool of any binding; the driver adopted it for this one. Null unsets the register. */
void conform_set_pool(uint32_t index, slabby_allocator *pool) {
    static struct seen unused; /* the driver numbers ids */
    machine.pools[index] = pool;
    machine.seen_of[index] = &unused;
    unused.count = 0;
}

slabby_allocator *conform_pool(uint32_t index) {
    return machine.pools[index];
}

void conform_set_ref(uint32_t index, slabby_ref ref) {
    machine.refs[index] = ref;
}

slabby_ref conform_ref(uint32_t index) {
    return machine.refs[index];
}

/* Another binding's id, without bytes; an id below 0 unsets the register. */
void conform_set_fast(uint32_t index, int32_t id) {
    machine.fasts[index] = (struct fast){.set = id >= 0, .id = id >= 0 ? (uint32_t)id : 0};
}

int32_t conform_fast(uint32_t index) {
    return machine.fasts[index].set ? (int32_t)machine.fasts[index].id : -1;
}

int32_t conform_viewed(uint32_t index) {
    return machine.views[index].pool != NULL;
}

/* Takes what was granted, and answers how many wait still. */
uint64_t conform_waiting(uint32_t index) {
    return count_waiting(machine.pools[index]);
}

/* Forgets a program's registers; its pools were ended. */
void conform_new(void) {
    while (machine.seen != NULL) {
        struct seen *seen = machine.seen;
        machine.seen = seen->next;
        free(seen);
    }
    machine = (struct machine){0};
}

/* Carries out one instruction, which is cut into words in place; its line without the newline. */
const char *conform_run(char *line) {
    run_line(line);
    return take_output();
}
