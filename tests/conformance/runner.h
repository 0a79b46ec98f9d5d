/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The C runner of the conformance programs: registers, output and the instructions in their two files. */
#ifndef RUNNER_H
#define RUNNER_H

#include <slabby/slabby.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOLS 8
#define REFS 1024
#define FASTS 64
#define VIEWS 64
#define WAITS 64
#define TOKENS 128
#define IDS 4096

/* The ids a program saw in one pool, in the order in which it saw them. */
struct seen {
    struct seen *next;
    uint32_t count;
    uint32_t ids[IDS];
};

struct fast {
    bool set;
    uint32_t id;
    unsigned char *data; /* null once it was given back */
};

struct view {
    slabby_allocator *pool; /* null: unset */
    slabby_ref ref;
    unsigned char *data;
    uint64_t size;
};

struct wait {
    bool set;
    unsigned pool; /* the register */
    uint64_t ticket;
    slabby_ref ref; /* once the grant was taken */
};

/* Who waits through one pool register. */
struct waiting {
    slabby_listener *listener; /* null: nobody */
    unsigned count;
    bool closed; /* nothing more will be granted */
};

struct machine {
    slabby_allocator *pools[POOLS];
    struct seen *seen_of[POOLS];
    struct seen *seen; /* all of this program */
    slabby_ref refs[REFS];
    struct fast fasts[FASTS];
    struct view views[VIEWS];
    struct wait waits[WAITS];
    struct waiting waiting[POOLS];
};

/* One instruction: `target` is the register before "=", or null. words[0] is the operation. */
struct instruction {
    const char *target;
    const char *words[TOKENS];
    unsigned count;
};

extern struct machine machine;

/* Output: put() appends as printf; finish_line() ends the object that begin_line() began. */
void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
void begin_line(const char *status);
void finish_line(void);
void flush_output(void);
/* What was put since the last time, without the newline at its end. */
const char *take_output(void);

/* Prints a whole line that has nothing but a status. */
void print_status(slabby_status status);
void print_unset(void);

/* Registers and numbers of an instruction; a malformed one ends the runner with a message. */
void give_up(const char *what, const char *text) __attribute__((noreturn));
uint64_t number(const char *text);
unsigned key(const char *text, char kind, unsigned limit);
slabby_allocator *pool_at(const struct instruction *in, unsigned word);
slabby_ref ref_at(const struct instruction *in, unsigned word);

/* Carries out a line, which is cut into words in place. */
void run_line(char *line);

/* Carry out one instruction if it is theirs; false otherwise. */
bool run_slab_instruction(const struct instruction *in);
bool run_pool_instruction(const struct instruction *in);
bool run_wait_instruction(const struct instruction *in);

/* Cancels every wait. */
void end_waits(void);

/* Takes what was granted, and answers how many wait still for a slab of a pool. */
uint64_t count_waiting(const slabby_allocator *pool);

uint32_t crc32_of(const unsigned char *bytes, uint64_t count);

#endif
