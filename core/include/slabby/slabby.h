/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Slabby: a pool of equally sized memory blocks ("slabs") with checked references.
 *
 *   slabby_allocator *pool;
 *   slabby_ref ref;
 *   void *data;
 *
 *   slabby_create(&pool, 4096, 10000, NULL, NULL);
 *   slabby_allocate(&ref, &data, pool);
 *   ... 4096 bytes at data are yours ...
 *   slabby_release(pool, ref);
 *   slabby_destroy(pool);
 *
 * Conventions of this header
 *   Status      Calls return slabby_status: 0 is success, below 0 an error of codes.h. A call that returns an
 *               error has changed nothing; the few exceptions say so.
 *   Results     come back through out-parameters, which stand first. They are written on success only, unless
 *               the comment says otherwise. Text goes to (buffer, capacity, out_length): out_length is the length
 *               without the final NUL and may be null; too small a buffer gives BufferTooSmall, with the needed
 *               length stored and as much text as fits, always NUL-terminated when capacity is above 0.
 *   Handles     A slabby_allocator is opaque. Its memory is never unmapped: a destroyed handle answers Closed
 *               until another pool gets its entry: after 4,094 other pools, or fewer if many are open. From then on
 *               the old handle names that other pool. A null handle, or a pointer that never was a handle, answers
 *               InvalidArgument.
 *   References  A slabby_ref is a value that names one allocation of one slab. 0 is never valid. Copies are free;
 *               after the release every copy is stale and is recognised as such.
 *   Units       Sizes are bytes, durations nanoseconds.
 *   Structs     that cross the boundary begin with struct_size, which the caller sets to sizeof, as the initialisers
 *               below do; the core fills min(its own size, the caller's). A struct_size below 8 answers AbiMismatch; a
 *               slabby_error with such a size is taken for one of version 0.1.0. Arrays of records take their stride
 *               from the struct_size of the first record.
 *   Errors      Cold functions take a nullable slabby_error last and, where they fail, say there what was wrong, with
 *               the value and its limits; a call that succeeds does not write to it. Hot functions return the status
 *               alone; slabby_explain tells the rest afterwards.
 *   Threads     Every function may be called from any thread at any time, unless its comment says otherwise. "May
 *               block" marks those that may wait for other threads or keep the system busy for long.
 *   Signals     "Signal-safe" marks functions that a signal handler may call. No other is to be called from one. Those
 *               that allocate or release are not safe there with `debug` or `guard_sample_rate`, and not where a slab
 *               comes from or goes to the heap (`heap_fallback`).
 *   Facts       The lines from "Statuses:" on are written by ./dev gen from bindings/contract.toml: what a call may
 *               answer, why in parentheses, and the marks above. Edit them there.
 *   Fork        See slabby_create. A child made by fork works on its own copy of every pool.
 *   Ends        A thread may end anywhere outside a call; slabs that it held stay live. No function is a cancellation
 *               point, nor is the logger that one calls: pthread_cancel (deferred, the default) lets a call that is
 *               under way come to its end, one that waits too, and acts at the thread's next cancellation point. A
 *               thread whose cancellation is asynchronous must not call anything of this header.
 *   Source      Each section below names the files of core/src/api that define its functions.
 *
 * Since 0.1.0 unless a comment says otherwise.
 */
#ifndef SLABBY_H
#define SLABBY_H

#include <stdint.h>
#include "codes.h"

/* Compilers warn where a program drops the status of a call that the rest depends on: there may be no slab, no pool, no
 * pin, no ticket, or an option may not be set. */
#if defined(__GNUC__) && !defined(SWIG)
#define SLABBY_CHECK __attribute__((warn_unused_result))
#else
#define SLABBY_CHECK
#endif

/* The structs below with struct_size set and zeros behind it: slabby_stats stats = SLABBY_STATS_INIT. Of an array the
 * first element alone: slabby_event events[64] = {SLABBY_EVENT_INIT}. */
#ifdef __cplusplus
template <typename Record> inline Record SlabbyRecord() {
    Record record = Record();
    record.struct_size = sizeof(Record);
    return record;
}
#define SLABBY_INIT(type) SlabbyRecord<type>()
#endif
#ifndef __cplusplus
/* clang-format off */
#define SLABBY_INIT(type) {.struct_size = sizeof(type)}
/* clang-format on */
#endif
#define SLABBY_ERROR_INIT SLABBY_INIT(slabby_error)
#define SLABBY_STATS_INIT SLABBY_INIT(slabby_stats)
#define SLABBY_HEALTH_INIT SLABBY_INIT(slabby_health)
#define SLABBY_MEMORY_INIT SLABBY_INIT(slabby_memory)
#define SLABBY_LIVE_INIT SLABBY_INIT(slabby_live)
#define SLABBY_AUDIT_RECORD_INIT SLABBY_INIT(slabby_audit_record)
#define SLABBY_EVENT_INIT SLABBY_INIT(slabby_event)
#define SLABBY_FINDING_INIT SLABBY_INIT(slabby_finding)
#define SLABBY_FAULT_INIT SLABBY_INIT(slabby_fault)
#define SLABBY_VIEW_INFO_INIT SLABBY_INIT(slabby_view_info)
#define SLABBY_POOL_INFO_INIT SLABBY_INIT(slabby_pool_info)
#define SLABBY_SAMPLE_INIT SLABBY_INIT(slabby_sample)

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slabby_allocator slabby_allocator;
typedef struct slabby_options slabby_options;
typedef struct slabby_listener slabby_listener;

/* One allocation of one slab: tag of the pool (12 bits), generation, slab id. Compare with == only. */
typedef uint64_t slabby_ref;

/* 0 or one of the negative values of codes.h. */
typedef int32_t slabby_status;

/* What was wrong with a cold call. `option` is 0 where no option is concerned; minimum and maximum are both 0
 * where no range applies. `text` is one English sentence that names the value, the limit and what to do. */
typedef struct slabby_error {
    uint32_t struct_size;
    int32_t status;
    int32_t option;
    uint32_t reserved;
    int64_t value;
    int64_t minimum;
    int64_t maximum;
    char text[256];
} slabby_error;

/* Counters and gauges of one pool; every field is defined in docs/contract.md. Counters never go backwards, are
 * exact when no call is under way, and within the overlapping calls otherwise. */
typedef struct slabby_stats {
    uint32_t struct_size;
    uint32_t reserved;
    char version[16];
    uint64_t total_slabs;
    uint64_t slab_size;
    uint64_t used_slabs;
    uint64_t available_slabs;
    uint64_t total_allocations;
    uint64_t total_deallocations;
    uint64_t fast_allocations;
    uint64_t fast_deallocations;
    uint64_t ref_pool_hits;
    double avg_alloc_time_ns;
    int64_t max_alloc_time_ns;
    uint64_t pcpu_cache_hits;
    uint64_t lock_free_hits;
    double memory_utilization;
    double fragmentation_ratio;
    uint64_t allocation_errors;
    uint64_t guard_page_violations;
    uint64_t heap_fallbacks;
    uint64_t shard_hits;
    uint64_t gate_hits;
    uint64_t guard_hits;
    uint64_t corruptions;
    uint64_t leaks;
    int32_t degradation_state;
    int32_t breaker_state;
    uint64_t cached_slabs;
    uint64_t quarantined_slabs;
    uint64_t retired_slabs;
    uint64_t heap_slabs;
    uint64_t peak_used;
    uint64_t latency_samples;
    uint64_t latency_floor_ns;
    uint64_t latency_violations;
    uint64_t waiters;
    uint64_t reserved_bytes;
    uint64_t bookkeeping_bytes;
    uint64_t heap_bytes;
    uint64_t errors[64];
    uint64_t reserved_slabs;
    uint64_t awaited_slabs;
    char name[64];
    int32_t pool_state;
} slabby_stats;

/* The state of a pool as an operator asks for it; every field is defined in docs/contract.md. */
typedef struct slabby_health {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t alloc_latency_p50;
    int64_t alloc_latency_p95;
    int64_t alloc_latency_p99;
    double health_score;
    double fragmentation_score;
    double memory_pressure;
    double error_rate;
    double cache_efficiency;
    int32_t circuit_breaker_open;
    int32_t recent_trend;
    int64_t last_gc_duration;
    int64_t last_drain_duration;
    int32_t degradation_state;
    int32_t breaker_state;
    uint64_t capacity;
    char name[64];
    int32_t pool_state;
    int32_t breaker_mode;
    double use_factor;
    double error_factor;
    double latency_factor;
    double breaker_factor;
    double integrity_factor;
    uint64_t unacknowledged_corruptions;
} slabby_health;

/* Where the bytes of a pool went; every field is defined in docs/contract.md. */
typedef struct slabby_memory {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t slab_bytes;
    uint64_t stride;
    uint64_t reserved_bytes;
    uint64_t guard_bytes;
    uint64_t word_bytes;
    uint64_t list_bytes;
    uint64_t cache_bytes;
    uint64_t label_bytes;
    uint64_t heap_table_bytes;
    uint64_t heap_bytes;
    uint64_t record_bytes;
    uint64_t capacity;
    char name[64];
    uint64_t huge_page_bytes;
} slabby_memory;

/* One outstanding slab. `ref` is 0 for a slab handed out by slabby_allocate_fast. age_ns and thread are 0 unless
 * the pool records stacks. A slab that was granted to a ticket and not taken yet has the state granted, no reference,
 * its ticket, and as age the time since the grant; `ticket` is 0 for all others. */
typedef struct slabby_live {
    uint32_t struct_size;
    int32_t state;
    slabby_ref ref;
    uint32_t id;
    uint32_t pins;
    uint64_t label;
    uint64_t age_ns;
    uint64_t thread;
    uint64_t ticket;
} slabby_live;

/* One record of the audit trail: an operation (audit_operation of codes.h) after it was done. time_ns counts from the
 * Unix epoch; in bursts and shortly after, it may be early, but not earlier than the system's coarse clock
 * (docs/audit.md). thread is the system's number, binding the value of slabby_set_binding. ref is the reference
 * concerned; for operations by id the id, for option_change the option, for breaker_force the mode, else 0. The
 * records of one slab stand in the order of its life, those of one thread in the order of its calls. Whatever brings a
 * slab back leaves exactly one record release or deallocate_fast, also the last unpin after release_deferred and a
 * reset. Successful reads (slabby_data and its like) are not recorded, refused ones are (access). */
typedef struct slabby_audit_record {
    uint32_t struct_size;
    int32_t operation;
    uint64_t sequence;
    uint64_t time_ns;
    uint64_t thread;
    slabby_ref ref;
    int32_t status;
    int32_t binding;
} slabby_audit_record;

/* One event: what a logger receives. code is an event_code, level an event_level of codes.h; time_ns counts
 * from the Unix epoch. At most ten events of one code are reported per second (exhaustion: one); suppressed is
 * the number of those that were not, since the last one. pool is the pool's label (slabby_pool_info), and
 * allocator_address its handle as a number; sequence counts the events of the pool, or of the process where
 * slabby_watch_read stored the event. */
typedef struct slabby_event {
    uint32_t struct_size;
    int32_t level;
    uint64_t sequence;
    uint64_t time_ns;
    slabby_ref ref;
    int64_t value;
    int32_t code;
    uint32_t suppressed;
    char text[192];
    char pool[80];
    uint64_t allocator_address;
} slabby_event;

/* One thing that slabby_verify found wrong. offset, expected and found describe the first bad byte where bytes
 * are concerned. */
typedef struct slabby_finding {
    uint32_t struct_size;
    int32_t kind;
    slabby_ref ref;
    uint32_t id;
    int32_t state;
    int64_t offset;
    uint64_t expected;
    uint64_t found;
    char text[192];
} slabby_finding;

/* What lies at an address: the pool, slab and distance a fault concerns. `inside` is 1 when the address belongs
 * to a pool at all. kind: a fault_kind of codes.h. allocator_address: the pool's handle as a number. */
typedef struct slabby_fault {
    uint32_t struct_size;
    int32_t inside;
    uint64_t address;
    slabby_ref ref;
    uint32_t id;
    int32_t state;
    int64_t offset;
    uint64_t slab_size;
    char pool_name[64];
    char text[256];
    int32_t kind;
    uint32_t reserved;
    uint64_t allocator_address;
} slabby_fault;

/* Where words, slabs and caches are, for a binding that reads them without crossing into C. Valid while the
 * caller owns the pool. `mode` is at the address mode_address: non-zero means that every call must cross. Of its
 * bits 1 says secure, 2 bit_guard, 16 debug, and 64 that slabs may lie elsewhere than at their own place. */
typedef struct slabby_view_info {
    uint32_t struct_size;
    uint32_t version;
    uint64_t words_address;
    uint64_t slabs_address;
    uint64_t stride;
    uint64_t slab_size;
    uint64_t capacity;
    uint64_t id_limit;
    uint64_t ref_bias;
    uint64_t ref_limit;
    uint32_t id_bits;
    uint32_t reserved;
    uint64_t mode_address;
} slabby_view_info;

/* One open pool of the process. allocator_address is its handle as a number, which nothing keeps open. label names the
 * pool in metrics and in URLs: its name, where that has one, of letters, digits, '.', '_' and '-' alone, is not of the
 * form "pool17", and no pool that was open when this one was made had it; else "pool17" for one without a name and
 * "orders~17" for others, with the pool's number in the process. It stays the same as long as the pool. */
typedef struct slabby_pool_info {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t allocator_address;
    char name[64];
    char label[80];
} slabby_pool_info;

/* One number of a metric: docs/metrics.md lists them. metric is the id there, part a metric_part of codes.h. label says
 * which sample of the metric, counted from 0 in the list's order. Of a histogram, bucket k holds what took at most the
 * limit k, cumulated, and native_bucket i of schema 5 what took from 2^((i-1)/32) to 2^(i/32) seconds, not cumulated;
 * those that are empty are left out. */
typedef struct slabby_sample {
    uint32_t struct_size;
    int32_t metric;
    int32_t part;
    int32_t label;
    double value;
} slabby_sample;

/* Receives events on the thread that caused them, with no lock of the pool held; it may use the pool. The event
 * lives until the function returns. It must not unwind through its caller, nor end the thread. */
typedef void (*slabby_log_function)(void *context, const slabby_event *event);

/* ------------------------------------------- the library (core/src/api: library.c, platform.c, inspect.c) */

/*
 * slabby_version: the version of the core as text, such as "0.1.0".
 * The text is static: never free it.
 * Statuses: none. Signal-safe.
 */
const char *slabby_version(void);

/*
 * slabby_abi_version: the number of the binary interface. It rises when something incompatible changes.
 * Statuses: none. Signal-safe.
 */
uint32_t slabby_abi_version(void);

/*
 * slabby_instance_id: a value unique to this loaded copy of the core, never 0.
 * Two bindings that get the same value share one core and may exchange handles and references; a second copy
 * (a static link, another soname) has another value. Survives fork.
 * Statuses: none. Signal-safe.
 */
uint64_t slabby_instance_id(void);

/*
 * slabby_platform_text: what this machine and process offer, and what a pool will therefore do: a line for each fact,
 * "name: fact; consequence", such as "restartable sequences: yes; CPU caches commit with one store". The names stay,
 * the rest is for people. It asks the system by trying on a mapping of its own.
 * buffer, capacity, out_length: as all text.
 * Statuses: OK, BufferTooSmall, InvalidArgument (buffer null with capacity above 0).
 */
slabby_status slabby_platform_text(char *buffer, uint64_t capacity, uint64_t *out_length);

/*
 * slabby_set_binding: which language the calling thread's operations come from: a binding of codes.h, which audit
 * records show. -1 clears it. A thread that sets none inherits the binding of the pool's creator. If that set none
 * either, it is c. The packages of Python and Go set it while they create a pool.
 * Statuses: OK, InvalidArgument (no such binding). Signal-safe.
 */
slabby_status slabby_set_binding(int32_t binding);

/*
 * slabby_status_name: the stable name of a status, such as "OutOfMemory"; "Unknown" for anything else.
 * The text is static.
 * Statuses: none. Signal-safe.
 */
const char *slabby_status_name(slabby_status status);

/*
 * slabby_status_message: one English sentence about a status.
 * The text is static.
 * Statuses: none. Signal-safe.
 */
const char *slabby_status_message(slabby_status status);

/*
 * slabby_explain: describes one case: which pool, which slab, what the reference says and what the slab is.
 * buffer, capacity, out_length: as all text. allocator may be null and ref 0 where unknown; status is what the
 * call answered. Built from the state of now, which may have moved on since.
 * Statuses: OK, BufferTooSmall, InvalidArgument (buffer null with capacity above 0).
 */
slabby_status slabby_explain(char *buffer, uint64_t capacity, uint64_t *out_length,
                             slabby_allocator *allocator, slabby_ref ref, slabby_status status);

/* ---------------------------------------------------------------------- options (core/src/api: options.c) */

/*
 * slabby_options_create: a set of options, all at their defaults (docs/contract.md lists them).
 * The caller owns it and gives it to slabby_options_destroy. One thread at a time may change it.
 * Statuses: OK, InvalidArgument, NoSystemMemory.
 */
SLABBY_CHECK slabby_status slabby_options_create(slabby_options **out_options);

/*
 * slabby_options_destroy: frees the set; null is accepted. Pools made from it are not concerned.
 * Statuses: none.
 */
void slabby_options_destroy(slabby_options *options);

/*
 * slabby_options_set: sets one option by number (codes.h) and value, in the unit of the option: flags 0 or 1,
 * counts, bytes, nanoseconds, percent, or an enum's number. 0 means off or none where the range allows it.
 * Statuses: OK, InvalidArgument (options null, or a text option), InvalidOption (unknown, or out of range: out_error
 * carries the range).
 */
SLABBY_CHECK slabby_status slabby_options_set(slabby_options *options, int32_t option, int64_t value,
                                              slabby_error *out_error);

/*
 * slabby_options_set_text: sets one option by name and text: "on", "off", "4096", "4KiB", "2MiB", "250us",
 * "30s", "80%", an enum's word, or the text itself for `name`. Both strings are copied. Units: B, KiB, MiB, GiB; ns,
 * us, ms, s, m, h; %. Without a unit the number counts in the unit of the option. "true" and "1" are "on"; "false", "0"
 * and "none" are "off", which is 0 for an option that may be 0.
 * Statuses: OK, InvalidArgument (options, name or text is null), InvalidOption (unknown, unreadable or out of range).
 */
SLABBY_CHECK slabby_status slabby_options_set_text(slabby_options *options, const char *name,
                                                   const char *text, slabby_error *out_error);

/*
 * slabby_options_preset: sets the options of a use case; later calls may override them.
 * name: "trading", "gateway", "analytics" or "packets", which leave other options as they are, or "default", which sets
 * every option back and forgets the logger; docs/contract.md lists what they set.
 * Statuses: OK, InvalidArgument, InvalidOption (no such preset).
 */
SLABBY_CHECK slabby_status slabby_options_preset(slabby_options *options, const char *name,
                                                 slabby_error *out_error);

/*
 * slabby_options_set_logger: which function is called with events; null means none. context is handed back on each
 * call and must live as long as the pool. An event caused inside the logger goes to slabby_events_read alone, as does
 * one of a signal handler that interrupted the pool. If a signal handler uses the pool, the logger may run inside it
 * and must be safe there.
 * Statuses: OK, InvalidArgument (null options).
 */
slabby_status slabby_options_set_logger(slabby_options *options, slabby_log_function function, void *context,
                                        slabby_error *out_error);

/* -------------------------------------------------------------- the life of a pool (core/src/api: pool.c) */

/*
 * slabby_create: makes a pool of `capacity` slabs of `slab_size` bytes. Costs the same for any size: memory is
 * reserved, not touched, unless `prefault` asks for it.
 * slab_size: 1 byte to 1 GiB. capacity: 1 to 2^31 - 1, less the slabs of the heap. options: null means defaults;
 * read during the call only. out_allocator: owned by the caller, who gives it to slabby_destroy.
 * Fork: the child gets its own copy of the pool; references live on in both, apart from each other.
 * Statuses: OK, InvalidArgument, InvalidSlabSize, InvalidCapacity, CapacityExceeded, InvalidOption, OptionConflict,
 * NotSupported (an option whose effect this system does not have), TooManyPools, NoSystemMemory. May block.
 */
SLABBY_CHECK slabby_status slabby_create(slabby_allocator **out_allocator, uint64_t slab_size,
                                         uint64_t capacity, const slabby_options *options,
                                         slabby_error *out_error);

/*
 * slabby_retain: one more owner; each owner calls slabby_destroy or slabby_abandon once.
 * Statuses: OK, InvalidArgument, Closed (destroyed, or abandoned by its last owner).
 */
slabby_status slabby_retain(slabby_allocator *allocator);

/*
 * slabby_handle: the pool as two numbers, to hand it to another language in this process. Does not retain.
 * Statuses: OK, InvalidArgument, Closed (destroyed).
 */
slabby_status slabby_handle(uint64_t *out_address, uint64_t *out_instance_id, slabby_allocator *allocator);

/*
 * slabby_adopt: the pool behind two numbers of slabby_handle, retained for the caller, who destroys it.
 * Statuses: OK, InvalidArgument (no such handle), AbiMismatch (the handle is of another loaded core: compare
 * slabby_instance_id), Closed (destroyed, or abandoned by its last owner).
 */
SLABBY_CHECK slabby_status slabby_adopt(slabby_allocator **out_allocator, uint64_t address,
                                        uint64_t instance_id, slabby_error *out_error);

/*
 * slabby_close: no allocation succeeds any more; those that wait get Closed. Returns at once. Live slabs stay
 * readable and are released as ever; with the last one the pages go back to the system. Idempotent. With
 * `health_checks` it waits until the health thread is done with this pool, a logger call included; so do
 * slabby_destroy and slabby_abandon of the last owner, and switching the option off.
 * Statuses: OK, InvalidArgument. May block.
 */
slabby_status slabby_close(slabby_allocator *allocator);

/*
 * slabby_destroy: drops one owner; null is accepted. The last owner's call frees the pool, or refuses with InUse. A
 * destructor that must not fail calls slabby_abandon instead: the pool's memory then goes with its last reference.
 * After the last owner's call, other threads that still use the handle get Closed.
 * Statuses: OK, InvalidArgument, InUse (last owner, live references: nothing changed), Closed (destroyed before), Busy
 * (from a signal handler). May block.
 */
slabby_status slabby_destroy(slabby_allocator *allocator);

/*
 * slabby_abandon: drops one owner without looking back, as a finalizer must; null is accepted. The last owner's
 * call closes the pool; its memory goes with the last reference and pin.
 * Statuses: OK, InvalidArgument, Closed (destroyed). May block.
 */
slabby_status slabby_abandon(slabby_allocator *allocator);

/* ------------------------------------ allocate and release (core/src/api: allocate.c, release.c, batch.c) */

/*
 * slabby_allocate: one slab, at once or not at all.
 * out_ref: required. out_data: may be null; its slab_size bytes belong to the caller until release. Their content is
 * undefined; zero with `secure`, and when a slab of the pool itself is used for the first time (not one of the heap).
 * Never blocks.
 * Statuses: OK, InvalidArgument, OutOfMemory (truthful: see docs/architecture.md, the gate), Closed (closed or
 * destroyed), Busy (from a signal handler that interrupted this thread inside the pool), CircuitBreakerOpen,
 * LatencyExceeded, NoSystemMemory (heap tier). Signal-safe.
 */
SLABBY_CHECK slabby_status slabby_allocate(slabby_ref *out_ref, void **out_data, slabby_allocator *allocator);

/*
 * slabby_allocate_timeout: as slabby_allocate, but waits up to timeout_ns for a slab, first come first served.
 * timeout_ns = 0 tries once, UINT64_MAX waits without end. A plain slabby_allocate never overtakes a thread that waits.
 * Statuses: OK, InvalidArgument, OutOfMemory (truthful: see docs/architecture.md, the gate), Closed (closed or
 * destroyed), Busy (from a signal handler that interrupted this thread inside the pool), CircuitBreakerOpen,
 * LatencyExceeded, NoSystemMemory (heap tier), Timeout. May block.
 */
SLABBY_CHECK slabby_status slabby_allocate_timeout(slabby_ref *out_ref, void **out_data,
                                                   slabby_allocator *allocator, uint64_t timeout_ns);

/*
 * slabby_try_allocate: as slabby_allocate, for those who go on to wait where there is nothing: OutOfMemory is neither
 * counted, nor recorded, nor a failure to the breaker.
 * Statuses: OK, InvalidArgument, OutOfMemory, Closed (closed or destroyed), Busy, CircuitBreakerOpen, LatencyExceeded,
 * NoSystemMemory. Signal-safe.
 */
SLABBY_CHECK slabby_status slabby_try_allocate(slabby_ref *out_ref, void **out_data,
                                               slabby_allocator *allocator);

/*
 * slabby_allocate_batch: count slabs, all or none.
 * out_refs: count places. out_datas: count places, or null. count: 1 to capacity, with heap_fallback on plus its
 * limit.
 * The arrays' content is undefined after an error.
 * Statuses: OK, InvalidArgument, OutOfMemory (truthful: see docs/architecture.md, the gate), Closed (closed or
 * destroyed), Busy (from a signal handler that interrupted this thread inside the pool), CircuitBreakerOpen,
 * LatencyExceeded, NoSystemMemory (heap tier), InvalidBatchSize. Signal-safe.
 */
SLABBY_CHECK slabby_status slabby_allocate_batch(slabby_ref *out_refs, void **out_datas,
                                                 slabby_allocator *allocator, uint64_t count);

/*
 * slabby_release: gives a slab back. Every copy of the reference is stale from then on. Of several threads that
 * release the same reference exactly one succeeds.
 * Never blocks.
 * Statuses: OK, InvalidArgument, InvalidReference (forged, foreign), DoubleDeallocation (stale), Pinned (a pin or a
 * view holds it: nothing changed), MemoryCorruption (guard bytes were overwritten: the reference is consumed), Closed
 * (the pool was destroyed). Signal-safe.
 */
slabby_status slabby_release(slabby_allocator *allocator, slabby_ref ref);

/*
 * slabby_release_deferred: as slabby_release, but where pins are held the slab goes back with the last of them;
 * until then every use of the reference but slabby_unpin is refused as stale.
 * Statuses: OK, InvalidArgument, InvalidReference (forged, foreign), DoubleDeallocation (stale), MemoryCorruption
 * (guard bytes were overwritten: the reference is consumed), Closed (the pool was destroyed). Signal-safe.
 */
slabby_status slabby_release_deferred(slabby_allocator *allocator, slabby_ref ref);

/*
 * slabby_release_batch: releases refs[0] to refs[count - 1] as that many calls of slabby_release would, and tries
 * all; answers OK, or the first error met. out_released: how many succeeded, stored always when not null. count may
 * be 0.
 * Statuses: OK, InvalidArgument, InvalidReference (forged, foreign), DoubleDeallocation (stale), Pinned (a pin or a
 * view holds it: nothing changed), MemoryCorruption (guard bytes were overwritten: the reference is consumed), Closed
 * (the pool was destroyed). Signal-safe.
 */
slabby_status slabby_release_batch(uint64_t *out_released, slabby_allocator *allocator,
                                   const slabby_ref *refs, uint64_t count);

/*
 * slabby_allocate_fast: one slab known by its bare id, for those who need no reference. An id carries no
 * generation: after a release the same id may be another owner's, and a stale id cannot be told from a fresh one.
 * Statuses: OK, InvalidArgument, OutOfMemory (truthful: see docs/architecture.md, the gate), Closed (closed or
 * destroyed), Busy (from a signal handler that interrupted this thread inside the pool), CircuitBreakerOpen,
 * LatencyExceeded, NoSystemMemory (heap tier). Signal-safe.
 */
SLABBY_CHECK slabby_status slabby_allocate_fast(void **out_data, uint32_t *out_id,
                                                slabby_allocator *allocator);

/*
 * slabby_deallocate_fast: gives a slab of slabby_allocate_fast back.
 * Statuses: OK, InvalidArgument, InvalidSlabID (out of range, or the slab is owned by a reference), DoubleDeallocation
 * (the slab is free), MemoryCorruption, Closed (destroyed). Signal-safe.
 */
slabby_status slabby_deallocate_fast(slabby_allocator *allocator, uint32_t id);

/* -------------------------------------- references (core/src/api: reference.c, address.c, pin.c, pool.c) */

/*
 * slabby_data: the first of slab_size bytes. Nothing keeps another thread from releasing the slab meanwhile: pin
 * it where that can happen.
 * Statuses: OK, InvalidArgument, InvalidReference, UseAfterFree, Closed (destroyed). Signal-safe.
 */
SLABBY_CHECK slabby_status slabby_data(void **out_data, slabby_allocator *allocator, slabby_ref ref);

/*
 * slabby_ref_of: the reference of the live slab that begins at a pointer, for callbacks and interfaces that carry the
 * pointer alone. A pointer has no generation: one whose slab was released and allocated again names the new owner's.
 * pointer: the slab's first byte, as slabby_allocate or slabby_data gave it; not one inside the slab. As fast as
 * slabby_data; a slab of the heap is searched for among those of the heap.
 * Statuses: OK, InvalidArgument (a null pointer), InvalidReference (no slab of this pool begins there, or it is live
 * by id), UseAfterFree (the slab was released), Closed (destroyed). Signal-safe.
 */
SLABBY_CHECK slabby_status slabby_ref_of(slabby_ref *out_ref, slabby_allocator *allocator,
                                         const void *pointer);

/*
 * slabby_release_data: releases the live slab that begins at a pointer, by reference or by id as it was allocated. A
 * pointer has no generation: a stale one, whose slab was allocated again, releases the new owner's slab.
 * pointer: as slabby_ref_of.
 * Statuses: OK, InvalidArgument (a null pointer), InvalidReference (no slab of this pool begins there),
 * DoubleDeallocation (the slab is free), Pinned (a pin or a view holds it: nothing changed), MemoryCorruption (guard
 * bytes were overwritten: the slab is consumed), Closed (destroyed). Signal-safe.
 */
slabby_status slabby_release_data(slabby_allocator *allocator, const void *pointer);

/*
 * slabby_pool_of: the pool whose memory an address lies in, anywhere: slabs, what lies between them, guard slots and
 * slabs of the heap. Searches all pools of the process: keep the handle where calls are frequent. Does not retain: a
 * slab that the caller holds keeps its pool alive.
 * Statuses: OK, InvalidArgument (null), InvalidReference (of no pool).
 */
slabby_status slabby_pool_of(slabby_allocator **out_allocator, const void *address);

/*
 * slabby_is_valid: 1 while the reference names a live slab of this pool, else 0. Never fails.
 * Statuses: none. Signal-safe.
 */
int32_t slabby_is_valid(slabby_allocator *allocator, slabby_ref ref);

/*
 * slabby_id: the number of the slab in its pool, stale references included; heap slabs count from max_capacity up.
 * Statuses: OK, InvalidArgument, InvalidReference (not of this pool), Closed (destroyed). Signal-safe.
 */
slabby_status slabby_id(uint32_t *out_id, slabby_allocator *allocator, slabby_ref ref);

/*
 * slabby_size: the usable bytes of each slab.
 * Statuses: OK, InvalidArgument, Closed (destroyed). Signal-safe.
 */
slabby_status slabby_size(uint64_t *out_size, slabby_allocator *allocator);

/*
 * slabby_ref_text: a reference for people, such as "orders:17#4" (pool, slab, generation).
 * Statuses: OK, BufferTooSmall, InvalidArgument, InvalidReference, Closed (destroyed).
 */
slabby_status slabby_ref_text(char *buffer, uint64_t capacity, uint64_t *out_length,
                              slabby_allocator *allocator, slabby_ref ref);

/*
 * slabby_pin: forbids release while its holder uses the memory. Each pin needs one slabby_unpin.
 * Statuses: OK, InvalidArgument, InvalidReference, UseAfterFree, TooManyPins (4,095 are held), Closed (destroyed).
 * Signal-safe.
 */
SLABBY_CHECK slabby_status slabby_pin(slabby_allocator *allocator, slabby_ref ref);

/*
 * slabby_unpin: takes one pin back. The last one completes a deferred release.
 * Statuses: OK, InvalidArgument (no pin is held), InvalidReference, UseAfterFree, MemoryCorruption (found while
 * completing a deferred release), Closed (destroyed). Signal-safe.
 */
slabby_status slabby_unpin(slabby_allocator *allocator, slabby_ref ref);

/*
 * slabby_set_label: sets a user's 64-bit value of a live slab: a request number, a pointer. Forgotten on release.
 * Statuses: OK, InvalidArgument, InvalidReference, UseAfterFree, NoSystemMemory (the table could not be mapped),
 * Closed (destroyed).
 */
slabby_status slabby_set_label(slabby_allocator *allocator, slabby_ref ref, uint64_t label);

/*
 * slabby_get_label: the value that slabby_set_label gave a live slab; 0 until then.
 * Statuses: OK, InvalidArgument, InvalidReference, UseAfterFree, Closed (destroyed).
 */
slabby_status slabby_get_label(uint64_t *out_label, slabby_allocator *allocator, slabby_ref ref);

/* ---------------------------------------------------- waiting without a thread (core/src/api: listener.c) */

/*
 * slabby_listener_create: a place for an event loop to wait. out_fd becomes readable when tickets were granted, or the
 * pool was closed, and stays so until everything was taken; it belongs to the listener. Null: the listener has no
 * descriptor, and a thread sleeps in slabby_listener_wait. The listener is one owner of the pool until it is
 * destroyed. Where the system refuses a descriptor, out_error->value is the errno.
 * Statuses: OK, InvalidArgument, Closed (destroyed), NoSystemMemory (where a descriptor was refused, out_error->value
 * is the errno).
 */
SLABBY_CHECK slabby_status slabby_listener_create(slabby_listener **out_listener, int32_t *out_fd,
                                                  slabby_allocator *allocator, slabby_error *out_error);

/*
 * slabby_listener_destroy: cancels its tickets, gives back what was granted and not taken, frees it; null is
 * accepted. No other thread may be using it.
 * Statuses: OK. May block.
 */
slabby_status slabby_listener_destroy(slabby_listener *listener);

/*
 * slabby_listener_set_timeout: how long a grant of this listener may wait to be taken, in nanoseconds; 0, the default:
 * as long as it takes. A slab that was not taken in time goes to the next waiter, and slabby_wait_take returns the
 * ticket with the reference 0. Set it where a loop may end and nothing destroys its listener.
 * The thread slabby-health revokes late grants, at most half the time late; an allocation that finds the pool empty
 * revokes them at once.
 * Statuses: OK, InvalidArgument, Closed (the pool was closed), NoSystemMemory (no thread could be started; nothing
 * changed).
 */
slabby_status slabby_listener_set_timeout(slabby_listener *listener, uint64_t timeout_ns);

/*
 * slabby_listener_wait: sleeps until the listener has something to take or its pool was closed, or the time has
 * passed; UINT64_MAX waits without end. One thread at a time. For threads that have no event loop, or no descriptor
 * to spare.
 * Statuses: OK, InvalidArgument, Timeout. May block.
 */
slabby_status slabby_listener_wait(slabby_listener *listener, uint64_t timeout_ns);

/*
 * slabby_wait_begin: joins the queue: first come first served across threads and languages. A free slab, or one of the
 * heap where that serves, is granted at once. A wait is no failure to the breaker.
 * out_ticket: above 0, its upper 12 bits are 0: no pool has the tag 0, so every call that takes a reference refuses a
 * ticket with InvalidReference. user_data: a value of the caller's, a pointer or a number, that slabby_wait_take hands
 * back with the ticket.
 * Statuses: OK, InvalidArgument, Closed (the pool was closed), NoSystemMemory, CircuitBreakerOpen, LatencyExceeded.
 */
SLABBY_CHECK slabby_status slabby_wait_begin(uint64_t *out_ticket, slabby_listener *listener,
                                             uint64_t user_data);

/*
 * slabby_wait_take: the tickets granted so far with their references, possibly none: out_count = 0 is OK. A ticket with
 * the reference 0 is over without a slab, see slabby_listener_set_timeout. A ticket that was taken is over as well.
 * out_user_data: what slabby_wait_begin was given for each ticket; may be null.
 * Statuses: OK, InvalidArgument, Closed (nothing was granted and nothing will be).
 */
SLABBY_CHECK slabby_status slabby_wait_take(uint64_t *out_tickets, slabby_ref *out_refs,
                                            uint64_t *out_user_data, uint64_t *out_count,
                                            slabby_listener *listener, uint64_t capacity);

/*
 * slabby_wait_cancel: leaves the queue. out_ref is 0, or the reference that had been granted meanwhile, which now
 * belongs to the caller. A ticket that is over already is OK too.
 * Statuses: OK, InvalidArgument (this listener never issued that ticket; a reference is none).
 */
slabby_status slabby_wait_cancel(slabby_ref *out_ref, slabby_listener *listener, uint64_t ticket);

/*
 * slabby_wait_expire: slabby_wait_cancel for a wait whose time is over, or that the end of the pool ended. OK: out_ref
 * is what had been granted meanwhile. Without a slab the wait is counted and audited, as slabby_allocate_timeout does.
 * Statuses: OK, InvalidArgument (this listener never issued that ticket; a reference is none), Timeout, Closed.
 */
SLABBY_CHECK slabby_status slabby_wait_expire(slabby_ref *out_ref, slabby_listener *listener,
                                              uint64_t ticket);

/* ------------------------------------- the whole pool (core/src/api: pool.c, reset.c, stats.c, options.c) */

/*
 * slabby_reset: releases every live slab; all references become stale. Refused while anything is pinned; a pin
 * that arrives meanwhile turns its slab's release into a deferred one. Allocations of other threads wait for the
 * end, releases go on. Development and tests: in production other code still holds those slabs.
 * Statuses: OK, InvalidArgument, Pinned, Closed (destroyed), Busy (from a signal handler). May block.
 */
slabby_status slabby_reset(slabby_allocator *allocator);

/*
 * slabby_get_stats, slabby_get_memory: a snapshot. Set struct_size first. States are those that the next allocation
 * would meet (a breaker whose timeout is over reads half open); reading them changes none and raises no event.
 * Statuses: OK, InvalidArgument, AbiMismatch (struct_size below 8), Closed (destroyed).
 */
slabby_status slabby_get_stats(slabby_stats *out_stats, slabby_allocator *allocator);
slabby_status slabby_get_memory(slabby_memory *out_memory, slabby_allocator *allocator);

/*
 * slabby_get_health: a snapshot of the last 30 to 60 seconds, of states as slabby_get_stats. docs/contract.md defines
 * the fields.
 * Statuses: OK, InvalidArgument, AbiMismatch (struct_size below 8), Closed (destroyed).
 */
slabby_status slabby_get_health(slabby_health *out_health, slabby_allocator *allocator);

/*
 * slabby_stats_json, slabby_memory_json, slabby_health_json: the same as one JSON object, keys as in docs/contract.md.
 * Statuses: OK, BufferTooSmall, InvalidArgument, Closed (destroyed).
 */
slabby_status slabby_stats_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                slabby_allocator *allocator);
slabby_status slabby_memory_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                 slabby_allocator *allocator);
slabby_status slabby_health_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                 slabby_allocator *allocator);

/*
 * slabby_set_option: changes a hot option of a running pool.
 * Statuses: OK, InvalidArgument, InvalidOption, ColdOption (fixed at creation; out_error says why), Closed
 * (destroyed), Busy (secure, when a thread is stopped inside a call), CapacityExceeded (heap_fallback where the
 * capacity leaves no ids for it), NoSystemMemory (debug, guard_sample_rate: no room for their tables; health_checks:
 * no thread), OptionConflict (degrade_at not below survive_at). May block.
 */
slabby_status slabby_set_option(slabby_allocator *allocator, int32_t option, int64_t value,
                                slabby_error *out_error);

/*
 * slabby_set_option_text: the same by name, from text as slabby_options_set_text reads it: "30s", "250us", "on", "off",
 * a word of an enumeration. Both texts are read during the call only.
 * Statuses: OK, InvalidArgument, InvalidOption (unknown, unreadable, out of range), ColdOption (fixed at creation;
 * out_error says why), Closed (destroyed), Busy (secure, when a thread is stopped inside a call), CapacityExceeded
 * (heap_fallback where the capacity leaves no ids for it), NoSystemMemory (debug, guard_sample_rate: no room for their
 * tables; health_checks: no thread), OptionConflict (degrade_at not below survive_at). May block.
 */
slabby_status slabby_set_option_text(slabby_allocator *allocator, const char *name, const char *text,
                                     slabby_error *out_error);

/*
 * slabby_get_option: the effective value: what the pool uses after rounding and defaults.
 * Statuses: OK, InvalidArgument (null, or a text option), InvalidOption, Closed (destroyed).
 */
slabby_status slabby_get_option(int64_t *out_value, slabby_allocator *allocator, int32_t option);

/*
 * slabby_get_option_text: the same by name, as text that slabby_options_set_text reads: "30s", "on", a word of an
 * enumeration, and for "name" the pool's name. The name is read during the call only.
 * Statuses: OK, BufferTooSmall, InvalidArgument, InvalidOption, Closed (destroyed).
 */
slabby_status slabby_get_option_text(char *buffer, uint64_t capacity, uint64_t *out_length,
                                     slabby_allocator *allocator, const char *name);

/*
 * slabby_resize: a new capacity, 1 to `max_capacity`, while others allocate and release. Shrinking gives up slabs that
 * were never used, then free ones, whose pages go back to the system; what is still in use then is given up when it is
 * released, and until the last of it has been, no allocation succeeds. Growing calls off what is still awaited, then
 * brings slabs back that were given up. Slabs in quarantine count as part of the capacity, and so do retired ones
 * that no slab above the capacity can replace. A higher capacity than any before asks the system for the memory of
 * the further slabs first, as the options require (prefault, lock_memory, guard_pages and the like); other threads
 * that need the gate wait meanwhile.
 * out_awaited: how many slabs are still to be released, may be null; stats.awaited_slabs has it later on.
 * Statuses: OK, InvalidArgument, InvalidCapacity (0), CapacityExceeded (above max_capacity), NoSystemMemory (a higher
 * capacity than any before, for which the system refused memory: nothing changed), Closed (closed or destroyed), Busy
 * (from a signal handler that interrupted its own thread inside the pool). May block.
 */
slabby_status slabby_resize(uint64_t *out_awaited, slabby_allocator *allocator, uint64_t capacity,
                            slabby_error *out_error);

/*
 * slabby_trim: gives the pages of free slabs back to the system; they come back as zeros on demand. Works in steps of
 * a sixteenth of the pool (at least 16,384 slabs); allocations of other threads wait for one step.
 * out_bytes: what went back, may be null; stored also with Busy, when some steps were done before.
 * Statuses: OK, InvalidArgument, Closed (destroyed), Busy (from a signal handler, or a thread is stopped inside a
 * call). May block.
 */
slabby_status slabby_trim(uint64_t *out_bytes, slabby_allocator *allocator);

/*
 * slabby_reclaim: puts quarantined slabs back into service and acknowledges corruption. Slabs whose generation is
 * spent stay retired, and those that slabby_resize gave up come back by slabby_resize alone. out_count: how many came
 * back; may be null.
 * Statuses: OK, InvalidArgument, Closed (destroyed).
 */
slabby_status slabby_reclaim(uint64_t *out_count, slabby_allocator *allocator);

/*
 * slabby_health_tick: notes the score of this moment for the trend, which looks at the last 32; for those who want no
 * thread.
 * Statuses: OK, InvalidArgument, Closed (destroyed).
 */
slabby_status slabby_health_tick(slabby_allocator *allocator);

/*
 * slabby_breaker_force: what an operator wants of the circuit breaker, a breaker_mode of codes.h: normal; forced_open
 * refuses every allocation; disabled counts nothing; metrics_only moves through its states and refuses nothing.
 * Statuses: OK, InvalidArgument, Closed (destroyed).
 */
slabby_status slabby_breaker_force(slabby_allocator *allocator, int32_t mode);

/* --------------------------------------------------------------------- metrics (core/src/api: metrics.c) */

/*
 * slabby_pools_next: the next open pool of the process at or after *cursor, which starts at 0 and is moved on; pools
 * of every language that shares this core. out_count is 1, or 0 at the end. Pools that come and go meanwhile may or may
 * not be seen. Another thread may close and destroy a pool at any moment, also one that was just answered: its handle
 * then answers Closed, as every destroyed handle does.
 * Statuses: OK, InvalidArgument, AbiMismatch.
 */
slabby_status slabby_pools_next(slabby_pool_info *out_pool, uint64_t *out_count, uint64_t *cursor);

/*
 * slabby_pool_label: how a pool is called in metrics and URLs: slabby_pool_info says by which rule.
 * buffer, capacity, out_length: as all text.
 * Statuses: OK, BufferTooSmall, InvalidArgument, Closed (destroyed).
 */
slabby_status slabby_pool_label(char *buffer, uint64_t capacity, uint64_t *out_length,
                                slabby_allocator *allocator);

/*
 * slabby_metrics_text: the metrics of docs/metrics.md as text for Prometheus, in the format of openmetrics.io. The
 * media type is "application/openmetrics-text; version=1.0.0; charset=utf-8".
 * buffer, capacity, out_length: as all text; numbers grow between two calls, so let a buffer grow until it fits.
 * one_or_all: a pool, or null for every open pool of the process, also those that other threads destroy meanwhile.
 * Statuses: OK, BufferTooSmall, InvalidArgument, NoSystemMemory (of all pools, and the heap has no memory for their
 * numbers), Closed (destroyed).
 */
slabby_status slabby_metrics_text(char *buffer, uint64_t capacity, uint64_t *out_length,
                                  slabby_allocator *one_or_all);

/*
 * slabby_metrics_read: the same numbers of one pool for a program that has an exporter of its own.
 * out_samples: `capacity` records, may be null with 0. out_count: how many there are, which may be more than fitted.
 * allocator_address: the handle as a number, as slabby_pool_info has it; the caller need own no share of the pool.
 * Statuses: OK, InvalidArgument, AbiMismatch, Closed (destroyed).
 */
slabby_status slabby_metrics_read(slabby_sample *out_samples, uint64_t *out_count, uint64_t allocator_address,
                                  uint64_t capacity);

/* ------------------------------- inspection (core/src/api: inspect.c, watch.c, audit.c, leaks.c, fault.c) */

/*
 * slabby_live_next: the next outstanding slab at or after *cursor, which starts at 0 and is moved on: those in users'
 * hands first, then those that were granted to tickets and not taken. out_count is 1, or 0 at the end. Slabs that come
 * and go meanwhile may or may not be seen.
 * Statuses: OK, InvalidArgument, AbiMismatch, Closed (destroyed).
 */
slabby_status slabby_live_next(slabby_live *out_live, uint64_t *out_count, uint64_t *cursor,
                               slabby_allocator *allocator);

/*
 * slabby_report_leak: what a binding calls when it finds a reference that no code can release any more. Counted once a
 * reference in `leaks` and told as an event. stack: where the slab was allocated in the words of the caller's
 * language, null or empty: the stack of `debug` serves then, where there is one. reclaim: 1 releases the slab as
 * slabby_release_deferred does; 0 leaves it out, for memory that may still be in use.
 * Statuses: OK, InvalidArgument, InvalidReference (forged, foreign), DoubleDeallocation (stale: no leak),
 * MemoryCorruption (reclaim found overwritten guard bytes: the reference is consumed), NoSystemMemory (without
 * reclaim: no room to note what was reported), Closed (destroyed).
 */
slabby_status slabby_report_leak(slabby_allocator *allocator, slabby_ref ref, const char *stack,
                                 int32_t reclaim);

/*
 * slabby_audit_read: up to `capacity` audit records from *cursor on, which starts at 0 and is moved on; the ring keeps
 * the last `audit` records (an option). out_lost, may be null, counts those that were overwritten before they could be
 * read: records handed out and lost add up to records written. At the end: OK, out_count = 0. Readers never hold up
 * those who write, nor do stopped writers hold up readers. Each caller has its own cursor; readers take turns.
 * Statuses: OK, InvalidArgument (also a cursor beyond the newest record), AbiMismatch, Closed (destroyed),
 * NotSupported (the pool keeps no audit trail).
 */
slabby_status slabby_audit_read(slabby_audit_record *out_records, uint64_t *out_count, uint64_t *out_lost,
                                uint64_t *cursor, slabby_allocator *allocator, uint64_t capacity);

/*
 * slabby_audit_write: appends the records from *cursor on to a descriptor as JSON lines, each with a SHA-256
 * digest over the digest of the line before and its own text; docs/audit.md has the format, and the installed tool
 * `slabby-audit-check` verifies a file. What was overwritten is a line of its own. Waits while the descriptor takes
 * no data. out_count, may be null: records whose lines were written whole. Both are stored after an error too; a call
 * for the same file with that cursor, or the one of before, then goes on in the middle of the line that was cut. The
 * descriptor stays the caller's.
 * Statuses: OK, InvalidArgument (a bad cursor or descriptor), WriteFailed (out_error has the errno), Busy (another
 * thread is writing the audit trail of this pool), Closed (destroyed), NotSupported (no audit trail). May block.
 */
slabby_status slabby_audit_write(uint64_t *out_count, uint64_t *cursor, slabby_allocator *allocator,
                                 int32_t fd, slabby_error *out_error);

/*
 * slabby_events_read: up to `capacity` events from *cursor on, as slabby_audit_read; the last 256 are kept.
 * Each caller has its own cursor.
 * Statuses: OK, InvalidArgument, AbiMismatch, Closed (destroyed).
 */
slabby_status slabby_events_read(slabby_event *out_events, uint64_t *out_count, uint64_t *out_lost,
                                 uint64_t *cursor, slabby_allocator *allocator, uint64_t capacity);

/*
 * slabby_watch_begin: a descriptor that becomes readable when an event of any pool of the process is raised, in
 * whatever language, for a loop or thread that logs them. A process has 16 at most; give it to slabby_watch_end.
 *
 *   for (;;) {
 *       wait until the descriptor is readable (poll, an event loop)
 *       slabby_watch_clear(descriptor);
 *       call slabby_watch_read until it answers no event
 *   }
 *
 * A child made by fork has descriptors of its own under the same numbers.
 * Statuses: OK, InvalidArgument, Busy (16 watch already), NoSystemMemory (the system refused a descriptor: out_error
 * has the errno).
 */
slabby_status slabby_watch_begin(int32_t *out_descriptor, slabby_error *out_error);

/*
 * slabby_watch_read: up to `capacity` events of all pools of the process from *cursor on, as slabby_events_read. The
 * last 256 are kept, also those of pools that were destroyed. *cursor starts at 0, or at UINT64_MAX for what comes from
 * this call on.
 * Statuses: OK, InvalidArgument (also a cursor beyond the newest event), AbiMismatch.
 */
slabby_status slabby_watch_read(slabby_event *out_watched, uint64_t *out_count, uint64_t *out_lost,
                                uint64_t *cursor, uint64_t capacity);

/*
 * slabby_watch_clear: makes the descriptor unreadable until the next event. Call it before you read.
 * Statuses: OK, InvalidArgument (no descriptor of slabby_watch_begin).
 */
slabby_status slabby_watch_clear(int32_t descriptor);

/*
 * slabby_watch_end: closes the descriptor. No other thread may wait for it or clear it any more.
 * Statuses: OK, InvalidArgument (no descriptor of slabby_watch_begin).
 */
slabby_status slabby_watch_end(int32_t descriptor);

/*
 * slabby_verify: checks the pool against itself: every slab in exactly one state and every free slab in exactly
 * one place. Never aborts, never pins; it closes the gate while it works, so that allocations wait. A thread that is
 * stopped inside a call for more than a second shows up as a counter mismatch with the slab it holds as lost.
 * out_findings: `capacity` places, may be null with 0. out_count: how many were found, which may be more than
 * fitted. Finding something is still OK.
 * Statuses: OK, InvalidArgument, AbiMismatch, Closed (destroyed), NoSystemMemory, Busy (from a signal handler). May
 * block.
 */
slabby_status slabby_verify(slabby_finding *out_findings, uint64_t *out_count, slabby_allocator *allocator,
                            uint64_t capacity);

/*
 * slabby_stack: where the slab of a reference was allocated and, where it was, released, as text: a line for who and
 * when, then a line a frame. Stale references are told until their slab's next allocation is released. The text is
 * empty where no stack was recorded, as without `debug`.
 * Statuses: OK, BufferTooSmall, InvalidArgument, InvalidReference (forged, foreign), Closed (destroyed).
 */
slabby_status slabby_stack(char *buffer, uint64_t capacity, uint64_t *out_length, slabby_allocator *allocator,
                           slabby_ref ref);

/*
 * slabby_view: where words and slabs lie, for a binding's own hot path. `capacity` there counts the slabs there is room
 * for, `max_capacity`: their ids are below it, whatever slabby_resize has made of the pool. `version` 2: the lowest
 * id_bits of a reference are the id; a word is {pins:12 | generation | zeros | turns:2 guarded:1 biased:1 state:3}, the
 * generation from bit id_bits on, as in a reference less ref_bias. With the bit biased the upper 12 bits are a CPU in
 * place of pins, and the slab has a pin if turns is odd; with the bit guarded the slab lies on a guard slot, not at its
 * place among the slabs. Read words as you like; only the core may change them. They are mapped as long as the pool has
 * an owner: who reads them owns a share (slabby_retain) until behind the last read.
 * Statuses: OK, InvalidArgument, AbiMismatch, Closed (destroyed).
 */
slabby_status slabby_view(slabby_view_info *out_view, slabby_allocator *allocator);

/*
 * slabby_install_fault_handler: from now on a fault (SIGSEGV, SIGBUS) in the memory of a pool is reported on stderr in
 * words, "slabby: write 1 byte past the end of slab 17 (4096 bytes) of pool 'orders'", with the slab's stacks
 * where they are known, and a fault on a guard is counted; then the handler that was there before has it, or the
 * default. For the whole process, for good; a second call changes nothing. A handler that is installed later must
 * call this one.
 * Statuses: OK, NotSupported (the system has no such signals).
 */
slabby_status slabby_install_fault_handler(slabby_error *out_error);

/*
 * slabby_classify_fault: what lies at an address: the slab that holds it or is nearest, how far from the slab's
 * first byte, and the same in words. inside = 0: no pool has this address. ref names the slab's present or last
 * allocation, 0 where there was none or it was by id.
 * Statuses: OK, InvalidArgument, AbiMismatch. Signal-safe.
 */
slabby_status slabby_classify_fault(slabby_fault *out_fault, uint64_t address);

/* ------------------------------------------------------------------------- leases (core/src/api: lease.c) */

/*
 * Leases, for a binding that allocates and releases in its own code and calls the core once a batch. A lease is memory
 * of the core with two stacks of free ids ("magazines"); docs/go-fast-path.md says who may change what, and how.
 * Layout 1, offsets in bytes:
 *
 *     0 given:    header u64 {turn:48, length:16}, sample_at u32, max u32, ids u32[120]
 *   512 refilled: the same
 *  1024 fast_taken u64, 1032 fast_given u64, 1048 user u64;  one lease after the other at 1,088
 *
 * A length of 0xFFFF is locked. The user of a lease, one at a time, takes from either magazine, by a compare-and-swap
 * of the header that it read to header + 0xFFFF, the id at ids[length - 1]; not where the turn's lower 32 bits equal
 * sample_at. It gives to `given` alone: ids[length] first, then header to header + 1. The id's word says free then,
 * or still: slabby_view has where words lie. It counts what goes by id in fast_taken and fast_given. Other threads may
 * take single ids beside it, which they do not count; who is the user they may settle by `user`, which the core does
 * not check. While `mode` is not 0 no lease may be used.
 */
#define SLABBY_LEASE_LAYOUT 1u

/*
 * slabby_lease_attach: `count` leases for one user of the pool, their address in *out_address. Slabs in them count as
 * cached, and whatever empties CPU caches empties them. They last until slabby_lease_detach, or as long as the pool.
 * count: 1 to 4,096. layout: the one that the caller was written for, 1 here.
 * Statuses: OK, InvalidArgument, AbiMismatch (the core has another layout), NotSupported (the pool has no caches, or
 * is too small for so many), NoSystemMemory, Busy (from a signal handler that interrupted this thread inside the
 * pool), Closed (destroyed). May block.
 */
slabby_status slabby_lease_attach(uint64_t *out_address, slabby_allocator *allocator, uint64_t count,
                                  uint32_t layout);

/*
 * slabby_lease_detach: gives back the leases that slabby_lease_attach answered. No thread uses them by then.
 * Statuses: OK, InvalidArgument (no such leases), Busy (from a signal handler that interrupted this thread inside the
 * pool), Closed (destroyed). May block.
 */
slabby_status slabby_lease_detach(slabby_allocator *allocator, uint64_t address);

/*
 * slabby_lease_allocate: slabby_allocate for the user of a lease that is empty, locked or to be timed; it refills the
 * lease. An address without a lease is as none.
 * Statuses: OK, InvalidArgument, OutOfMemory (truthful: see docs/architecture.md, the gate), Closed (closed or
 * destroyed), Busy (from a signal handler that interrupted this thread inside the pool), CircuitBreakerOpen,
 * LatencyExceeded, NoSystemMemory (heap tier).
 */
slabby_status slabby_lease_allocate(slabby_ref *out_ref, slabby_allocator *allocator, uint64_t address);

/*
 * slabby_lease_allocate_fast: the same for slabby_allocate_fast.
 * Statuses: OK, InvalidArgument, OutOfMemory (truthful: see docs/architecture.md, the gate), Closed (closed or
 * destroyed), Busy (from a signal handler that interrupted this thread inside the pool), CircuitBreakerOpen,
 * LatencyExceeded, NoSystemMemory (heap tier).
 */
slabby_status slabby_lease_allocate_fast(void **out_data, uint32_t *out_id, slabby_allocator *allocator,
                                         uint64_t address);

/*
 * slabby_lease_try: slabby_lease_allocate for a caller who will wait where there is nothing: OutOfMemory is not counted
 * and does not move the breaker.
 * Statuses: OK, InvalidArgument, OutOfMemory (truthful: see docs/architecture.md, the gate), Closed (closed or
 * destroyed), Busy (from a signal handler that interrupted this thread inside the pool), CircuitBreakerOpen,
 * LatencyExceeded, NoSystemMemory (heap tier).
 */
slabby_status slabby_lease_try(slabby_ref *out_ref, slabby_allocator *allocator, uint64_t address);

/*
 * slabby_lease_return: the end of a release whose word the user of a lease has made free itself, where the lease is
 * full or locked, or protections act. It empties a full lease. A caller that passes a slab that it did not free this
 * moment hands the slab out twice.
 * name: the reference, or with by_id = 1 the id.
 * Statuses: OK, InvalidArgument (no such slab, or it is not free), MemoryCorruption, Closed (destroyed).
 */
slabby_status slabby_lease_return(slabby_allocator *allocator, uint64_t address, uint64_t name,
                                  int32_t by_id);

/* --------------------------------------------------------------- sequences (core/src/api: sequences.c) */

/*
 * Restartable sequences, for a binding on x86-64 that takes slabs from the caches of CPUs and gives them back in
 * its own code, by the sequences that slabby_allocate and slabby_release use; docs/fast-path.md has them, and
 * docs/go-fast-path.md what a binding has to keep to. Layout 2, offsets in bytes behind the handle:
 *
 *     0 ref_bias u64, ref_limit u64, ref_end u64, id_mask u64, generation_step u64, words pointer, slabs pointer,
 *    56 stride u64, slab_size u64, -, reserved u32, caches pointer, cache_max u32, rseq_cpus u32, hot_cpus u32,
 *   100 release_cpus u32, -, 120 protect u32, -, 136 guard_key u64, guard_front u32, guard_back u32
 *
 * and in the cache of a CPU, 2,048 bytes each:
 *
 *     0 fast_given u64, header u64 {allocations:48, length:16}, fast_taken u64, sample_at u32, -, 32 issue u64,
 *    40 ids u32[254]
 */
#define SLABBY_SEQUENCE_LAYOUT 2u

/*
 * slabby_sequences: where each thread has its rseq area, as an offset from its thread pointer. A caller that finds
 * `issue` to be 0 after a batch calls again: slabby_allocate biases the words of a CPU from time to time, a batch
 * never.
 * layout: the one that the caller was written for, 2 here.
 * Statuses: OK, InvalidArgument, AbiMismatch (the core has another layout), NotSupported (the CPU caches of this pool
 * work without restartable sequences, or it has none), Closed (destroyed).
 */
slabby_status slabby_sequences(uint64_t *out_area, slabby_allocator *allocator, uint32_t layout);

/*
 * slabby_sequence_uncount: takes back the count of one use by id, fast_taken or fast_given. A sequence counts ahead of
 * its commit, so one that is restarted in between has counted a use that did not happen.
 * released: 0 for an allocation, 1 for a release.
 * Statuses: OK, InvalidArgument (released is neither 0 nor 1), Closed (destroyed).
 */
slabby_status slabby_sequence_uncount(slabby_allocator *allocator, int32_t released);

/* ------------------------------------------------------------------------ sizing (core/src/api: sizing.c) */

/*
 * slabby_suggest_slab_size: a slab size that holds every object, rounded up to an alignment. It is rounded up to
 * whole cache lines where neighbours had better not share one: from a million allocations a second on, and where an
 * average object fills half a line, so that packing gains little. For sizes below a line make the pool with the same
 * `alignment`.
 * average, maximum: bytes, 1 <= average <= maximum <= 1 GiB. rate_per_second: above 0, at most 1e12. alignment: a power
 * of two up to 2 MiB.
 * Statuses: OK, InvalidArgument.
 */
slabby_status slabby_suggest_slab_size(uint64_t *out_size, uint64_t average, uint64_t maximum,
                                       double rate_per_second, uint64_t alignment);

/*
 * slabby_suggest_capacity: how many slabs keep the chance that an allocation finds none within a probability. The
 * least number that does, by Little's law and Erlang's loss formula; holds of p99 length are taken to come together,
 * one percent of the time. docs/sizing.md shows the formula.
 * rate_per_second: allocations, above 0, at most 1e12. mean_hold_ns, p99_hold_ns: 1 ns to a day, and p99 at most 100
 * times the mean, as in any one measurement. exhaustion_probability: at least 1e-15, below 1.
 * Statuses: OK, InvalidArgument, CapacityExceeded (not even 2^31 - 1 slabs would do).
 */
slabby_status slabby_suggest_capacity(uint64_t *out_capacity, double rate_per_second, uint64_t mean_hold_ns,
                                      uint64_t p99_hold_ns, double exhaustion_probability);

#ifdef __cplusplus
}
#endif

#endif
