/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Preemption at random at the core's named race windows; for programs over a library with test hooks. */
#ifndef SLABBY_TEST_DISTURB_H
#define SLABBY_TEST_DISTURB_H

/* Threads yield often at the windows, and sleep sometimes. CPUs go on owning words however often others share them.
 * Only while no thread runs. */
void disturb(int enabled);

#endif
