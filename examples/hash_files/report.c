/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static FILE *open_output(const char *path) {
    FILE *file = fopen(path, "we");
    if (file == NULL)
        fprintf(stderr, "hash_files: cannot write %s: %s\n", path, strerror(errno));
    return file;
}

static int close_output(FILE *file, const char *path) {
    int failed = ferror(file);
    if (fclose(file) == 0 && !failed)
        return 0;
    fprintf(stderr, "hash_files: writing %s failed: %s\n", path, strerror(errno));
    return -1;
}

static void print_digest(FILE *out, const struct file *file) {
    bool escape = strpbrk(file->path, "\\\n\r") != NULL;
    if (escape)
        fputc('\\', out);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        fprintf(out, "%02x", file->digest[i]);
    fputs("  ", out);
    for (const char *c = file->path; *c != '\0'; c++) {
        switch (*c) {
        case '\\':
            fputs("\\\\", out);
            break;
        case '\n':
            fputs("\\n", out);
            break;
        case '\r':
            fputs("\\r", out);
            break;
        default:
            fputc(*c, out);
        }
    }
    fputc('\n', out);
}

int report_digests(const char *output, const struct file_list *list) {
    FILE *out = open_output(output);
    if (out == NULL)
        return -1;
    for (size_t i = 0; i < list->count; i++) {
        if (list->files[i].error == 0)
            print_digest(out, &list->files[i]);
    }
    return close_output(out, output);
}

size_t report_unreadable(const struct file_list *list) {
    size_t unreadable = list->unreadable_directories;
    for (size_t i = 0; i < list->count; i++) {
        if (list->files[i].error != 0) {
            unreadable++;
            fprintf(stderr, "unreadable: %s: %s\n", list->files[i].path, strerror(list->files[i].error));
        }
    }
    return unreadable;
}

int report_stats(const char *output, const struct file_list *list, const struct pipeline_result *result,
                 slabby_allocator *pool) {
    char stats[16384];
    uint64_t length;
    slabby_status status = slabby_stats_json(stats, sizeof stats, &length, pool);
    if (status != SLABBY_OK) {
        fprintf(stderr, "hash_files: slabby_stats_json: %s\n", slabby_status_message(status));
        return -1;
    }
    size_t read = 0;
    for (size_t i = 0; i < list->count; i++)
        read += list->files[i].error == 0;
    FILE *out = open_output(output);
    if (out == NULL)
        return -1;
    fprintf(out,
            "{\"binding\": \"c\", \"files\": %zu, \"unreadable\": %zu, \"bytes\": %" PRIu64
            ", \"seconds\": %.6f, \"waits\": %" PRIu64 ", \"stats\": %s}\n",
            read, list->count - read + list->unreadable_directories, result->bytes, result->seconds,
            result->waits, stats);
    return close_output(out, output);
}
