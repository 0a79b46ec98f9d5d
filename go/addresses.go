// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_go_ref_of
// #cgo nocallback slabby_go_ref_of
// #cgo noescape slabby_release_data
// #cgo nocallback slabby_release_data
// #cgo noescape slabby_go_pool_of
// #cgo nocallback slabby_go_pool_of
import "C"

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// RefOfBytes is the reference of the live slab whose first byte is data's, for interfaces that carry
// the slice alone; its length does not count. A slice has no generation: if its slab was released
// and allocated again, the slice names the new owner's slab. Errors: ErrInvalidArgument (no bytes),
// ErrInvalidReference (no slab of this pool begins there, or it is one of AllocateFast),
// ErrUseAfterFree (the slab was released; on a guard slot or the heap that is ErrInvalidReference).
func (p *Slabby) RefOfBytes(data []byte) (SlabRef, error) {
	first := unsafe.Pointer(unsafe.SliceData(data))
	if ref, state := p.liveAt(first); state == wordLive {
		return SlabRef{hot: &p.hot, ref: ref}, nil
	}
	found := C.slabby_go_ref_of(p.c(), first)
	runtime.KeepAlive(p)
	if found.status != 0 {
		return SlabRef{}, addressError(found.status, first)
	}
	return SlabRef{hot: &p.hot, ref: uint64(found.value)}, nil
}

// ReleaseBytes releases the live slab whose first byte is data's, as Put of a sync.Pool would, by
// reference or by id as it was allocated. A slice has no generation: a stale one of a slab
// that was allocated again releases the new owner's slab. Errors: ErrInvalidArgument (no bytes),
// ErrInvalidReference (no slab of this pool begins there; also a released one on a guard slot or the heap), and
// those of Deallocate.
func (p *Slabby) ReleaseBytes(data []byte) error {
	first := unsafe.Pointer(unsafe.SliceData(data))
	switch ref, state := p.liveAt(first); state {
	case wordLive:
		return p.Deallocate(SlabRef{hot: &p.hot, ref: ref})
	case wordLiveFast:
		return p.DeallocateFast(int32((ref - p.refBias) & p.idMask))
	}
	known := p.releasingAt(first)
	status := C.slabby_release_data(p.c(), first)
	runtime.KeepAlive(p)
	if status == 0 || Status(status) == StatusMemoryCorruption {
		p.releasedAt(known)
	}
	if status != 0 {
		if p != nil {
			p.log.logCorruption(status)
		}
		return addressError(status, first)
	}
	return nil
}

// releasingAt is releasing for a slab of which only the address is known, as on a guard slot or on the heap. It returns
// what was recorded of its allocation, nil for the heap: there the core finds a slab only by calls that it counts.
func (p *Slabby) releasingAt(first unsafe.Pointer) *allocation {
	if p == nil || first == nil || !raceDetector && p.allocated.Load() == nil {
		return nil
	}
	fault := C.slabby_go_classify(C.uint64_t(uintptr(first)))
	if fault.inside == 0 {
		p.race.releasingFrom(p.reserved)
	} else if uint64(fault.allocator_address) == handleNumber(p.handle) {
		p.race.releasing(uint64(fault.id))
		return p.allocationOf(uint64(fault.ref))
	}
	return nil
}

// releasedAt records that such a slab was released: the known one, or one of the heap.
func (p *Slabby) releasedAt(known *allocation) {
	table := p.allocated.Load()
	if known != nil || table == nil {
		known.end()
		return
	}
	for id := p.reserved; id < table.limit; id++ {
		slot := table.find(id)
		if slot == nil {
			id |= chunkSlots - 1 // none of this chunk
			continue
		}
		last := slot.Load()
		if last != nil && last.live.Load() && C.slabby_is_valid(p.handle, C.slabby_ref(last.ref)) == 0 {
			last.end()
		}
	}
}

// PoolOf is the pool that the first byte of data lies in, anywhere in its memory, as the two numbers
// that Adopt takes. It searches all pools of the process. Errors: ErrInvalidArgument (no bytes),
// ErrInvalidReference (of no pool).
func PoolOf(data []byte) (address, instanceID uint64, err error) {
	first := unsafe.Pointer(unsafe.SliceData(data))
	found := C.slabby_go_pool_of(first)
	runtime.KeepAlive(data)
	if found.status != 0 {
		return 0, 0, addressError(found.status, first)
	}
	return uint64(found.address), uint64(found.instance_id), nil
}

// PoolAmong returns the one of the given pools in whose memory data begins, which includes slabs on
// the heap and on guard slots; nil if there is none. It is for code that lends slices of several
// pools. An empty slice counts by where it begins.
func PoolAmong(data []byte, pools ...*Slabby) *Slabby {
	for _, pool := range pools {
		if pool.spans(data) {
			runtime.KeepAlive(pool)
			return pool
		}
	}
	address, instance, err := PoolOf(data)
	if err != nil {
		return nil
	}
	for _, pool := range pools {
		if here, core, err := pool.Handle(); err == nil && address == here && instance == core {
			return pool
		}
	}
	return nil
}

// liveAt is the slab of the pool that begins at an address, by its word: its reference and its
// state, or the state 0 if the core has to decide.
func (p *Slabby) liveAt(first unsafe.Pointer) (ref, state uint64) {
	if p == nil || p.stride == 0 || atomic.LoadUint32(p.mode)&modeSampled != 0 {
		return 0, 0
	}
	distance := uint64(uintptr(first)) - uint64(uintptr(p.slabs))
	id := distance / p.stride
	if id >= p.reserved || distance != id*p.stride {
		return 0, 0
	}
	word := atomic.LoadUint64(p.word(id)) & wordCompared
	runtime.KeepAlive(p)
	state = word & wordStates
	if state != wordLive && state != wordLiveFast {
		return 0, 0
	}
	return word - state + id + p.refBias, state
}

// addressError says what lies at an address that was refused.
func addressError(status C.slabby_status, first unsafe.Pointer) error {
	err := statusError(status)
	if first == nil {
		return err
	}
	raw := C.slabby_go_classify(C.uint64_t(uintptr(first)))
	return &Error{Status: Status(status), cause: err, Text: C.GoString(&raw.text[0])}
}
