// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
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

// fault writes one byte, and tells what the package makes of the fault.
func fault(ref slabby.SlabRef, entry *byte) {
	var fault *slabby.FaultError
	if err := slabby.CatchFaults(func() { *entry = 1 }); !errors.As(err, &fault) {
		insist(errors.New("the mistake was not noticed"))
	}
	report("FaultError", ref.ID(), ref.Ref(), fault.Text)
}

func overflowFault() {
	ref := take(newPool(slabby.WithGuardPages()))
	fault(ref, byteAt(ref, slabSize))
}

func underflowFault() {
	ref := take(sizedPool(large, capacity, slabby.WithGuardSampleRate(1)))
	fault(ref, byteAt(ref, -1))
}

func writeAfterReleaseFault() {
	ref := take(sizedPool(large, capacity, slabby.WithGuardSampleRate(1)))
	entry := byteAt(ref, 5)
	insist(ref.Release())
	fault(ref, entry)
}
