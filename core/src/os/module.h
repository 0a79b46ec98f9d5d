/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The module that contains the core: the shared library, or a program or plugin that the static one is linked into. */
#ifndef SLB_OS_MODULE_H
#define SLB_OS_MODULE_H

#include "base.h"

/* From now on the module stays mapped, whatever dlclose is told. The kernel reads the last sequence of each thread when
 * it next preempts that thread, a handler for faults stays installed, and the thread slabby-health runs in it. */
SLB_PRIVATE void slb_os_keep_module(void);

#endif
