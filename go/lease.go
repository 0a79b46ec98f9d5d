// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_go_lease_attach
// #cgo nocallback slabby_go_lease_attach
import "C"

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// The layout of leases that slabby_lease_attach promises. docs/go-fast-path.md explains why every
// load and store here is correct.
const (
	leaseIDs   = 120
	leaseBytes = 1088
	// One id taken: a turn more, an id less.
	headerTake = 0xFFFF
)

// magazine is a stack of free ids in memory of the core. Its header is {turn:48, length:16}; the
// length 0xFFFF says that the core has locked it.
type magazine struct {
	header   uint64
	sampleAt uint32
	max      uint32
	ids      [leaseIDs]uint32
	_        [16]byte
}

// lease is a pair of magazines: the user takes from both and gives to one; the core fills the other.
type lease struct {
	given, refilled      magazine
	fastTaken, fastGiven uint64
	_                    uint64
	user                 uint64
	_                    [32]byte
}

var _ [leaseBytes]byte = [unsafe.Sizeof(lease{})]byte{}

// take pops an id. It fails if the magazine is empty or locked, if the core wants to time this
// allocation, or if the header changed at this moment. An allocation by id is counted in byID, unless
// that is nil, before it is an allocation; only the lease's user counts.
func (m *magazine) take(byID *uint64) (id uint32, ok bool) {
	header := atomic.LoadUint64(&m.header)
	top := uint32(uint16(header)) - 1
	if top >= m.max || uint32(header>>16) == m.sampleAt {
		return 0, false
	}
	id = *m.slot(top)
	if byID == nil {
		return id, atomic.CompareAndSwapUint64(&m.header, header, header+headerTake)
	}
	storeRelease(byID, *byID+1)
	ok = atomic.CompareAndSwapUint64(&m.header, header, header+headerTake)
	if !ok {
		storeRelease(byID, *byID-1)
	}
	return id, ok
}

// sampleBehind moves a sampling point that a batch would pass to the allocation behind it. It comes
// ahead of the header's swap: until then no allocation passes the old point, so the new one cannot be
// passed already. It fails if another thread moves the point at this moment.
func (m *magazine) sampleBehind(turn, count uint32) bool {
	at := atomic.LoadUint32(&m.sampleAt)
	return at-turn >= count || atomic.CompareAndSwapUint32(&m.sampleAt, at, turn+count)
}

// give pushes an id. It fails if the magazine is full or locked, or if the header changed in between.
// Only the lease's user calls it.
func (m *magazine) give(id uint32) bool {
	header := atomic.LoadUint64(&m.header)
	length := uint32(uint16(header))
	if length >= m.max {
		return false
	}
	*m.slot(length) = id
	return atomic.CompareAndSwapUint64(&m.header, header, header+1)
}

// slot is where an id lies; the caller has compared with max, which the core keeps within the array.
func (m *magazine) slot(at uint32) *uint32 {
	return (*uint32)(unsafe.Add(unsafe.Pointer(&m.ids), uintptr(at)*4))
}

// address is how the core's calls name a lease; 0 for none.
func (l *lease) address() C.uint64_t {
	return C.uint64_t(uintptr(unsafe.Pointer(l)))
}

// attach gets leases from the core, on the first call that needs them and when GOMAXPROCS has
// become larger than their number. The leases of a smaller block stay with the pool: a goroutine
// inside one leaves it soon, and the ids in it come back when the core empties its caches.
func (p *Slabby) attach() {
	if p == nil || p.crosses() {
		return
	}
	if atomic.LoadUint64(&p.asked) != 0 && atomic.LoadUint64(&p.leaseCount) == 0 {
		return // the core refused, or every call has to be seen
	}
	wanted := leasesWanted(runtime.GOMAXPROCS(0))
	if atomic.LoadUint64(&p.asked) >= wanted {
		return
	}
	p.attaching.Lock()
	defer p.attaching.Unlock()
	if p.asked >= wanted {
		return
	}
	atomic.StoreUint64(&p.asked, wanted)
	attached := C.slabby_go_lease_attach(p.handle, C.uint64_t(wanted))
	if attached.status != 0 {
		return // the core serves every call
	}
	p.blocks.add(uint64(uintptr(attached.leases)))
	if p.allocated.Load() != nil {
		return
	}
	atomic.StorePointer(&p.leases, attached.leases)
	atomic.StoreUint64(&p.leaseCount, wanted)
}

// leaseBlocks are the leases that are given back together with the pool.
type leaseBlocks struct {
	addresses []uint64
}

func (b *leaseBlocks) add(address uint64) {
	b.addresses = append(b.addresses, address)
}

// detach gives the leases of a pool back that nothing can reach any more.
func (b *leaseBlocks) detach(handle *C.slabby_allocator) {
	for _, address := range b.addresses {
		C.slabby_lease_detach(handle, C.uint64_t(address))
	}
}
