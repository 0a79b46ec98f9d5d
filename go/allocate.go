// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_go_lease_allocate
// #cgo nocallback slabby_go_lease_allocate
// #cgo noescape slabby_go_lease_allocate_fast
// #cgo nocallback slabby_go_lease_allocate_fast
// #cgo noescape slabby_lease_return
// #cgo nocallback slabby_lease_return
// #cgo noescape slabby_release
// #cgo nocallback slabby_release
// #cgo noescape slabby_deallocate_fast
// #cgo nocallback slabby_deallocate_fast
import "C"

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Allocate takes a slab, at once or not at all. It allocates nothing on Go's heap.
// Errors: ErrOutOfMemory, ErrClosed, ErrCircuitBreakerOpen, ErrLatencyExceeded (WithMaxAllocLatency),
// ErrNoSystemMemory (heap fallback), ErrBusy (the core was interrupted in this thread), ErrInvalidArgument (a nil
// or zero pool).
func (p *Slabby) Allocate() (SlabRef, error) {
	if raceDetector {
		return p.allocateWatched()
	}
	return allocate(p)
}

// allocateWatched is Allocate under the race detector, which sees no assembly.
func (p *Slabby) allocateWatched() (SlabRef, error) {
	ref, err := allocate(p)
	if err == nil {
		p.race.allocated((ref.ref - p.refBias) & p.idMask)
	}
	return ref, err
}

// allocateAside is Allocate where no sequence serves.
func (p *Slabby) allocateAside() (SlabRef, error) {
	if p != nil && p.sequenced() {
		return p.made(C.slabby_go_lease_allocate(p.handle, 0))
	}
	return p.allocateLeased()
}

// allocateLeased is Allocate where leases serve, or nothing does.
func (p *Slabby) allocateLeased() (SlabRef, error) {
	ref, l, ok := p.allocateHere()
	if ok {
		return ref, nil
	}
	if l == nil {
		p.attach()
	}
	made := C.slabby_go_lease_allocate(p.c(), l.address())
	return p.made(made)
}

// allocateHere is the part of Allocate that Go does itself, by sequences or by this goroutine's
// lease; it also returns that lease.
func (p *Slabby) allocateHere() (ref SlabRef, l *lease, ok bool) {
	if p == nil {
		return SlabRef{}, nil, false
	}
	if p.sequenced() {
		if ref = attempt(p); ref.hot != nil {
			p.race.allocated((ref.ref - p.refBias) & p.idMask)
		}
		return ref, nil, ref.hot != nil
	}
	if p.crosses() {
		return SlabRef{}, nil, false
	}
	l = p.enterToTake()
	if l == nil {
		l.leaveTaken()
		return SlabRef{}, nil, false
	}
	id, ok := l.given.take(nil)
	if !ok {
		id, ok = l.refilled.take(nil)
	}
	if !ok {
		l.leaveTaken()
		return SlabRef{}, l, false
	}
	word := p.issue(uint64(id), wordLive)
	l.leaveTaken()
	p.race.allocated(uint64(id))
	runtime.KeepAlive(p)
	return SlabRef{hot: &p.hot, ref: word + uint64(id) + p.refBias}, l, true
}

// MustAllocate is Allocate for programs that cannot go on without a slab: it panics with an *Error
// that explains the error and matches its sentinel.
func (p *Slabby) MustAllocate() SlabRef {
	ref, err := p.Allocate()
	if err != nil {
		status, _ := StatusOf(err)
		panic(&Error{Status: status, Text: "MustAllocate: " + p.explainBehind(status, err, SlabRef{}), cause: err})
	}
	return ref
}

// Deallocate gives a slab of this pool back; every copy of the reference is stale from then on.
// Errors: ErrDoubleDeallocation, ErrInvalidReference (forged, or of another pool), ErrPinned
// (nothing changed), ErrMemoryCorruption (the slab is taken out of service).
func (p *Slabby) Deallocate(ref SlabRef) error {
	if p != nil && ref.hot == &p.hot {
		return ref.Release()
	}
	if p == nil {
		return p.deallocateThere(ref)
	}
	return p.deallocateAside(ref)
}

// deallocateAside is Deallocate where no sequence serves: by this goroutine's lease, or by the core.
func (p *Slabby) deallocateAside(ref SlabRef) error {
	if p.sequenced() || p.crosses() {
		return p.deallocateThere(ref)
	}
	relative := ref.ref - p.refBias
	id := relative & p.idMask
	if relative >= p.refLimit || id >= p.reserved {
		return p.deallocateThere(ref)
	}
	l := p.enter()
	if l == nil {
		l.leave()
		return p.deallocateThere(ref)
	}
	p.race.releasing(id)
	free := relative - id
	// The word decides: exactly this generation, live, not pinned, and not biased to a CPU.
	if !atomic.CompareAndSwapUint64(p.word(id), free+wordLive, free+p.generation) {
		l.leave()
		return p.deallocateThere(ref)
	}
	// Protections are read after the swap: a thread that switches one on reads the words next.
	given := atomic.LoadUint32(p.mode) == 0 && l.given.give(uint32(id))
	l.leave()
	runtime.KeepAlive(p)
	if !given {
		return p.returned(l, ref, ref.ref, 0)
	}
	return nil
}

// returned lets the core end a release whose word already says free.
func (p *Slabby) returned(l *lease, ref SlabRef, name uint64, byID C.int32_t) error {
	status := C.slabby_lease_return(p.handle, l.address(), C.uint64_t(name), byID)
	runtime.KeepAlive(p)
	if status == 0 {
		return nil
	}
	return p.released(status, ref)
}

// deallocateThere lets the core release the slab; the core reports what is wrong, if anything is.
func (p *Slabby) deallocateThere(ref SlabRef) error {
	if p != nil {
		p.race.releasing((ref.ref - p.refBias) & p.idMask)
	}
	status := C.slabby_release(p.c(), C.slabby_ref(ref.ref))
	runtime.KeepAlive(p)
	if p == nil || status != 0 || p.finalizers || p.allocated.Load() != nil {
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
	if p != nil {
		p.log.logCorruption(status)
	}
	return err
}

// AllocateFast takes a slab known by its bare id, for callers that need no reference. An id carries
// no generation: after its release the same id may belong to another owner, and a stale id cannot
// be told from a fresh one. The slice has len == cap == slab size.
func (p *Slabby) AllocateFast() ([]byte, int32, error) {
	if raceDetector {
		return p.allocateFastWatched()
	}
	return allocateFast(p)
}

// allocateFastWatched is AllocateFast under the race detector.
func (p *Slabby) allocateFastWatched() ([]byte, int32, error) {
	data, id, err := allocateFast(p)
	if err == nil {
		p.race.allocated(uint64(id))
	}
	return data, id, err
}

// allocateFastAside is AllocateFast where no sequence serves.
func (p *Slabby) allocateFastAside() ([]byte, int32, error) {
	if p == nil || p.sequenced() || p.crosses() {
		return p.allocateFastThere(nil)
	}
	l := p.enter()
	if l == nil {
		l.leave()
		p.attach()
		return p.allocateFastThere(nil)
	}
	id, ok := l.given.take(&l.fastTaken)
	if !ok {
		id, ok = l.refilled.take(&l.fastTaken)
	}
	if !ok {
		l.leave()
		return p.allocateFastThere(l)
	}
	p.issue(uint64(id), wordLiveFast)
	l.leave()
	p.race.allocated(uint64(id))
	runtime.KeepAlive(p)
	return p.slice(uint64(id)), int32(id), nil
}

func (p *Slabby) allocateFastThere(l *lease) ([]byte, int32, error) {
	made := C.slabby_go_lease_allocate_fast(p.c(), l.address())
	runtime.KeepAlive(p)
	if made.status != 0 {
		return nil, 0, statusError(made.status)
	}
	p.race.allocated(uint64(made.id))
	return unsafe.Slice((*byte)(made.data), p.slabSize), int32(made.id), nil
}

// DeallocateFast gives a slab of AllocateFast back. Errors: ErrInvalidSlabID (out of range, or
// owned by a reference), ErrDoubleDeallocation (the slab is free), ErrMemoryCorruption.
func (p *Slabby) DeallocateFast(slabID int32) error {
	if raceDetector && p != nil {
		p.race.releasing(uint64(uint32(slabID)))
	}
	return deallocateFast(p, slabID)
}

// deallocateFastFreed continues a release whose word already says free.
func (p *Slabby) deallocateFastFreed(slabID int32) error {
	return p.returned(nil, SlabRef{}, uint64(slabID), 1)
}

// allocateFastCounted continues an allocation that was interrupted between its count and its commit; the core counts it
// again.
func (p *Slabby) allocateFastCounted() ([]byte, int32, error) {
	C.slabby_sequence_uncount(p.handle, 0)
	return p.allocateFastAside()
}

// deallocateFastCounted continues such a release, whose word already says free.
func (p *Slabby) deallocateFastCounted(slabID int32) error {
	C.slabby_sequence_uncount(p.handle, 1)
	return p.deallocateFastFreed(slabID)
}

// deallocateFastAside is DeallocateFast where no sequence serves.
func (p *Slabby) deallocateFastAside(slabID int32) error {
	if p == nil || p.sequenced() || uint64(slabID) >= p.reserved || p.crosses() {
		return p.deallocateFastThere(slabID)
	}
	id := uint64(slabID)
	l := p.enter()
	if l == nil {
		l.leave()
		return p.deallocateFastThere(slabID)
	}
	p.race.releasing(id)
	word := atomic.LoadUint64(p.word(id))
	free := word - wordLiveFast
	// Plain, without pins, and not the last generation: then it is a relative reference less its id.
	if free&p.idMask != 0 || free >= p.refLimit ||
		!atomic.CompareAndSwapUint64(p.word(id), word, free+p.generation) {
		l.leave()
		return p.deallocateFastThere(slabID)
	}
	given := atomic.LoadUint32(p.mode) == 0 && l.given.give(uint32(id))
	if given {
		storeRelease(&l.fastGiven, l.fastGiven+1)
	}
	l.leave()
	runtime.KeepAlive(p)
	if !given {
		return p.returned(l, SlabRef{}, id, 1)
	}
	return nil
}

func (p *Slabby) deallocateFastThere(slabID int32) error {
	if p != nil {
		p.race.releasing(uint64(uint32(slabID)))
	}
	status := C.slabby_deallocate_fast(p.c(), C.uint32_t(slabID))
	runtime.KeepAlive(p)
	return statusError(status)
}
