/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the program leaves behind: the list of digests, and what happened as JSON. */
#ifndef HASH_FILES_REPORT_H
#define HASH_FILES_REPORT_H

#include "pipeline.h"

/* Writes "DIGEST  PATH" lines of the readable files as sha256sum does, so that `sha256sum --check` reads them,
 * names with a backslash or a line end escaped. Returns 0, or -1 after a message. */
int report_digests(const char *output, const struct file_list *list);

/* Writes one JSON object: the totals, and the pool's own statistics under "stats". Returns 0, or -1 after a
 * message. */
int report_stats(const char *output, const struct file_list *list, const struct pipeline_result *result,
                 slabby_allocator *pool);

/* How many files could not be read, and unreadable directories with them. Names each file on stderr. */
size_t report_unreadable(const struct file_list *list);

#endif
