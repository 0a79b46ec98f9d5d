/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef SLABBY_TEST_RESIDENT_H
#define SLABBY_TEST_RESIDENT_H

/* How much memory of this process the system backs, in MiB. Skips the test where the system does not say. */
double resident_mib(void);

#endif
