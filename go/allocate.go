// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_go_allocate
// #cgo nocallback slabby_go_allocate
// #cgo noescape slabby_go_allocate_fast
// #cgo nocallback slabby_go_allocate_fast
// #cgo noescape slabby_release
// #cgo nocallback slabby_release
// #cgo noescape slabby_deallocate_fast
// #cgo nocallback slabby_deallocate_fast
import "C"

import (
	"runtime"
	"unsafe"
)

// Allocate takes a slab, at once or not at all. It allocates nothing on Go's heap.
// Errors: ErrOutOfMemory, ErrClosed, ErrNoSystemMemory (heap fallback).
func (p *Slabby) Allocate() (SlabRef, error) {
	made := C.slabby_go_allocate(p.c())
	runtime.KeepAlive(p)
	if made.status != 0 {
		return SlabRef{}, statusError(made.status)
	}
	return p.newRef(uint64(made.value)), nil
}

// MustAllocate is Allocate for those who cannot go on without a slab: it panics with the error's
// story.
func (p *Slabby) MustAllocate() SlabRef {
	ref, err := p.Allocate()
	if err != nil {
		panic("slabby: MustAllocate: " + p.Explain(err, SlabRef{}))
	}
	return ref
}

// Deallocate gives a slab of this pool back; every copy of the reference is stale from then on.
// Errors: ErrDoubleDeallocation, ErrInvalidReference (forged, or of another pool), ErrPinned
// (nothing changed), ErrMemoryCorruption (the slab is taken out of service).
func (p *Slabby) Deallocate(ref SlabRef) error {
	status := C.slabby_release(p.c(), C.slabby_ref(ref.ref))
	runtime.KeepAlive(p)
	if status != 0 || ref.token != nil || p.allocated.Load() != nil {
		return p.released(status, ref)
	}
	return nil
}

// released is the uncommon end of a release.
func (p *Slabby) released(status C.slabby_status, ref SlabRef) error {
	err := statusError(status)
	if p != nil && (err == nil || err == ErrMemoryCorruption) {
		p.untrack(ref)
	}
	if err == ErrMemoryCorruption {
		p.logCorruption(ref, err)
	}
	return err
}

func (p *Slabby) logCorruption(ref SlabRef, err error) {
	if p != nil && p.logger != nil {
		p.logger.Error("slabby: memory corruption", "ref", ref.String(), "error", p.Explain(err, ref))
	}
}

// AllocateFast takes a slab known by its bare id, for those who need no reference. An id carries
// no generation: after its release the same id may be another owner's, and a stale id cannot be
// told from a fresh one. The slice has len == cap == slab size.
func (p *Slabby) AllocateFast() ([]byte, int32, error) {
	made := C.slabby_go_allocate_fast(p.c())
	runtime.KeepAlive(p)
	if made.status != 0 {
		return nil, 0, statusError(made.status)
	}
	return unsafe.Slice((*byte)(made.data), p.slabSize), int32(made.id), nil
}

// DeallocateFast gives a slab of AllocateFast back. Errors: ErrInvalidSlabID (out of range, or
// owned by a reference), ErrDoubleDeallocation (the slab is free), ErrMemoryCorruption.
func (p *Slabby) DeallocateFast(slabID int32) error {
	status := C.slabby_deallocate_fast(p.c(), C.uint32_t(slabID))
	runtime.KeepAlive(p)
	return statusError(status)
}
