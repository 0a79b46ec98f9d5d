/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One thread takes objects and writes to them, another, on the other CPU, gives them back. They travel through a ring
 * for one writer and one reader; each side keeps a copy of the other's index and looks only when the copy says stop.
 * Both publish their index once in BURST objects: else a reader that is faster than the writer finds one object at a
 * time, and each costs what it takes to move the ring's own lines, whatever the pool. */
#include "worker.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define RING 1024u
#define BURST 16u
#define SPINS_BEFORE_YIELD 2000

static struct {
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) uint64_t writing; /* the writer's own */
    uint64_t read_copy;
    _Alignas(64) _Atomic uint64_t read;
    _Alignas(64) uint64_t reading; /* the reader's own */
    uint64_t written_copy;
    _Alignas(64) _Atomic bool stop; /* for the writer */
    _Atomic bool over;              /* for the reader: the writer has ended */
    _Alignas(64) peer_object objects[RING];
} ring;

static void wait_a_little(int *spins) {
    if (++*spins < SPINS_BEFORE_YIELD) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    } else {
        sched_yield();
        *spins = 0;
    }
}

static void write_object(peer_object object) {
    uint64_t position = ring.writing;
    int spins = 0;
    while (position - ring.read_copy == RING) {
        /* acquire: pairs with the release in read_object, behind which the place is free */
        ring.read_copy = atomic_load_explicit(&ring.read, memory_order_acquire);
        if (position - ring.read_copy == RING)
            wait_a_little(&spins);
    }
    ring.objects[position % RING] = object;
    ring.writing = position + 1;
    if (ring.writing % BURST == 0)
        atomic_store_explicit(&ring.written, ring.writing, memory_order_release);
}

/* False once the writer has ended and everything is read. */
static bool read_object(peer_object *out_object) {
    uint64_t position = ring.reading;
    int spins = 0;
    while (position == ring.written_copy) {
        bool over = atomic_load_explicit(&ring.over, memory_order_acquire);
        /* acquire: pairs with the release in write_object, before which the object was stored */
        ring.written_copy = atomic_load_explicit(&ring.written, memory_order_acquire);
        if (position != ring.written_copy)
            break;
        if (over)
            return false;
        wait_a_little(&spins);
    }
    *out_object = ring.objects[position % RING];
    ring.reading = position + 1;
    if (ring.reading % BURST == 0)
        atomic_store_explicit(&ring.read, ring.reading, memory_order_release);
    return true;
}

static void *produce(void *argument) {
    peer_pool *pool = argument;
    worker_bind(0);
    if (peer_enter() != 0)
        worker_fail("peer_enter", "the thread was refused");
    while (!atomic_load_explicit(&ring.stop, memory_order_relaxed))
        write_object(worker_take(pool));
    atomic_store_explicit(&ring.written, ring.writing, memory_order_release);
    peer_leave();
    return NULL;
}

static void *consume(void *argument) {
    peer_pool *pool = argument;
    peer_object object;
    worker_bind(1);
    if (peer_enter() != 0)
        worker_fail("peer_enter", "the thread was refused");
    while (read_object(&object))
        worker_give(pool, object);
    atomic_store_explicit(&ring.read, ring.reading, memory_order_release);
    peer_leave();
    return NULL;
}

struct result measure_ring(peer_pool *pool, double duration_ns) {
    pthread_t producer, consumer;
    uint64_t before = atomic_load(&ring.read);
    worker_bind(-1);
    atomic_store(&ring.stop, false);
    atomic_store(&ring.over, false);
    if (pthread_create(&consumer, NULL, consume, pool) != 0 ||
        pthread_create(&producer, NULL, produce, pool) != 0)
        worker_fail("pthread_create", "no more threads");
    clock_pause(duration_ns / 5);
    uint64_t first = atomic_load(&ring.read);
    double started = clock_ns(CLOCK_MONOTONIC);
    uint64_t last;
    do { /* longer where others keep the CPUs for all of it */
        clock_pause(duration_ns);
        last = atomic_load(&ring.read);
    } while (last == first);
    double spent_ns = clock_ns(CLOCK_MONOTONIC) - started;
    atomic_store(&ring.stop, true);
    pthread_join(producer, NULL);
    atomic_store(&ring.over, true);
    pthread_join(consumer, NULL);
    return (struct result){.ns = spent_ns / (double)(last - first),
                           .pairs = last - first,
                           .taken = atomic_load(&ring.read) - before};
}
