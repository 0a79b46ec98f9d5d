// SPDX-License-Identifier: GPL-3.0-or-later

//go:build linux && !slabby_noseq && !slabby_nopin

package sequence

//lint:file-ignore U1000 the kernel and the assembly read what is not read here

import (
	"fmt"
	"unsafe"
)

const sequences = 16

// The description of a thread's sequence that the kernel reads: struct rseq_cs.
type descriptor struct {
	version, flags           uint32
	start, length, restartAt uintptr
}

var descriptors [sequences]descriptor

// Defined in sequence_amd64.s: the addresses of functions, those that hold sequences first.
var functions [13]uintptr

const describedFunctions = 11

// The bytes before the address at which the kernel goes on: an instruction that never runs, with the
// signature that libc registered.
const signature = "\x0F\xB9\x3D\x53\x30\x05\x53"

// Operands of the no-ops by which the assembly marks where its sequences lie.
const (
	mark       = 0x5EC00000
	markAbort  = 1
	markFinish = 2
	markBytes  = 7
)

// Go's assembler does not give the addresses of labels, so they are read from jumps to them.
func init() {
	for _, function := range functions[:describedFunctions] {
		describe(function)
	}
	for n, d := range descriptors {
		if d.start == 0 || d.length == 0 || d.length > 256 || d.restartAt == 0 {
			panic(fmt.Sprintf("slabby: sequence %d is not where the assembly says: %+v", n, d))
		}
	}
}

// describe reads the code of one function up to its last mark.
func describe(function uintptr) {
	for at := function; ; at++ {
		kind, n, found := markAt(at)
		if found && kind == markFinish {
			return
		}
		if !found {
			continue
		}
		start, at := jumpAt(at + markBytes)
		end, at := jumpAt(at)
		if string(code(at, len(signature))) == signature {
			descriptors[n] = descriptor{start: start, length: end - start, restartAt: at + uintptr(len(signature))}
		}
	}
}

// jumpAt reads a jump: where it goes, and what comes behind it.
func jumpAt(at uintptr) (target, next uintptr) {
	switch bytes := code(at, 5); bytes[0] {
	case 0xEB:
		next = at + 2
		return next + uintptr(int8(bytes[1])), next
	case 0xE9:
		next = at + 5
		return next + uintptr(int32(word(bytes[1:]))), next
	}
	return 0, at
}

func markAt(at uintptr) (kind, n uint32, found bool) {
	bytes := code(at, markBytes)
	operand := word(bytes[3:])
	if bytes[0] != 0x0F || bytes[1] != 0x1F || bytes[2] != 0x80 || operand&^0xFFFF != mark {
		return 0, 0, false
	}
	return operand >> 8 & 0xFF, operand & 0xFF, true
}

func word(bytes []byte) uint32 {
	return uint32(bytes[0]) | uint32(bytes[1])<<8 | uint32(bytes[2])<<16 | uint32(bytes[3])<<24
}

// code is the program's own text.
func code(at uintptr, length int) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), length)
}

// Numbers of sequences, for tests.
const (
	AllocateFastSequence   = 2
	GiveFastSequence       = 3
	DeallocateFastSequence = 7
	TakeBatchSequence      = 9
	ReleaseRunSequence     = 15
)

// Descriptor is what the kernel reads of a sequence.
func Descriptor(sequence int) unsafe.Pointer { return unsafe.Pointer(&descriptors[sequence]) }

// AreaIsKnown says, once there is a pool, whether the C library registers an area for each thread; where the core does
// that by itself, as with musl, Go cannot find it, and leases serve.
func AreaIsKnown() bool { return area != 0 }
