/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The audit records as JSON lines, each with a digest over the previous digest and its own text:
 *
 *   {"begin":0,"pool":"orders",...,"previous":"00..","digest":"D0"}    D0 = SHA-256(previous, text before ,"digest")
 *   {"sequence":0,"operation":"allocate",...,"digest":"D1"}            D1 = SHA-256(D0, text before ,"digest")
 *   {"lost":17,"sequence":1,...,"digest":"D2"}                         records 1 to 17 were overwritten unread
 *
 * Changing, removing or inserting a line breaks the next digest. The file alone reveals neither a missing end nor a
 * complete rewrite. To detect these, store the last digest elsewhere.
 */
#include "observe/audit.h"
#include "observe/audit_rings.h"
#include "observe/json.h"
#include "observe/sha256.h"
#include "os/os.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The first line of a file: each byte of the name as \u0000, three numbers, two digests. */
_Static_assert(sizeof "{\"begin\":,\"pool\":\"\",\"tag\":,\"time_ns\":,\"previous\":\"\",\"digest\":\"\"}\n" +
                       (sizeof(((struct slabby_allocator *)0)->options.name) - 1) * (sizeof "\\u0000" - 1) +
                       3 * 20 + 2 * 2 * SLB_SHA256_BYTES <=
                   SLB_AUDIT_LINE,
               "the longest line fits");

static void hex_digest(char out[65], const uint8_t *digest) {
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < SLB_SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
}

/* Ends the line that `text` holds so far and moves the chain's digest on. */
static void seal_line(struct slb_audit_chain *chain, struct slb_text *text) {
    struct slb_sha256 hash;
    char digest[65];
    slb_sha256_begin(&hash);
    slb_sha256_add(&hash, chain->digest, sizeof chain->digest);
    slb_sha256_add(&hash, text->buffer, slb_text_stored(text));
    slb_sha256_end(&hash, chain->digest);
    hex_digest(digest, chain->digest);
    slb_text_add(text, ",\"digest\":\"%s\"}\n", digest);
    SLB_ASSERT(text->length < text->capacity);
    chain->rest = (uint32_t)slb_text_stored(text);
    chain->rest_at = 0;
}

static struct slb_text line_of(struct slb_audit_chain *chain) {
    return (struct slb_text){.buffer = chain->line, .capacity = sizeof chain->line};
}

static void compose_begin(struct slabby_allocator *pool, struct slb_audit_chain *chain, uint64_t cursor) {
    struct slb_text text = line_of(chain);
    char previous[65];
    hex_digest(previous, chain->digest);
    slb_text_add(&text, "{\"begin\":%" PRIu64 ",\"pool\":", cursor);
    slb_json_text(&text, pool->options.name);
    slb_text_add(&text, ",\"tag\":%" PRIu64 ",\"time_ns\":%" PRIu64 ",\"previous\":\"%s\"",
                 slb_pool_tag(pool), slb_os_wall_ns(), previous);
    seal_line(chain, &text);
}

static void compose_lost(struct slb_audit_chain *chain, uint64_t lost) {
    struct slb_text text = line_of(chain);
    slb_text_add(&text, "{\"lost\":%" PRIu64 ",\"sequence\":%" PRIu64, lost, chain->cursor);
    seal_line(chain, &text);
}

static void compose_record(struct slb_audit_chain *chain, const slabby_audit_record *record) {
    struct slb_text text = line_of(chain);
    slb_text_add(&text,
                 "{\"sequence\":%" PRIu64 ",\"time_ns\":%" PRIu64 ",\"thread\":%" PRIu64
                 ",\"operation\":\"%s\",\"ref\":\"0x%" PRIx64 "\",\"status\":\"%s\",\"binding\":\"%s\"",
                 record->sequence, record->time_ns, record->thread,
                 slb_json_enumerator(slb_enum_audit_operation, record->operation), record->ref,
                 slb_status_name(record->status), slb_json_enumerator(slb_enum_binding, record->binding));
    seal_line(chain, &text);
}

/* ---------------------------------------------------------------------------------------------- the chains */

static bool is_of(const struct slb_audit_chain *chain, const struct slb_file *file) {
    return chain->device == file->device && chain->inode == file->inode;
}

/* The least recently used one. Chains of this file that it no longer holds are free. */
static struct slb_audit_chain *oldest_chain(struct slb_audit_chains *metadata, const struct slb_file *file) {
    struct slb_audit_chain *oldest = &metadata->chains[0];
    for (uint32_t i = 0; i < SLB_AUDIT_CHAINS; i++) {
        struct slb_audit_chain *chain = &metadata->chains[i];
        if (is_of(chain, file) && file->size < chain->written)
            chain->used_at = 0;
        oldest = chain->used_at < oldest->used_at ? chain : oldest;
    }
    return oldest;
}

/* The chain that this file and cursor continue. If there is none, a new chain replaces the least recently used one. A
 * new chain takes its `previous` from a chain that stopped at the same cursor, as in log rotation. */
static struct slb_audit_chain *chain_for(struct slabby_allocator *pool, const struct slb_file *file,
                                         uint64_t cursor) {
    struct slb_audit_chains *metadata = pool->audit_chains;
    const struct slb_audit_chain *before = NULL;
    for (uint32_t i = 0; i < SLB_AUDIT_CHAINS; i++) {
        struct slb_audit_chain *chain = &metadata->chains[i];
        if (chain->used_at == 0 || (chain->cursor != cursor && chain->asked != cursor))
            continue;
        if (is_of(chain, file) && file->size >= chain->written)
            return chain;
        if (chain->cursor != cursor)
            continue;
        if (chain->rest == 0 && (before == NULL || chain->used_at > before->used_at))
            before = chain;
    }
    uint8_t previous[SLB_SHA256_BYTES] = {0};
    if (before != NULL)
        memcpy(previous, before->digest, sizeof previous);
    struct slb_audit_chain *oldest = oldest_chain(metadata, file);
    memset(oldest, 0, sizeof *oldest);
    memcpy(oldest->digest, previous, sizeof previous);
    oldest->device = file->device;
    oldest->inode = file->inode;
    oldest->cursor = oldest->asked = oldest->after = cursor;
    compose_begin(pool, oldest, cursor);
    return oldest;
}

/* Writes the line that is composed, or what an earlier call left of it. The cursor moves only when the whole line is
 * out. 0, or the system's error number. */
static int flush_line(struct slb_audit_chain *chain, int32_t fd, uint64_t *count) {
    while (chain->rest > 0) {
        size_t written = 0;
        int failure = slb_os_write(fd, chain->line + chain->rest_at, chain->rest, &written);
        chain->rest_at += (uint32_t)written;
        chain->rest -= (uint32_t)written;
        chain->written += written;
        if (failure != 0)
            return failure;
    }
    *count += chain->cursor != chain->after && chain->is_record;
    chain->cursor = chain->after;
    return 0;
}

/* Composes one more line: a record, or the number of records lost before it; after such a line the record is read
 * again. */
static bool compose_next(struct slabby_allocator *pool, struct slb_audit_chain *chain,
                         slabby_status *out_status) {
    slabby_audit_record record;
    uint64_t lost = 0, at = chain->cursor;
    slb_audit_lock(pool);
    bool found = slb_audit_next(pool, &at, &lost, &record, out_status);
    slb_audit_unlock(pool);
    if (lost != 0)
        compose_lost(chain, lost);
    else if (found)
        compose_record(chain, &record);
    chain->is_record = lost == 0;
    chain->after = chain->cursor + (lost != 0 ? lost : found);
    return found || lost != 0;
}

static slabby_status report_failure(slabby_error *error, int failure, int32_t fd) {
    slabby_status status = failure == EBADF ? SLABBY_INVALID_ARGUMENT : SLABBY_WRITE_FAILED;
    return slb_error_set(error, status, 0, failure, 0, 0,
                         "descriptor %d refused the audit trail (errno %d, %s); call again with the same "
                         "cursor once it takes data, and the file goes on where it stopped",
                         (int)fd, failure, strerror(failure));
}

static slabby_status write_chain(struct slabby_allocator *pool, uint64_t *out_count, uint64_t *cursor,
                                 int32_t fd, slabby_error *error) {
    struct slb_file file = {.size = UINT64_MAX};
    slabby_status status = SLABBY_OK;
    slb_audit_lock(pool);
    uint64_t end = slb_audit_end(pool);
    slb_audit_unlock(pool);
    if (*cursor > end)
        return slb_error_set(error, SLABBY_INVALID_ARGUMENT, 0, slb_error_value(*cursor), 0, (int64_t)end,
                             "cursor %" PRIu64 " is beyond the newest record; start at 0", *cursor);
    int failure = slb_os_file(fd, &file);
    if (failure != 0)
        return report_failure(error, failure, fd);
    struct slb_audit_chain *chain = chain_for(pool, &file, *cursor);
    chain->used_at = ++pool->audit_chains->turn;
    failure = flush_line(chain, fd, out_count);
    /* Other threads may write records as fast as this one reads them: the trail holds no more than that at a time. */
    const uint64_t most = end + pool->audit.size;
    while (failure == 0 && chain->cursor < most && compose_next(pool, chain, &status))
        failure = flush_line(chain, fd, out_count);
    chain->asked = failure == 0 ? chain->cursor : *cursor;
    *cursor = chain->cursor;
    return failure == 0 ? status : report_failure(error, failure, fd);
}

/* One at a time: a chain has one end. A second writer does not wait, because the first may be stuck on a full pipe. A
 * child made by fork does not wait for a thread that stayed in the parent. */
SLB_PRIVATE slabby_status slb_audit_write(struct slabby_allocator *pool, uint64_t *out_count,
                                          uint64_t *cursor, int32_t fd, slabby_error *error) {
    _Atomic uint32_t *writer = &pool->audit_chains->writer;
    uint32_t here = slb_os_process();
    uint32_t before = atomic_load_explicit(writer, memory_order_relaxed);
    if (before == here || !atomic_compare_exchange_strong_explicit(
                              writer, &before, here, memory_order_acquire, memory_order_relaxed))
        return slb_error_set(error, SLABBY_BUSY, 0, fd, 0, 0,
                             "another thread is writing the audit trail of this pool; try again later");
    slabby_status status = write_chain(pool, out_count, cursor, fd, error);
    atomic_store_explicit(writer, 0, memory_order_release);
    return status;
}
