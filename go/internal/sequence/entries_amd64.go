// SPDX-License-Identifier: GPL-3.0-or-later

//go:build linux && !slabby_noseq && !slabby_nopin

package sequence

//lint:file-ignore U1000 the assembly uses what is not used here

import "unsafe"

// Places of functions in the assembly's table, for Entry.
const (
	Allocate       = 0
	Attempt        = 1
	AllocateFast   = 2
	Release        = 3
	DeallocateFast = 5
	GetBytes       = 11
	probeEntry     = 12
)

// Functions of Go's that the assembly continues in, as asides numbers them.
const (
	AllocateAside = iota
	AllocateFastAside
	GetBytesAside
	ReleaseAside
	ReleaseFreed // the word says free, and the slab is in no cache
	ReleaseWipe  // the same: the slab has to be zeroed, then given
	DeallocateFastAside
	DeallocateFastFreed
	AllocateFastCounted   // the use was counted, and did not happen
	DeallocateFastCounted // the same: the word says free, and the slab is in no cache
	asideCount
)

// Where those begin.
var asides [asideCount]uintptr

// Available says that this build has the sequences, and that Go passes arguments in the registers where the assembly
// expects them; the core says whether a pool can use them.
var Available = keepsRegisters()

// SetAside sets the function in which the assembly continues for a case that it leaves to Go. The
// function gets the arguments with which the assembly was called.
func SetAside[F any](aside int, function F) {
	asides[aside] = **(**uintptr)(unsafe.Pointer(&function))
}

// Entry is a function of the assembly as a func value, which Go calls with arguments in registers. Calls of functions
// that are declared without a body pass them by the stack, and the results too: that takes a third of a pair.
func Entry[F any](function int) (entry F) {
	code := unsafe.Pointer(&functions[function])
	return *(*F)(unsafe.Pointer(&code))
}

// pair is passed in the same way as a reference and as an error.
type pair struct {
	first  unsafe.Pointer
	second uint64
}

type numbers struct{ first, second uint64 }

// keepsRegisters tests the calling convention that Go documents for its own functions (ABIInternal)
// and may change: the registers of arguments and results, R14 as the goroutine, and X15 as zero. If
// the convention is different, leases serve.
func keepsRegisters() bool {
	probe := Entry[func(pair, uint32) (pair, uint64, uint32, numbers)](probeEntry)
	out, second, number, expected := probe(pair{unsafe.Pointer(&area), 0x1234567890}, 0x98765432)
	return out == pair{unsafe.Pointer(&area), 0x1234567890} && second == 0x1234567890 && number == 0x98765432 &&
		expected == numbers{}
}
