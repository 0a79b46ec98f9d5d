/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A system call filter, as sandboxes install it: from now on, in this thread and all that it starts, over exec too. */
#ifndef SLABBY_TRAPS_REFUSE_H
#define SLABBY_TRAPS_REFUSE_H

/* One system call answers `error` from now on, all others work. False where the system has no such filters. */
int refuse_system_call(int number, int error);

#endif
