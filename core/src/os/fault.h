/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the processor reports about a fault. */
#ifndef SLB_OS_FAULT_H
#define SLB_OS_FAULT_H

#include "base.h"

/* "write", "read", or "access" if the architecture does not report it. context: the third argument of a handler. */
SLB_PRIVATE const char *slb_os_fault_verb(const void *context);

#endif
