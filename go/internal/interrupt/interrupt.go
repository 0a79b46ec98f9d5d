// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && linux && amd64

// Package interrupt has the kernel restart a sequence of internal/sequence behind an instruction that a test chooses:
// whatever a signal or another thread may do to a sequence by chance, it does on purpose.
package interrupt

/*
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

struct descriptor {
	uint32_t version, flags;
	uint64_t start, length, restart_at;
};

enum outcome { NOT_REACHED, STEPPING, ARMED, RESTARTED, COMMITTED, LEFT };

// The store of the descriptor's address, five bytes, is right ahead of the sequence.
enum { STORE_BYTES = 5, TRAP_FLAG = 0x100, ZERO_FLAG = 0x40, BREAKPOINT = 0xCC };

// A run asks whether it is still armed, by CMPQ R8, FS:8(R9), and goes on outside of the sequence, for so many bytes.
static const unsigned char still_armed[] = {0x64, 0x4D, 0x3B, 0x41, 0x08};
enum { OUTSIDE_BYTES = 16 };

static struct {
	const struct descriptor *sequence;
	unsigned char *store, saved;
	int64_t wanted, steps;
	int move_to, is_run;
	enum outcome outcome;
	volatile uint64_t *running;  // which sequence this thread runs, for the kernel
	struct sigaction before;
} test;

static cpu_set_t all;  // where this thread was before

static int run_on(int cpu) {
	cpu_set_t set;
	if (CPU_COUNT(&all) == 0)
		(void)sched_getaffinity(0, sizeof all, &all);
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	return sched_setaffinity(0, sizeof set, &set);
}

static void run_on_all(void) {
	(void)sched_setaffinity(0, sizeof all, &all);
}

// R9 has where the area lies behind the thread pointer, which is also the first word there.
static void begin_stepping(greg_t *registers) {
	greg_t thread_pointer;
	__asm__("movq %%fs:0, %0" : "=r"(thread_pointer));
	*test.store = test.saved;
	test.running = (volatile uint64_t *)(thread_pointer + registers[REG_R9] + 8);
	*test.running = 0;
	registers[REG_RIP] = (greg_t)test.sequence->start;
	test.outcome = STEPPING;
}

// What became of the sequence where its thread has left it. A run has stored the header if DI is not 0.
static enum outcome end_of(const greg_t *registers, uint64_t inside) {
	if (test.is_run)
		return registers[REG_RDI] != 0 ? COMMITTED : LEFT;
	return inside == test.sequence->length ? COMMITTED : LEFT;
}

static int goes_on_outside(uint64_t inside) {
	return test.is_run && inside >= test.sequence->length && inside - test.sequence->length < OUTSIDE_BYTES;
}

// Where a step would ask whether the sequence is armed, it is. The answer, in place of that instruction.
static void answer_for_kernel(greg_t *registers) {
	if (!test.is_run || memcmp((const void *)registers[REG_RIP], still_armed, sizeof still_armed) != 0)
		return;
	registers[REG_RIP] += sizeof still_armed;
	registers[REG_EFL] |= ZERO_FLAG;
	test.steps++;
}

// Nothing restarts the steps, because the kernel knows of no sequence, up to the one that counts.
static void on_trap(int signal, siginfo_t *info, void *context) {
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	uint64_t inside = (uint64_t)registers[REG_RIP] - test.sequence->start;
	(void)signal, (void)info;
	if (test.outcome == NOT_REACHED) {
		begin_stepping(registers);
	} else if (test.outcome == ARMED) {
		test.outcome = (uint64_t)registers[REG_RIP] == test.sequence->restart_at || goes_on_outside(inside)
		                   ? RESTARTED
		                   : end_of(registers, inside);
		registers[REG_EFL] &= ~TRAP_FLAG;
		if (test.move_to >= 0)
			(void)run_on(test.move_to);
		return;
	} else if (test.steps++, inside >= test.sequence->length && !goes_on_outside(inside)) {
		test.outcome = end_of(registers, inside);
		registers[REG_EFL] &= ~TRAP_FLAG;
		return;
	}
	if (test.steps + 1 != test.wanted)
		answer_for_kernel(registers);
	if (test.steps + 1 == test.wanted) {
		*test.running = (uint64_t)(uintptr_t)test.sequence;
		test.outcome = ARMED;
	}
	registers[REG_EFL] |= TRAP_FLAG;
}

static int arm(uint64_t sequence, int64_t wanted, int move_to, int is_run) {
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct sigaction trap;
	memset(&trap, 0, sizeof trap);
	trap.sa_sigaction = on_trap;
	trap.sa_flags = SA_SIGINFO | SA_ONSTACK;
	test.sequence = (const struct descriptor *)(uintptr_t)sequence;
	test.store = (unsigned char *)(uintptr_t)(test.sequence->start - STORE_BYTES);
	test.wanted = wanted, test.steps = 0, test.move_to = move_to, test.outcome = NOT_REACHED;
	test.is_run = is_run;
	if (mprotect((void *)((uintptr_t)test.store & ~(page - 1)), 2 * page, PROT_READ | PROT_WRITE | PROT_EXEC) != 0 ||
	    sigaction(SIGTRAP, &trap, &test.before) != 0)
		return 0;
	test.saved = *test.store;
	*test.store = BREAKPOINT;
	return 1;
}

static int disarm(void) {
	*test.store = test.saved;
	(void)sigaction(SIGTRAP, &test.before, NULL);
	return test.outcome;
}
*/
import "C"

import "unsafe"

// What became of the sequence.
const (
	NotReached = C.NOT_REACHED
	Restarted  = C.RESTARTED
	Committed  = C.COMMITTED // it has fewer instructions
	Left       = C.LEFT      // by a jump out of it
)

// RunOn binds the calling thread to a CPU; false where the system refuses.
func RunOn(cpu int) bool { return C.run_on(C.int(cpu)) == 0 }

// RunOnAll lets the calling thread run where it did before the first RunOn.
func RunOnAll() { C.run_on_all() }

// Behind makes the kernel restart the next run of a sequence by the calling thread behind its instruction number
// `step`, counted as they run, and then moves the thread to a CPU, if moveTo is one. No other thread may run the
// sequence. isRun says that it is the run of releases, of which a part lies outside; there the kernel disarms the
// sequence, and does not restart it. False where the system does not let a program change its code. Disarm must follow.
func Behind(sequence unsafe.Pointer, step, moveTo int, isRun bool) bool {
	run := C.int(0)
	if isRun {
		run = 1
	}
	return C.arm(C.uint64_t(uintptr(sequence)), C.int64_t(step), C.int(moveTo), run) != 0
}

// Disarm puts everything back and says what became of the sequence.
func Disarm() (outcome int) { return int(C.disarm()) }
