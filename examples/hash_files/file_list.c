/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "file_list.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void *grown(void *memory, size_t bytes) {
    void *larger = realloc(memory, bytes);
    if (larger == NULL) {
        fprintf(stderr, "hash_files: no memory for the list of files (%zu bytes)\n", bytes);
        exit(1);
    }
    return larger;
}

static char *joined(const char *directory, const char *name) {
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    const char *slash = length > 0 && directory[length - 1] == '/' ? "" : "/";
    size_t size = length + strlen(name) + 2;
    char *path = grown(NULL, size);
    snprintf(path, size, "%.*s%s%s", (int)length, directory, slash, name);
    return path;
}

static void push(struct file_list *list, char *path) {
    if (list->count == list->space) {
        list->space = list->space == 0 ? 1024 : 2 * list->space;
        list->files = grown(list->files, list->space * sizeof list->files[0]);
    }
    list->files[list->count++] = (struct file){.path = path};
}

/* Directories that are still to be read; they own their paths. A stack of its own keeps deep trees off ours. */
struct pending {
    char **paths;
    size_t count;
    size_t space;
};

static void pending_push(struct pending *pending, char *path) {
    if (pending->count == pending->space) {
        pending->space = pending->space == 0 ? 64 : 2 * pending->space;
        pending->paths = grown(pending->paths, pending->space * sizeof pending->paths[0]);
    }
    pending->paths[pending->count++] = path;
}

static void add_entry(struct file_list *list, struct pending *pending, char *path) {
    struct stat status;
    bool known = lstat(path, &status) == 0; /* no: it vanished since the directory was read */
    if (known && S_ISDIR(status.st_mode))
        pending_push(pending, path);
    else if (known && S_ISREG(status.st_mode))
        push(list, path);
    else
        free(path);
}

static void read_directory(struct file_list *list, struct pending *pending, const char *path) {
    DIR *directory = opendir(path);
    if (directory == NULL) {
        fprintf(stderr, "unreadable: %s: %s\n", path, strerror(errno));
        list->unreadable_directories++;
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            add_entry(list, pending, joined(path, entry->d_name));
    }
    closedir(directory);
}

int file_list_add(struct file_list *list, const char *path) {
    struct stat status;
    if (stat(path, &status) != 0)
        return errno;
    char *copy = strdup(path);
    if (copy == NULL)
        return ENOMEM;
    if (S_ISREG(status.st_mode)) {
        push(list, copy);
        return 0;
    }
    if (!S_ISDIR(status.st_mode)) {
        free(copy);
        return EINVAL;
    }
    struct pending pending = {0};
    pending_push(&pending, copy);
    while (pending.count > 0) {
        char *next = pending.paths[--pending.count];
        read_directory(list, &pending, next);
        free(next);
    }
    free(pending.paths);
    return 0;
}

static int by_path(const void *left, const void *right) {
    return strcmp(((const struct file *)left)->path, ((const struct file *)right)->path);
}

void file_list_sort(struct file_list *list) {
    if (list->count == 0)
        return;
    qsort(list->files, list->count, sizeof list->files[0], by_path);
    size_t stored = 1;
    for (size_t i = 1; i < list->count; i++) {
        if (strcmp(list->files[i].path, list->files[stored - 1].path) == 0)
            free(list->files[i].path);
        else
            list->files[stored++] = list->files[i];
    }
    list->count = stored;
}

void file_list_free(struct file_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->files[i].path);
    free(list->files);
    *list = (struct file_list){0};
}
