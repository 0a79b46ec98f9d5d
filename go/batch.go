// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_allocate_batch
// #cgo nocallback slabby_allocate_batch
// #cgo noescape slabby_go_release_batch
// #cgo nocallback slabby_go_release_batch
import "C"

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

// rawRefs lends arrays of bare references to batches: a []SlabRef holds Go pointers, which C must
// not see.
var rawRefs = sync.Pool{New: func() any { return new([]C.slabby_ref) }}

func borrowRaw(count int) *[]C.slabby_ref {
	raw := rawRefs.Get().(*[]C.slabby_ref)
	if cap(*raw) < count {
		*raw = make([]C.slabby_ref, count)
	}
	*raw = (*raw)[:count]
	return raw
}

// BatchAllocate takes `count` slabs, all or none.
// Errors: as Allocate, and ErrInvalidBatchSize for a count below 1 or above what the pool can hold.
func (p *Slabby) BatchAllocate(count int) ([]SlabRef, error) {
	if err := p.checkBatch(count); err != nil {
		return nil, err
	}
	refs := make([]SlabRef, count)
	if err := p.AllocateBatch(refs); err != nil {
		return nil, err
	}
	return refs, nil
}

// AllocateBatch fills dst with fresh slabs, all or none. It is BatchAllocate for callers that reuse
// their slice; an error leaves dst as it was.
func (p *Slabby) AllocateBatch(dst []SlabRef) error {
	if err := p.checkBatch(len(dst)); err != nil {
		return err
	}
	if p.allocateBatchHere(dst, nil) {
		return nil
	}
	return p.allocateBatchThere(dst, nil)
}

// AllocateBatchBytes is AllocateBatch that also fills data, which must be as long as dst, with the memory of each slab,
// as GetBytes returns it. That is cheaper than a call for each, and net.Buffers takes such a slice. An error leaves
// both as they were.
func (p *Slabby) AllocateBatchBytes(dst []SlabRef, data [][]byte) error {
	if len(data) != len(dst) {
		return &Error{
			Status: StatusInvalidArgument, Value: int64(len(data)), Minimum: int64(len(dst)), Maximum: int64(len(dst)),
			Text: fmt.Sprintf("data has %d slices for the %d references of dst; give as many", len(data), len(dst)),
		}
	}
	if err := p.checkBatch(len(dst)); err != nil {
		return err
	}
	if p.allocateBatchHere(dst, data) {
		return nil
	}
	return p.allocateBatchBytesThere(dst, data)
}

// addresses lends arrays for the memory of batches.
var addresses = sync.Pool{New: func() any { return new([]unsafe.Pointer) }}

// allocateBatchBytesThere takes the memory from the same call: a Reset may make the references stale at once.
func (p *Slabby) allocateBatchBytesThere(dst []SlabRef, data [][]byte) error {
	lent := addresses.Get().(*[]unsafe.Pointer)
	defer addresses.Put(lent)
	*lent = slices.Grow((*lent)[:0], len(dst))[:len(dst)]
	if err := p.allocateBatchThere(dst, unsafe.SliceData(*lent)); err != nil {
		return err
	}
	for at, ref := range dst {
		ref.token().check()
		data[at] = unsafe.Slice((*byte)((*lent)[at]), p.slabSize)
	}
	clear(*lent)
	return nil
}

// slices fills data with the memory of slabs that came from a cache: none is of the heap or on a guard slot.
func (p *Slabby) slices(refs []SlabRef, data [][]byte) {
	slabs, stride, bias, mask, size := p.slabs, p.stride, p.refBias, p.idMask, p.slabBytes
	data = data[:len(refs)]
	for at := range refs {
		id := (refs[at].ref - bias) & mask
		p.used(id)
		data[at] = (*[1 << 30]byte)(unsafe.Add(slabs, id*stride))[:size:size]
	}
}

// allocateBatchThere lets the core serve, and store the address of each slab's memory unless memory is nil.
func (p *Slabby) allocateBatchThere(dst []SlabRef, memory *unsafe.Pointer) error {
	raw := borrowRaw(len(dst))
	defer rawRefs.Put(raw)
	status := C.slabby_allocate_batch(unsafe.SliceData(*raw), memory, p.c(), C.uint64_t(len(dst)))
	runtime.KeepAlive(p)
	if Status(status) == StatusInvalidBatchSize {
		return p.batchError(len(dst))
	}
	if status != 0 {
		return statusError(status)
	}
	for at, ref := range *raw {
		dst[at] = p.newRef(uint64(ref))
	}
	return nil
}

// checkBatch avoids allocating memory for a batch that the core will certainly refuse.
func (p *Slabby) checkBatch(count int) error {
	if p == nil {
		return ErrInvalidArgument
	}
	if count >= 1 && count <= p.batchLimit {
		return nil
	}
	// The core counts the refusal too; no pool has so many slabs, and nothing is stored.
	var none C.slabby_ref
	status := C.slabby_allocate_batch(&none, nil, p.c(), math.MaxUint64)
	runtime.KeepAlive(p)
	if Status(status) != StatusInvalidBatchSize {
		return statusError(status)
	}
	return p.batchError(count)
}

// batchError says how many slabs a batch can have now; more after a Resize.
func (p *Slabby) batchError(count int) error {
	limit := int64(p.Stats().TotalSlabs)
	if C.slabby_go_option(p.c(), C.int32_t(OptionHeapFallback)).value != 0 {
		limit += int64(C.slabby_go_option(p.c(), C.int32_t(OptionHeapFallbackLimit)).value)
	}
	runtime.KeepAlive(p)
	return &Error{
		Status: StatusInvalidBatchSize, Value: int64(count), Minimum: 1, Maximum: limit,
		Text: fmt.Sprintf("a batch of %d slabs; this pool takes 1 to %d", count, limit),
	}
}

// BatchDeallocate releases each slab as Deallocate would, in order, tries all, and returns the
// first error met.
func (p *Slabby) BatchDeallocate(refs []SlabRef) error {
	_, err := p.DeallocateBatch(refs)
	return err
}

// allocateBatchHere fills dst from this CPU's cache or this goroutine's lease, and data unless it is nil, all or
// nothing. The ids above the new length stay where they are until this goroutine leaves: no other goroutine gives to
// this magazine.
func (p *Slabby) allocateBatchHere(dst []SlabRef, data [][]byte) bool {
	if len(dst) > leaseIDs {
		return false
	}
	if core := atomic.LoadPointer(&p.core); core != nil {
		return p.allocateBatchInSequence(core, dst, data)
	}
	if p.crosses() {
		return false
	}
	l := p.enter()
	if l == nil {
		l.leave()
		p.attach()
		return false
	}
	m, count := &l.given, uint64(len(dst))
	header := atomic.LoadUint64(&m.header)
	length := header & 0xFFFF
	if length > uint64(m.max) || length < count || !m.sampleBehind(uint32(header>>16), uint32(count)) ||
		!atomic.CompareAndSwapUint64(&m.header, header, header+count*headerTake) {
		l.leave()
		return false
	}
	for at := range dst {
		id := uint64(*m.slot(uint32(length) - 1 - uint32(at)))
		dst[at] = SlabRef{hot: &p.hot, ref: p.issue(id, wordLive) + id + p.refBias}
		p.race.allocated(id)
	}
	l.leave()
	if data != nil {
		p.slices(dst, data)
	}
	runtime.KeepAlive(p)
	return true
}

// DeallocateBatch is BatchDeallocate that also tells how many slabs were released.
func (p *Slabby) DeallocateBatch(refs []SlabRef) (released int, err error) {
	if p == nil || p.crosses() {
		return p.deallocateBatchThere(refs)
	}
	for stuck := false; len(refs) > 0; {
		done, failed, first := p.deallocateRun(refs)
		if done == 0 && stuck { // such as by words that are biased to a CPU: one call for all that are left
			rest, first := p.deallocateBatchThere(refs)
			if err == nil {
				err = first
			}
			return released + rest, err
		}
		if stuck = done == 0; stuck {
			// Full, locked, or not for Go alone: release one in the usual way, which frees space.
			if first, done = p.Deallocate(refs[0]), 1; first != nil {
				failed = 1
			}
		}
		released += done - failed
		refs = refs[done:]
		if err == nil {
			err = first
		}
	}
	return released, err
}

// deallocateRun releases as many of the first references as this CPU's cache or this goroutine's lease
// takes, in one push, and returns how many those were. failed counts the slabs that are found damaged,
// if protections were switched on at this moment.
func (p *Slabby) deallocateRun(refs []SlabRef) (done, failed int, err error) {
	if core := atomic.LoadPointer(&p.core); core != nil {
		return p.deallocateRunInSequence(core, refs)
	}
	l := p.enter()
	if l == nil {
		l.leave()
		return 0, 0, nil
	}
	m := &l.given
	header := atomic.LoadUint64(&m.header)
	length := uint32(uint16(header))
	for done < len(refs) && length+uint32(done) < m.max && p.free(refs[done]) {
		id := p.idOf(refs[done])
		*m.slot(length + uint32(done)) = uint32(id)
		if done++; atomic.LoadUint32(p.mode) != 0 {
			break
		}
	}
	given := done == 0 || atomic.LoadUint32(p.mode) == 0 &&
		atomic.CompareAndSwapUint64(&m.header, header, header+uint64(done))
	l.leave()
	runtime.KeepAlive(p)
	for _, ref := range refs[:done] {
		if given {
			break
		}
		if bad := p.returned(l, ref, ref.ref, 0); bad != nil {
			if failed++; err == nil {
				err = bad
			}
		}
	}
	return done, failed, err
}

// idOf is the id in the reference of a slab that is live, or was a moment ago.
func (p *Slabby) idOf(ref SlabRef) uint64 {
	return (ref.ref - p.refBias) & p.idMask
}

// free makes the word of a live slab free, if Go may do that.
func (p *Slabby) free(ref SlabRef) bool {
	relative := ref.ref - p.refBias
	id := relative & p.idMask
	if relative >= p.refLimit || id >= p.reserved {
		return false
	}
	p.race.releasing(id)
	return atomic.CompareAndSwapUint64(p.word(id), relative-id+wordLive, relative-id+p.generation)
}

func (p *Slabby) deallocateBatchThere(refs []SlabRef) (released int, err error) {
	raw := borrowRaw(len(refs))
	defer rawRefs.Put(raw)
	for at, ref := range refs {
		if p != nil {
			p.race.releasing(p.idOf(ref))
		}
		(*raw)[at] = C.slabby_ref(ref.ref)
	}
	result := C.slabby_go_release_batch(p.c(), unsafe.SliceData(*raw), C.uint64_t(len(refs)))
	runtime.KeepAlive(p)
	if p != nil && (p.finalizers || p.allocated.Load() != nil) {
		p.untrackReleased(refs)
	}
	if p != nil {
		p.log.logCorruption(result.status)
	}
	return int(result.value), statusError(result.status)
}
