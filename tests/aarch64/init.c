/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The first process of an emulated machine: runs each program /tests/PERCENT-NAME with that much of its work, says
 * how each ended, and switches the machine off. Its last word, "all N programs ended well" or "M of N programs
 * failed", is what the host looks for; a kernel that dies never says it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_program(const struct dirent *entry) {
    return strchr(entry->d_name, '-') != NULL;
}

static void run_program(const char *name) {
    char path[300], percent[16];
    snprintf(path, sizeof path, "/tests/%s", name);
    snprintf(percent, sizeof percent, "%d", atoi(name));
    setenv("SLABBY_TEST_SCALE", percent, 1);
    execl(path, name, (char *)NULL);
    perror(path);
    _exit(127);
}

/* Whether the program ended with 0, or with the 77 of those that cannot run here. */
static int ends_well(const char *name) {
    int status = 0;
    printf("== %s\n", name);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        run_program(name);
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror(name);
        return 0;
    }
    if (WIFSIGNALED(status))
        printf("-- %s: signal %d\n", name, WTERMSIG(status));
    else
        printf("-- %s: exit %d\n", name, WEXITSTATUS(status));
    return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
}

/* KEY=VALUE words that the kernel does not know are in our environment already; the rest is the usual. */
static void set_up(void) {
    struct utsname system;
    if (mount("proc", "/proc", "proc", 0, NULL) != 0 || mount("sys", "/sys", "sysfs", 0, NULL) != 0)
        perror("mount");
    if (uname(&system) == 0)
        printf("== %s %s on %s, %ld CPUs\n", system.sysname, system.release, system.machine,
               sysconf(_SC_NPROCESSORS_ONLN));
}

int main(void) {
    struct dirent **names = NULL;
    set_up();
    int count = scandir("/tests", &names, is_program, alphasort);
    int failed = 0;
    for (int i = 0; i < count; i++)
        failed += !ends_well(names[i]->d_name);
    if (count > 0 && failed == 0)
        printf("== all %d programs ended well\n", count);
    else
        printf("== %d of %d programs failed\n", failed, count);
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
