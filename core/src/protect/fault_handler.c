/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The handler of memory faults: if the address is in a pool, it writes a report to the error output. */
#include "protect/fault.h"

#include "observe/plain_text.h"
#include "observe/stacks.h"
#include "os/fault.h"
#include "os/module.h"
#include "os/os.h"
#include "tiers/in_flight.h"

/* Too large for a signal stack; one report at a time. */
static char fault_report[8192];
static atomic_flag fault_reporting = ATOMIC_FLAG_INIT;

static bool on_a_guard(const struct slb_fault_info *fault) {
    return fault->guarded || fault->offset < 0 || fault->offset >= (int64_t)fault->pool->slab_size;
}

static void print_report(const struct slb_fault_info *fault, const char *verb) {
    struct slb_text text = {.buffer = fault_report, .capacity = sizeof fault_report - 1};
    for (uint32_t attempt = 0; atomic_flag_test_and_set_explicit(&fault_reporting, memory_order_acquire);
         attempt++)
        slb_os_wait_a_little(attempt);
    slb_plain_add(&text, "slabby: ");
    slb_fault_print(&text, verb, fault);
    if (fault->used)
        (void)slb_stacks_print(&text, fault->pool, fault->id, fault->generation);
    slb_plain_add(&text, "\n");
    slb_os_write_error(fault_report, slb_text_stored(&text));
    atomic_flag_clear_explicit(&fault_reporting, memory_order_release);
}

static void report_fault(uintptr_t address, const char *verb) {
    struct slb_fault_info fault;
    if (!slb_fault_locate(address, &fault))
        return;
    slb_count(&fault.pool->counts.guard_violations, on_a_guard(&fault));
    print_report(&fault, verb);
}

SLB_PRIVATE bool slb_fault_handler_install(void) {
    slb_os_keep_module();
    return slb_os_report_faults(report_fault);
}
