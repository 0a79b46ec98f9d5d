/* SPDX-License-Identifier: GPL-3.0-or-later */
/* run_refused EPERM|ENOSYS PROGRAM [ARGUMENT...]: runs a program to which membarrier is refused. */
#define _GNU_SOURCE
#include "refuse.h"
#include "skip.h"
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
    if (count < 3)
        return 2;
    if (!refuse_system_call(SYS_membarrier, strcmp(arguments[1], "EPERM") ? ENOSYS : EPERM))
        skip_all("this system offers no system call filters");
    execvp(arguments[2], &arguments[2]);
    perror(arguments[2]);
    return 2;
}
