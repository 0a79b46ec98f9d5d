/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A system call filter, as sandboxes install it: from now on, in this thread and all that it starts, over exec too. */
#ifndef SLABBY_TRAPS_FILTER_H
#define SLABBY_TRAPS_FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>

#define FILTER_LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define FILTER_JUMP(how, value, when_true, when_false)                                                       \
    BPF_JUMP(BPF_JMP | (how) | BPF_K, (unsigned)(value), when_true, when_false)
#define FILTER_ANSWER(error)                                                                                 \
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)(error)&SECCOMP_RET_DATA))
#define FILTER_ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* False where the system has no such filters. */
bool install_filter(struct sock_filter *code, size_t length);

/* The end of a program that runs another one, arguments[1], behind a filter: answers main's result where it does not
 * come to that. */
int run_behind_filter(char **arguments, bool installed, bool (*is_simulated)(void));

#endif
