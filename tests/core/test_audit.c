/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The audit trail: what is recorded, what cursors see, what is written to a descriptor. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "observe/sha256.h"
#include "os/os.h"

#define MANY 64

static void use(slabby_allocator *pool, int pairs) {
    for (int i = 0; i < pairs; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
}

/* Everything that is there, through one cursor; answers how many. */
static uint64_t read_all(slabby_allocator *pool, slabby_audit_record *records, uint64_t capacity) {
    uint64_t count = 0;
    uint64_t lost = 0;
    uint64_t cursor = 0;

    records[0].struct_size = sizeof records[0];
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, capacity), SLABBY_OK);
    assert_int_equal(lost, 0);
    assert_int_equal(cursor, count);
    return count;
}

static void check_record(const slabby_audit_record *record, int32_t operation, uint64_t ref,
                         slabby_status status) {
    assert_int_equal(record->operation, operation);
    assert_int_equal(record->ref, ref);
    assert_int_equal(record->status, status);
}

/* Guards: each call leaves its record, refused ones their status; one slab's records stand in the
 * order of its life. */
static void every_call_is_recorded(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, MANY}));
    slabby_audit_record records[MANY];
    slabby_ref batch[2];
    slabby_ref first = take(pool);
    uint64_t at = 0;
    uint32_t id = 0;
    void *data = NULL;

    (void)state;
    CHECK_STATUS(slabby_data(&data, pool, first), SLABBY_OK);
    CHECK_STATUS(slabby_pin(pool, first), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, first), SLABBY_PINNED);
    CHECK_STATUS(slabby_release_deferred(pool, first), SLABBY_OK);
    CHECK_STATUS(slabby_unpin(pool, first), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, first), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_data(&data, pool, first), SLABBY_USE_AFTER_FREE);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_batch(batch, NULL, pool, 2), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, batch[0]), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SHARDS, 2, NULL), SLABBY_COLD_OPTION);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_reclaim(NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&first, NULL, pool), SLABBY_CLOSED);

    assert_int_equal(read_all(pool, records, MANY), 21);
    slabby_ref slab = records[1].ref;
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_CREATE, 0, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_ALLOCATE, slab, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_PIN, slab, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_RELEASE, slab, SLABBY_PINNED);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_RELEASE_DEFERRED, slab, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_RELEASE, slab, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_UNPIN, slab, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_RELEASE, slab, SLABBY_DOUBLE_DEALLOCATION);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_ACCESS, slab, SLABBY_USE_AFTER_FREE);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_ALLOCATE_FAST, id, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_DEALLOCATE_FAST, id, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_ALLOCATE_BATCH, batch[0], SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_ALLOCATE_BATCH, batch[1], SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_RELEASE, batch[0], SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_OPTION_CHANGE, SLABBY_OPTION_SHARDS,
                 SLABBY_COLD_OPTION);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_RELEASE, batch[1], SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_RESET, 0, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_TRIM, 0, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_RECLAIM, 0, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_CLOSE, 0, SLABBY_OK);
    check_record(&records[at++], SLABBY_AUDIT_OPERATION_ALLOCATE, 0, SLABBY_CLOSED);
    assert_int_equal(at, 21);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

static void *allocate_silently(void *argument) {
    slabby_allocator *pool = argument;

    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    return NULL;
}

/* Guards: a thread that says nothing has the binding of the one that made the pool. */
static void silent_threads_have_the_makers_binding(void **state) {
    slabby_audit_record records[8];
    slabby_allocator *pool;
    pthread_t thread;

    (void)state;
    CHECK_STATUS(slabby_set_binding(SLABBY_BINDING_SWIG), SLABBY_OK);
    pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 8}));
    CHECK_STATUS(slabby_set_binding(SLABBY_BINDING_C), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    CHECK_STATUS(slabby_set_binding(-1), SLABBY_OK);
    assert_int_equal(pthread_create(&thread, NULL, allocate_silently, pool), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(read_all(pool, records, 8), 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(records[i].binding, i == 1 || i == 2 ? SLABBY_BINDING_C : SLABBY_BINDING_SWIG);
    finish(pool);
}

static void *allocate_as_go(void *argument) {
    slabby_allocator *pool = argument;
    slabby_ref ref = 0;

    CHECK_STATUS(slabby_set_binding(SLABBY_BINDING_GO), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    return (void *)(uintptr_t)syscall(SYS_gettid);
}

/* Guards: a record names its thread, the language of that thread alone, and a time between before
 * and after. */
static void records_name_thread_binding_and_time(void **state) {
    struct timespec before, after;
    slabby_audit_record records[8];
    slabby_allocator *pool;
    pthread_t thread;
    void *other = NULL;

    (void)state;
    clock_gettime(CLOCK_REALTIME, &before);
    pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 8}));
    assert_int_equal(pthread_create(&thread, NULL, allocate_as_go, pool), 0);
    assert_int_equal(pthread_join(thread, &other), 0);
    clock_gettime(CLOCK_REALTIME, &after);
    assert_int_equal(read_all(pool, records, 8), 3);
    assert_int_equal(records[0].thread, (uint64_t)syscall(SYS_gettid));
    assert_int_equal(records[0].binding, SLABBY_BINDING_C);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(records[i].thread, (uintptr_t)other);
        assert_int_equal(records[i].binding, SLABBY_BINDING_GO);
        assert_true(records[i].time_ns >= (uint64_t)before.tv_sec * 1000000000u);
        assert_true(records[i].time_ns <= ((uint64_t)after.tv_sec + 1) * 1000000000u);
    }
    CHECK_STATUS(slabby_set_binding(-2), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_set_binding(SLABBY_BINDING_GO + 1), SLABBY_INVALID_ARGUMENT);
    finish(pool);
}

/* Guards: the ring keeps as many as the option says, rounded up, and counts exactly what was
 * overwritten. */
static void overwritten_records_are_counted(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 5}));
    slabby_audit_record records[16] = {{.struct_size = sizeof records[0]}};
    uint64_t cursor = 0;
    uint64_t count = 0;
    uint64_t lost = 0;
    int64_t stored = 0;

    (void)state;
    CHECK_STATUS(slabby_get_option(&stored, pool, SLABBY_OPTION_AUDIT), SLABBY_OK);
    assert_int_equal(stored, 8);
    use(pool, 10);
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, 3), SLABBY_OK);
    assert_int_equal(count, 3);
    assert_int_equal(lost, 13);
    assert_int_equal(records[0].sequence, 13);
    assert_int_equal(cursor, 16);
    CHECK_STATUS(slabby_audit_read(records, &count, NULL, &cursor, pool, 16), SLABBY_OK);
    assert_int_equal(count, 5);
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, 16), SLABBY_OK);
    assert_int_equal(count + lost, 0);
    cursor++;
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, 16), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(cursor, 22);
    records[0].struct_size = 7;
    cursor = 0;
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, 1), SLABBY_ABI_MISMATCH);
    finish(pool);
}

/* Guards: a pool without the option keeps nothing and says so. */
static void without_the_option_there_is_no_audit(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_audit_record record = {.struct_size = sizeof record};
    slabby_error error = fresh_error();
    uint64_t cursor = 0;
    uint64_t count = 7;

    (void)state;
    CHECK_STATUS(slabby_audit_read(&record, &count, NULL, &cursor, pool, 1), SLABBY_NOT_SUPPORTED);
    CHECK_STATUS(slabby_audit_write(NULL, &cursor, pool, 1, &error), SLABBY_NOT_SUPPORTED);
    assert_int_equal(error.option, SLABBY_OPTION_AUDIT);
    assert_int_equal(count, 7);
    finish(pool);
}

/* ------------------------------------------------------------------------------------ writing */

static int temporary_file(char *name, size_t size) {
    const char *folder = getenv("TMPDIR");

    snprintf(name, size, "%s/slabby-audit-XXXXXX", folder == NULL ? "/tmp" : folder);
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    return fd;
}

/* Checks the chain as docs/audit.md describes it, line by line, from a digest that it moves on; answers the lines. */
static uint64_t verify_chain_from(const char *name, uint8_t *digest) {
    char line[1024];
    uint64_t lines = 0;
    FILE *file = fopen(name, "r");

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        struct slb_sha256 hash;
        char *seal = strstr(line, ",\"digest\":\"");
        char found[2 * SLB_SHA256_BYTES + 1];

        assert_non_null(seal);
        slb_sha256_begin(&hash);
        slb_sha256_add(&hash, digest, SLB_SHA256_BYTES);
        slb_sha256_add(&hash, line, (size_t)(seal - line));
        slb_sha256_end(&hash, digest);
        for (size_t i = 0; i < SLB_SHA256_BYTES; i++)
            snprintf(found + 2 * i, 3, "%02x", digest[i]);
        assert_memory_equal(found, seal + 11, 64);
        assert_string_equal(seal + 75, "\"}\n");
        lines++;
    }
    fclose(file);
    return lines;
}

static uint64_t verify_chain(const char *name) {
    uint8_t digest[SLB_SHA256_BYTES] = {0};

    return verify_chain_from(name, digest);
}

/* Guards: calls go on with one chain in one file; a loss is a line; records come out once. */
static void written_lines_are_chained(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 8}));
    char name[256];
    int fd = temporary_file(name, sizeof name);
    uint64_t cursor = 0;
    uint64_t count = 0;

    (void)state;
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, fd, NULL), SLABBY_OK);
    assert_int_equal(count, 3);
    assert_int_equal(verify_chain(name), 4);
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, fd, NULL), SLABBY_OK);
    assert_int_equal(count, 0);
    use(pool, 8);
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, fd, NULL), SLABBY_OK);
    assert_int_equal(count, 8);
    assert_int_equal(cursor, 19);
    assert_int_equal(verify_chain(name), 4 + 1 + 8);
    cursor = 20;
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, fd, NULL), SLABBY_INVALID_ARGUMENT);
    close(fd);
    unlink(name);
    finish(pool);
}

/* Guards: a name of the longest length is written in full, whichever bytes JSON escapes in it. */
static void every_name_fits(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        slabby_options *options = NULL;
        slabby_allocator *pool = NULL;
        char file[256], name[64] = "";
        int fd = temporary_file(file, sizeof file);
        uint64_t cursor = 0, count = 0;

        memset(name, "\"\n\xff"[i], sizeof name - 1);
        CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
        CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_AUDIT, 8, NULL), SLABBY_OK);
        CHECK_STATUS(slabby_options_set_text(options, "name", name, NULL), SLABBY_OK);
        CHECK_STATUS(slabby_create(&pool, 64, 4, options, NULL), SLABBY_OK);
        slabby_options_destroy(options);
        CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, fd, NULL), SLABBY_OK);
        assert_int_equal(verify_chain(file), 2);
        close(fd);
        unlink(file);
        finish(pool);
    }
}

enum { RECORDS = 1024, LINES_WATCHED = 20 * RECORDS };

struct echo {
    slabby_allocator *pool;
    int from;
};

/* Reads lines, and does with each of the first what makes two records more. */
static void *answer_lines(void *argument) {
    struct echo *echo = argument;
    char bytes[512];
    uint64_t lines = 0;

    for (ssize_t got; (got = read(echo->from, bytes, sizeof bytes)) > 0;)
        for (ssize_t i = 0; i < got; i++)
            if (bytes[i] == '\n' && lines++ < LINES_WATCHED)
                (void)slabby_release(echo->pool, take(echo->pool));
    return NULL;
}

/* Guards: who writes the trail ends although others write records as fast: here two for each line. A pipe holds fewer
 * lines than the trail has records at first, so the writer never comes to its end. */
static void writing_ends_beside_busy_threads(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, RECORDS}));
    uint64_t cursor = 0, count = 0;
    struct echo echo = {.pool = pool};
    pthread_t thread;
    int ends[2];

    (void)state;
    use(pool, RECORDS / 2);
    assert_int_equal(pipe(ends), 0);
    echo.from = ends[0];
    assert_int_equal(pthread_create(&thread, NULL, answer_lines, &echo), 0);
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, ends[1], NULL), SLABBY_OK);
    close(ends[1]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(ends[0]);
    assert_in_range(cursor, RECORDS, 3 * RECORDS);
    finish(pool);
}

/* Writes while no file may be longer than `longest`. */
static slabby_status write_limited(uint64_t *count, uint64_t *cursor, slabby_allocator *pool, int fd,
                                   rlim_t longest, slabby_error *error) {
    struct rlimit before;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = longest, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    slabby_status status = slabby_audit_write(count, cursor, pool, fd, error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    return status;
}

/* Guards: a descriptor that refuses is reported, raises no signal, and the trail goes on in the
 * middle of the line that was cut. */
static void refused_writes_lose_nothing(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 64}));
    slabby_error error = fresh_error();
    char name[256];
    int fd = temporary_file(name, sizeof name);
    int ends[2];
    uint64_t cursor = 0;
    uint64_t count = 0;

    (void)state;
    use(pool, 8);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, ends[1], &error), SLABBY_WRITE_FAILED);
    assert_int_equal(error.value, EPIPE);
    assert_int_equal(cursor + count, 0);
    close(ends[1]);
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, ends[1], &error), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, -1, &error), SLABBY_INVALID_ARGUMENT);

    uint64_t written = 0;
    for (rlim_t limit = 100; written < 17; limit += 100) {
        uint64_t given = cursor;
        slabby_status status = write_limited(&count, &cursor, pool, fd, limit, &error);
        written += count;
        assert_int_equal(cursor, written);
        CHECK_STATUS(status, written == 17 ? SLABBY_OK : SLABBY_WRITE_FAILED);
        assert_true(written == 17 || error.value == EFBIG);
        if (limit % 200 == 0 && status != SLABBY_OK)
            cursor = given; /* a caller whose language loses results when there is an error */
    }
    assert_int_equal(verify_chain(name), 18);
    close(fd);
    unlink(name);
    finish(pool);
}

/* Guards: a file that was truncated begins with its own first line, also where the last one was cut, and the chain goes
 * on where it was not. */
static void emptied_files_begin_anew(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 64}));
    uint8_t digest[SLB_SHA256_BYTES] = {0};
    char name[256];
    int fd = temporary_file(name, sizeof name);
    uint64_t cursor = 0, count = 0;

    (void)state;
    assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
    use(pool, 4);
    CHECK_STATUS(write_limited(&count, &cursor, pool, fd, 600, NULL), SLABBY_WRITE_FAILED);
    for (rlim_t limit = 100; limit < 300;
         limit += 100) { /* the second file is cut behind the first one's end */
        assert_int_equal(ftruncate(fd, 0), 0);
        CHECK_STATUS(write_limited(&count, &cursor, pool, fd, limit, NULL), SLABBY_WRITE_FAILED);
    }
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, fd, NULL), SLABBY_OK);
    assert_in_range(count, 7, 8);
    assert_int_equal(verify_chain_from(name, digest), 1 + count);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        use(pool, 1);
        CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, fd, NULL), SLABBY_OK);
        assert_int_equal(verify_chain_from(name, digest), 3);
    }
    close(fd);
    unlink(name);
    finish(pool);
}

struct slow_reader {
    int fd;
    uint64_t bytes;
};

static void *read_slowly(void *argument) {
    struct slow_reader *reader = argument;
    char buffer[61];
    ssize_t got;

    while ((got = read(reader->fd, buffer, sizeof buffer)) > 0)
        reader->bytes += (uint64_t)got;
    return NULL;
}

/* Guards: a full non-blocking pipe is waited for, and everything arrives. */
static void full_pipes_are_waited_for(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 1024}));
    struct slow_reader reader = {0};
    pthread_t thread;
    int ends[2];
    uint64_t cursor = 0;
    uint64_t count = 0;

    (void)state;
    use(pool, 500);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, 0), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
    reader.fd = ends[0];
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, ends[1], NULL), SLABBY_OK);
    close(ends[1]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(ends[0]);
    assert_int_equal(count, 1001);
    assert_true(reader.bytes > 1001 * 100);
    finish(pool);
}

/* Guards: the digest is the SHA-256 of FIPS 180-4: the standard's vectors, in pieces of any
 * length. */
static void digests_are_sha256(void **state) {
    static const struct {
        const char *text;
        unsigned repeated;
        const char *digest;
    } vectors[] = {
        {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        struct slb_sha256 hash;
        uint8_t digest[SLB_SHA256_BYTES];
        char hex[2 * SLB_SHA256_BYTES + 1];

        slb_sha256_begin(&hash);
        for (unsigned j = 0; j < vectors[i].repeated; j++)
            slb_sha256_add(&hash, vectors[i].text, strlen(vectors[i].text));
        slb_sha256_end(&hash, digest);
        for (size_t j = 0; j < sizeof digest; j++)
            snprintf(hex + 2 * j, 3, "%02x", digest[j]);
        assert_string_equal(hex, vectors[i].digest);
    }
}

/* A trail with a loss and a strange name, for the checker's own test. */
static int write_sample(const char *name) {
    slabby_options *options = NULL;
    slabby_allocator *pool = NULL;
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    uint64_t cursor = 0;
    uint64_t count = 0;
    slabby_ref ref = 0;

    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_AUDIT, 8, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "name", "a \"name\"\n\\ \xc3\xa9", NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 4, options, NULL), SLABBY_OK);
    for (int i = 0; i < 20; i++) {
        CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
        if (i == 2 || i == 19)
            CHECK_STATUS(slabby_audit_write(&count, &cursor, pool, fd, NULL), SLABBY_OK);
    }
    slabby_options_destroy(options);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    return close(fd);
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;

    assert_int_equal(clock_gettime(clock, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One pair, whose records are read; answers when the allocation was. */
static uint64_t time_of_next(slabby_allocator *pool, uint64_t *cursor) {
    slabby_audit_record records[4] = {{.struct_size = sizeof records[0]}};
    uint64_t count = 0;
    uint64_t lost = 0;

    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, cursor, pool, COUNT_OF(records)), SLABBY_OK);
    assert_int_equal(count, 2);
    assert_int_equal(lost, 0);
    assert_true(records[0].time_ns < records[1].time_ns);
    return records[0].time_ns;
}

/* Guards: the time of a record is the system's, and not earlier than its coarse clock was before the call: in a burst,
 * and behind one, when nothing was recorded for a while. */
static void times_are_the_systems(void **state) {
    const uint64_t off = 1000000; /* between two clocks of the system that are read one after the other */
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 1024}));
    uint64_t cursor = 1;

    (void)state;
    for (int round = 0; round < 20; round++) {
        int pairs = 100 + round; /* the clock is read for one in so many records: anywhere in between */
        use(pool, pairs);
        cursor += 2 * (uint64_t)pairs;
        uint64_t ended = clock_ns(CLOCK_MONOTONIC);
        if (round % 2 == 0) /* until a time of the burst is seen to be old */
            WAIT_UNTIL(clock_ns(CLOCK_MONOTONIC_COARSE) > ended + 2 * off);
        uint64_t coarse = clock_ns(CLOCK_REALTIME_COARSE);
        uint64_t time = time_of_next(pool, &cursor);
        assert_in_range(time, coarse - off, clock_ns(CLOCK_REALTIME) + off);
    }
    finish(pool);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_recorded),
        cmocka_unit_test(records_name_thread_binding_and_time),
        cmocka_unit_test(silent_threads_have_the_makers_binding),
        cmocka_unit_test(overwritten_records_are_counted),
        cmocka_unit_test(without_the_option_there_is_no_audit),
        cmocka_unit_test(written_lines_are_chained),
        cmocka_unit_test(every_name_fits),
        cmocka_unit_test(writing_ends_beside_busy_threads),
        cmocka_unit_test(refused_writes_lose_nothing),
        cmocka_unit_test(emptied_files_begin_anew),
        cmocka_unit_test(full_pipes_are_waited_for),
        cmocka_unit_test(times_are_the_systems),
        cmocka_unit_test(digests_are_sha256),
    };

    if (argc == 3 && strcmp(argv[1], "--sample") == 0)
        return write_sample(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
