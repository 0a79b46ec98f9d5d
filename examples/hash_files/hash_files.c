/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hashes files with SHA-256 through the slabs of one pool; `hash_files --help` says how to call it. */
#include "pipeline.h"
#include "report.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: hash_files --output FILE [--stats-json FILE] [--slabs N] [--slab-size BYTES]\n"
    "                  [--readers N] [--hashers N] PATH...\n"
    "\n"
    "Hashes files, and all files below directories, through the slabs of one pool.\n"
    "  --output FILE       where \"DIGEST  PATH\" lines go, sorted by path; sha256sum --check reads them\n"
    "  --stats-json FILE   where totals and the pool's statistics go\n"
    "  --slabs N           slabs in the pool (32)\n"
    "  --slab-size BYTES   bytes read at a time (65536)\n"
    "  --readers N         reading threads, 1 to 64 (2)\n"
    "  --hashers N         hashing threads, 1 to 64 (2)\n";

struct settings {
    const char *output;
    const char *stats_json;
    uint64_t slabs;
    uint64_t slab_size;
    unsigned readers;
    unsigned hashers;
};

static uint64_t number(const char *option, const char *text, uint64_t maximum) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < 1 || value > maximum) {
        fprintf(stderr, "hash_files: --%s: \"%s\" is not a number between 1 and %llu\n", option, text,
                (unsigned long long)maximum);
        exit(2);
    }
    return value;
}

static struct settings parse(int argc, char **argv) {
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},  {"stats-json", required_argument, NULL, 'j'},
        {"slabs", required_argument, NULL, 'n'},   {"slab-size", required_argument, NULL, 's'},
        {"readers", required_argument, NULL, 'r'}, {"hashers", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    struct settings settings = {.slabs = 32, .slab_size = 65536, .readers = 2, .hashers = 2};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'o':
            settings.output = optarg;
            break;
        case 'j':
            settings.stats_json = optarg;
            break;
        case 'n':
            settings.slabs = number("slabs", optarg, INT32_MAX);
            break;
        case 's':
            settings.slab_size = number("slab-size", optarg, 1u << 30);
            break;
        case 'r':
            settings.readers = (unsigned)number("readers", optarg, MAX_THREADS);
            break;
        case 't':
            settings.hashers = (unsigned)number("hashers", optarg, MAX_THREADS);
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (settings.output == NULL || optind == argc) {
        fputs("hash_files: give --output FILE and at least one path\n\n", stderr);
        fputs(usage, stderr);
        exit(2);
    }
    return settings;
}

/* The files of all paths; ends the process when a path does not exist, or when there is no file at all. */
static struct file_list collect(char **paths) {
    struct file_list list = {0};
    int refused = 0;
    for (char **path = paths; *path != NULL; path++) {
        int error = file_list_add(&list, *path);
        if (error == EINVAL)
            fprintf(stderr, "hash_files: %s: neither a file nor a directory\n", *path);
        else if (error != 0)
            fprintf(stderr, "hash_files: %s: %s\n", *path, strerror(error));
        refused += error != 0;
    }
    if (refused > 0)
        exit(2);
    if (list.count == 0) {
        fputs("hash_files: no files: the given paths hold none that could be hashed\n", stderr);
        exit(1);
    }
    file_list_sort(&list);
    return list;
}

static slabby_allocator *make_pool(const struct settings *settings) {
    slabby_allocator *pool;
    slabby_options *options;
    slabby_error error = {.struct_size = sizeof error};
    if (slabby_options_create(&options) != SLABBY_OK) {
        fputs("hash_files: no memory for the options\n", stderr);
        exit(1);
    }
    slabby_status status = slabby_options_set_text(options, "name", "hash_files", &error);
    if (status == SLABBY_OK)
        status = slabby_create(&pool, settings->slab_size, settings->slabs, options, &error);
    slabby_options_destroy(options);
    if (status != SLABBY_OK) {
        fprintf(stderr, "hash_files: no pool: %s\n", error.text);
        exit(1);
    }
    return pool;
}

/* Every slab must be back, and the pool must agree with itself. Returns 0, or -1 after a message. */
static int check_pool(slabby_allocator *pool) {
    slabby_stats stats = {.struct_size = sizeof stats};
    uint64_t findings;
    slabby_status status = slabby_get_stats(&stats, pool);
    if (status == SLABBY_OK)
        status = slabby_verify(NULL, &findings, pool, 0);
    if (status != SLABBY_OK) {
        fprintf(stderr, "hash_files: the pool could not be checked: %s\n", slabby_status_message(status));
        return -1;
    }
    if (stats.used_slabs == 0 && findings == 0)
        return 0;
    fprintf(stderr, "hash_files: %llu slabs are still in use, the pool found %llu faults in itself\n",
            (unsigned long long)stats.used_slabs, (unsigned long long)findings);
    return -1;
}

int main(int argc, char **argv) {
    struct settings settings = parse(argc, argv);
    struct file_list list = collect(argv + optind);
    slabby_allocator *pool = make_pool(&settings);

    struct pipeline_result result = pipeline_run(pool, &list, settings.readers, settings.hashers);

    int failed = check_pool(pool);
    size_t unreadable = report_unreadable(&list);
    failed |= report_digests(settings.output, &list);
    if (settings.stats_json != NULL)
        failed |= report_stats(settings.stats_json, &list, &result, pool);
    size_t read = list.count - (unreadable - list.unreadable_directories);
    printf("%zu %s, %zu unreadable, %.1f MB in %.2f s, %llu %s for a slab\n", read,
           read == 1 ? "file" : "files", unreadable, (double)result.bytes / 1e6, result.seconds,
           (unsigned long long)result.waits, result.waits == 1 ? "wait" : "waits");

    slabby_status status = slabby_destroy(pool);
    if (status != SLABBY_OK) {
        fprintf(stderr, "hash_files: slabby_destroy: %s\n", slabby_status_message(status));
        failed = -1;
    }
    file_list_free(&list);
    return failed == 0 ? 0 : 1;
}
