/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The clock of breaker and health. Test builds may replace it. */
#ifndef SLB_OS_CLOCK_H
#define SLB_OS_CLOCK_H

#include "os/os.h"

SLB_INLINE uint64_t slb_now_ns(void) {
#ifdef SLABBY_TEST_HOOKS
    if (slb_test_clock != NULL)
        return slb_test_clock();
#endif
    return slb_os_now_ns();
}

#endif
