/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Accesses to memory that the processor refuses. */
#ifndef SLB_OS_FAULT_H
#define SLB_OS_FAULT_H

#include "base.h"

/* Once a process: calls `report` in the faulting thread, before any handler that the program has set up for such
 * faults; that handler then acts as it would without the core. verb: "write", "read", or "access" if the processor does
 * not report it. The report runs where signal handlers do. False if the system refuses. */
SLB_PRIVATE bool slb_os_report_faults(void (*report)(uintptr_t address, const char *verb));

/* To the error output, as a handler may do it. */
SLB_PRIVATE void slb_os_write_error(const char *text, size_t length);

#endif
