/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stops a traced child inside the restartable sequences that count uses by id (x86-64). */
#ifndef SLABBY_TEST_RSEQ_STOPS_H
#define SLABBY_TEST_RSEQ_STOPS_H

#ifdef __x86_64__

#include "support.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>

/* INDEX_INSTRUCTION is the one behind the load of the index. */
enum instruction { INDEX_INSTRUCTION, COUNT_INSTRUCTION, HEADER_INSTRUCTION };

/* A counted sequence ends with subq $-1 from the count, of four or five bytes, then movq %r10, 8(%rcx); ahead of them
 * it has movswl or movzwl %r10w, %eax once. Answers the address of one of them, or 0 for another sequence. */
static inline uint64_t address_of(enum instruction instruction, uint64_t begin_address,
                                  uint64_t end_address) {
    static const unsigned char header[] = {0x4c, 0x89, 0x51, 0x08}, subtract[] = {0x48, 0x83};
    static const unsigned char extend[] = {0x41, 0x0f}, r10w_to_eax = 0xc2;
    const unsigned char *end = (const unsigned char *)(uintptr_t)end_address;
    uint64_t length = memcmp(end - 8, subtract, sizeof subtract) == 0 ? 4 : 5, at = begin_address;
    if (memcmp(end - sizeof header, header, sizeof header) != 0 || end[-5] != 0xff ||
        memcmp(end - 4 - length, subtract, sizeof subtract) != 0)
        return 0;
    if (instruction != INDEX_INSTRUCTION)
        return end_address - 4 - (instruction == COUNT_INSTRUCTION ? length : 0);
    for (const unsigned char *code; at < end_address; at++) {
        code = (const unsigned char *)(uintptr_t)at;
        if (memcmp(code, extend, sizeof extend) == 0 && code[3] == r10w_to_eax)
            return at + 4;
    }
    return 0;
}

struct descriptor {
    uint32_t version, flags;
    uint64_t start, length, abort;
};
extern const struct descriptor __start___rseq_cs[], __stop___rseq_cs[];

/* Exchanges the first byte of an instruction in each counted sequence; the child has the same code. */
static inline void patch(pid_t child, enum instruction instruction, bool stops) {
    for (const struct descriptor *each = __start___rseq_cs; each < __stop___rseq_cs; each++) {
        uint64_t at = address_of(instruction, each->start, each->start + each->length);
        if (at == 0)
            continue;
        unsigned char byte = stops ? 0xcc : *(const unsigned char *)(uintptr_t)at;
        long word = ptrace(PTRACE_PEEKTEXT, child, (void *)(uintptr_t)at, NULL);
        word = (word & ~0xffl) | byte;
        assert_int_equal(ptrace(PTRACE_POKETEXT, child, (void *)(uintptr_t)at, (void *)word), 0);
    }
}

/* Lets a stopped child go on until it comes to an instruction, which then is the next one. False: it has ended. */
static inline bool stop_at(pid_t child, enum instruction instruction) {
    struct user_regs_struct registers;
    int status = 0;
    patch(child, instruction, true);
    assert_int_equal(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        return false;
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    patch(child, instruction, false);
    assert_int_equal(ptrace(PTRACE_GETREGS, child, NULL, &registers), 0);
    registers.rip--;
    assert_int_equal(ptrace(PTRACE_SETREGS, child, NULL, &registers), 0);
    return true;
}

#endif

#endif
