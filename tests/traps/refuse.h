/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A filter for one system call, see filter.h. */
#ifndef SLABBY_TRAPS_REFUSE_H
#define SLABBY_TRAPS_REFUSE_H

/* One system call answers `error` from now on, all others work. False where the system has no such filters. */
int refuse_system_call(int number, int error);

#endif
