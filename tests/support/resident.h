/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef SLABBY_TEST_RESIDENT_H
#define SLABBY_TEST_RESIDENT_H

/* How much memory of this process the system backs, in MiB. Skips the test where the system does not say. */
double resident_mib(void);

/* From here on the system puts no pages together to huge ones: those hold pages that nothing has touched, up to 2 MiB
 * around some that something has. */
void resident_pages_stay_small(void);

#endif
