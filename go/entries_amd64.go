// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && linux && !slabby_noseq && !slabby_nopin

package slabby

import (
	"sync/atomic"
	"unsafe"

	"github.com/slabby/slabby/go/internal/sequence"
)

// What calls do first: assembly, called by func values so that the compiler puts the call where the method is used.
// What the assembly leaves to Go continues in the functions with "aside" and the like in their names.
var (
	allocate       func(*Slabby) (SlabRef, error)
	attempt        func(*Slabby) SlabRef
	allocateFast   func(*Slabby) ([]byte, int32, error)
	deallocateFast func(*Slabby, int32) error
	getBytes       func(SlabRef) []byte
	release        func(SlabRef) error
)

func init() {
	if !sequence.Available {
		allocate, attempt, allocateFast = (*Slabby).allocateAside, noSlab, (*Slabby).allocateFastAside
		deallocateFast, getBytes, release = (*Slabby).deallocateFastAside, SlabRef.getBytesAside, SlabRef.releaseAside
		return
	}
	allocate = entry(sequence.Allocate, sequence.AllocateAside, (*Slabby).allocateAside)
	attempt = sequence.Entry[func(*Slabby) SlabRef](sequence.Attempt)
	allocateFast = entry(sequence.AllocateFast, sequence.AllocateFastAside, (*Slabby).allocateFastAside)
	deallocateFast = entry(sequence.DeallocateFast, sequence.DeallocateFastAside, (*Slabby).deallocateFastAside)
	sequence.SetAside(sequence.DeallocateFastFreed, (*Slabby).deallocateFastFreed)
	sequence.SetAside(sequence.AllocateFastCounted, (*Slabby).allocateFastCounted)
	sequence.SetAside(sequence.DeallocateFastCounted, (*Slabby).deallocateFastCounted)
	getBytes = entry(sequence.GetBytes, sequence.GetBytesAside, SlabRef.getBytesAside)
	release = entry(sequence.Release, sequence.ReleaseAside, SlabRef.releaseAside)
	sequence.SetAside(sequence.ReleaseFreed, SlabRef.releaseFreed)
	sequence.SetAside(sequence.ReleaseWipe, SlabRef.releaseWipe)
}

// entry is a function of the assembly that continues in a Go function with the same arguments and
// results.
func entry[F any](function, aside int, goOn F) F {
	sequence.SetAside(aside, goOn)
	return sequence.Entry[F](function)
}

func noSlab(*Slabby) SlabRef { return SlabRef{} }

// sequenced reports whether Go runs the core's sequences on the pool.
func (h *hot) sequenced() bool {
	return atomic.LoadPointer(&h.core) != nil
}

// The offsets at which the assembly finds the fields of hot, which is the first part of a pool.
var (
	_ [0]byte  = [unsafe.Offsetof(Slabby{}.hot)]byte{}
	_ [8]byte  = [unsafe.Offsetof(hot{}.core)]byte{}
	_ [16]byte = [unsafe.Offsetof(hot{}.plain)]byte{}
	_ [24]byte = [unsafe.Offsetof(hot{}.words)]byte{}
	_ [32]byte = [unsafe.Offsetof(hot{}.slabs)]byte{}
	_ [40]byte = [unsafe.Offsetof(hot{}.stride)]byte{}
	_ [48]byte = [unsafe.Offsetof(hot{}.slabBytes)]byte{}
	_ [56]byte = [unsafe.Offsetof(hot{}.liveBias)]byte{}
	_ [72]byte = [unsafe.Offsetof(hot{}.idMask)]byte{}
	_ [88]byte = [unsafe.Offsetof(hot{}.reserved)]byte{}
)
