/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The files to hash: what the given paths hold, sorted by name, each once. */
#ifndef HASH_FILES_FILE_LIST_H
#define HASH_FILES_FILE_LIST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32

struct file {
    char *path;
    int error; /* errno of what went wrong while reading, or 0 */
    uint64_t bytes;
    unsigned char digest[DIGEST_BYTES];
};

struct file_list {
    struct file *files;
    size_t count;
    size_t space;
    size_t unreadable_directories;
};

/* Adds the file, or all regular files below the directory. Symbolic links are followed only where they are the
 * path itself. A directory that cannot be read is reported on stderr and counted. Returns 0, or the errno of
 * the path itself. */
int file_list_add(struct file_list *list, const char *path);

/* Sorts by bytes and drops second mentions. Call once, after the last add. */
void file_list_sort(struct file_list *list);

void file_list_free(struct file_list *list);

#endif
