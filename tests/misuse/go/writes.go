// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"runtime/debug"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

const large = 4096

// Written where nothing belongs to the writer, past Go's own bounds.
var writeMistakes = []mistake{
	{"overflow", func() { damage(slabSize) }},
	{"underflow", func() { damage(-1) }},
	{"write_after_release", writeAfterRelease},
	{"overflow_fault", overflowFault},
	{"underflow_fault", underflowFault},
	{"write_after_release_fault", writeAfterReleaseFault},
}

func byteAt(ref slabby.SlabRef, offset int) *byte {
	return (*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(ref.GetBytes())), offset))
}

func damage(offset int) {
	pool := newPool(slabby.WithBitGuard())
	ref := take(pool)
	*byteAt(ref, offset) ^= 1
	answered(pool, ref, ref.Release())
}

func writeAfterRelease() {
	pool := newPool(slabby.WithReuseDelay(2))
	ref := take(pool)
	first := byteAt(ref, 0)
	insist(ref.Release())
	*first = 1
	for range 2 * capacity {
		insist(take(pool).Release())
	}
	counted("corruptions", int(pool.Stats().Corruptions))
	answered(pool, ref, slabby.ErrMemoryCorruption)
}

// fault writes one byte, with faults turned into panics, and tells how far from the slab's first byte
// the fault was.
func fault(ref slabby.SlabRef, first, place *byte) {
	debug.SetPanicOnFault(true)
	defer func() {
		fault, ok := recover().(interface{ Addr() uintptr })
		if !ok {
			panic("no fault with an address")
		}
		offset := int64(fault.Addr()) - int64(uintptr(unsafe.Pointer(first)))
		tell("fault", ref.ID(), ref.Ref(), fmt.Sprintf("at offset %d", offset))
	}()
	*place = 1
}

func overflowFault() {
	ref := take(newPool(slabby.WithGuardPages()))
	fault(ref, byteAt(ref, 0), byteAt(ref, slabSize))
}

func underflowFault() {
	ref := take(sizedPool(large, capacity, slabby.WithGuardSampleRate(1)))
	fault(ref, byteAt(ref, 0), byteAt(ref, -1))
}

func writeAfterReleaseFault() {
	ref := take(sizedPool(large, capacity, slabby.WithGuardSampleRate(1)))
	first, place := byteAt(ref, 0), byteAt(ref, 5)
	insist(ref.Release())
	fault(ref, first, place)
}
