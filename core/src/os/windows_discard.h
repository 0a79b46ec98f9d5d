/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The interface between two files for Windows: a discard takes pages away for a moment, and the fault handler makes
 * late readers wait for that moment. */
#ifndef SLB_OS_WINDOWS_DISCARD_H
#define SLB_OS_WINDOWS_DISCARD_H

#include "base.h"

/* Whether the address lies in a range that is being discarded. */
SLB_PRIVATE bool slb_os_is_away(uintptr_t address);

/* Installs the handler, once a process; false if the system refuses. */
SLB_PRIVATE bool slb_os_stop_late_readers(void);

#endif
