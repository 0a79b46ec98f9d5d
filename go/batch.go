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
	"sync"
	"unsafe"
)

// rawRefs lends arrays of bare references to batches: a []SlabRef holds Go pointers, which C must
// not be shown.
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

// AllocateBatch fills dst with fresh slabs, all or none. It is BatchAllocate for callers who reuse
// their slice; an error leaves dst as it was.
func (p *Slabby) AllocateBatch(dst []SlabRef) error {
	if err := p.checkBatch(len(dst)); err != nil {
		return err
	}
	raw := borrowRaw(len(dst))
	defer rawRefs.Put(raw)
	status := C.slabby_allocate_batch(unsafe.SliceData(*raw), nil, p.c(), C.uint64_t(len(dst)))
	runtime.KeepAlive(p)
	if status != 0 {
		return statusError(status)
	}
	for at, ref := range *raw {
		dst[at] = p.newRef(uint64(ref))
	}
	return nil
}

// checkBatch keeps Go from making room for a batch that the core is certain to refuse.
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
	return &Error{
		Status: StatusInvalidBatchSize, Value: int64(count), Minimum: 1, Maximum: int64(p.batchLimit),
		Text: fmt.Sprintf("a batch of %d slabs; this pool takes 1 to %d", count, p.batchLimit),
	}
}

// BatchDeallocate releases each slab as Deallocate would, in order, tries all, and returns the
// first error met.
func (p *Slabby) BatchDeallocate(refs []SlabRef) error {
	_, err := p.DeallocateBatch(refs)
	return err
}

// DeallocateBatch is BatchDeallocate that also tells how many slabs were released.
func (p *Slabby) DeallocateBatch(refs []SlabRef) (released int, err error) {
	raw := borrowRaw(len(refs))
	defer rawRefs.Put(raw)
	for at, ref := range refs {
		(*raw)[at] = C.slabby_ref(ref.ref)
	}
	result := C.slabby_go_release_batch(p.c(), unsafe.SliceData(*raw), C.uint64_t(len(refs)))
	runtime.KeepAlive(p)
	if p != nil && (p.finalizers || p.allocated.Load() != nil) {
		p.untrackReleased(refs)
	}
	err = statusError(result.status)
	if err == ErrMemoryCorruption {
		p.logCorruption(SlabRef{}, err)
	}
	return int(result.value), err
}
