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

// What Go knows of the core's memory: the layouts that slabby_view and slabby_lease_attach promise.
// docs/go-fast-path.md has the argument for every load and store here.
const (
	leaseIDs   = 120
	leaseBytes = 1088
	// One id taken: a turn more, an id less.
	headerTake = 0xFFFF
	// A slab's word: {pins:12 | generation | zeros | biased:1 state:3}.
	wordLive     = uint64(SlabStateLive)
	wordLiveFast = uint64(SlabStateLiveFast)
	wordStates   = 7
	wordBiased   = 8
	// Generation and state, without pins and without whose word it is.
	wordCompared = (1<<52 - 1) &^ wordBiased
	wordPinBits  = 52
	// Bits of the mode word.
	modeSecure   = 1
	modeBitGuard = 2
	modeDebug    = 16
	// Some slabs may lie on guard slots, as their words say.
	modeSampled = 64
)

// magazine is a stack of free ids of the core's. Its header is {turn:48, length:16}; the length
// 0xFFFF says that the core has locked it.
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
	user                 uint32
	_                    [36]byte
}

var _ [leaseBytes]byte = [unsafe.Sizeof(lease{})]byte{}

// take pops an id. It fails where the magazine is empty or locked, where the core wants to time this
// allocation, and where the core changed the header this moment. Only the lease's user calls it.
func (m *magazine) take() (id uint32, ok bool) {
	header := atomic.LoadUint64(&m.header)
	top := uint32(uint16(header)) - 1
	if top >= m.max || uint32(header>>16) == m.sampleAt {
		return 0, false
	}
	id = *m.slot(top)
	return id, atomic.CompareAndSwapUint64(&m.header, header, header+headerTake)
}

// give pushes an id. It fails where the magazine is full or locked, or the core came in between.
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

// hot is what the calls read that stay in Go. It is written before the pool has users, the leases
// excepted.
type hot struct {
	// Whose this is; nil in the zero Slabby.
	pool *Slabby
	// The pool's handle where Go runs the core's sequences on it; nil where every call has to cross, or leases serve.
	core unsafe.Pointer
	// The same again for a pool that was made without protections which Go carries out.
	plain      unsafe.Pointer
	words      unsafe.Pointer
	slabs      unsafe.Pointer
	stride     uint64
	slabBytes  uint64
	refBias    uint64
	refLimit   uint64
	idMask     uint64
	generation uint64
	// Ids below are slabs of the pool, not of the heap.
	reserved uint64
	// A word of the core's: 0 in a pool with nothing switched on.
	mode *uint32
	// The same, or a word that says otherwise for good where every allocation has to be seen.
	allocMode *uint32
	// Of one block. A larger one comes first, then its count: a reader of the count first never leaves
	// the block.
	leaseCount uint64
	leases     unsafe.Pointer
}

// always is a mode that sends every call to the core.
var always = uint32(1) << 31

// crosses reports whether every allocation and release goes to the core: of a pool that something was
// switched on in, and of the zero Slabby, which the core refuses.
func (h *hot) crosses() bool {
	return h.allocMode == nil || atomic.LoadUint32(h.allocMode) != 0
}

func (h *hot) word(id uint64) *uint64 {
	return (*uint64)(unsafe.Add(h.words, id*8))
}

func (h *hot) slice(id uint64) []byte {
	first := unsafe.Add(h.slabs, id*h.stride)
	return (*[1 << 30]byte)(first)[:h.slabBytes:h.slabBytes]
}

// issue makes a slab live that its caller alone has, and returns the word that was.
func (h *hot) issue(id uint64, state uint64) uint64 {
	entry := h.word(id)
	word := atomic.LoadUint64(entry)
	storeRelease(entry, word|state)
	return word
}

// used tells the race detector that a slab's memory goes to the caller.
func (h *hot) used(id uint64) {
	if raceDetector {
		h.pool.race.used(id)
	}
}

// releasing tells it that a reference is about to be released.
func (h *hot) releasing(ref uint64) {
	if raceDetector {
		h.pool.race.releasing((ref - h.refBias) & h.idMask)
	}
}

// isLive reports whether a reference names a live slab of the pool, and which.
func (h *hot) isLive(ref uint64) (id uint64, live bool) {
	relative := ref - h.refBias
	id = relative & h.idMask
	if id >= h.reserved {
		return 0, false
	}
	// A number with bits beyond the generation equals no word without its pins.
	return id, atomic.LoadUint64(h.word(id))&wordCompared == relative-id+wordLive
}

// leaseAt is a lease of the block, nil beyond.
func (h *hot) leaseAt(at uint64) *lease {
	if at >= atomic.LoadUint64(&h.leaseCount) {
		return nil
	}
	return (*lease)(unsafe.Add(atomic.LoadPointer(&h.leases), at*leaseBytes))
}

// address is how the core's calls name a lease; 0 for none.
func (l *lease) address() C.uint64_t {
	return C.uint64_t(uintptr(unsafe.Pointer(l)))
}

// attach gets leases from the core, on the first call that misses them and when GOMAXPROCS has grown
// beyond them. Those of a smaller block stay the pool's: a goroutine inside one is done with it soon,
// and what it holds comes back when the core empties its caches.
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

// leaseBlocks are the leases to give back with the pool.
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

// readView reads where the core has what the calls need that stay in Go.
func (p *Slabby) readView() {
	view := C.slabby_go_view(p.handle)
	p.hot = hot{pool: p, mode: &always, allocMode: &always}
	if view.status != 0 {
		return
	}
	p.hot = hot{
		pool:       p,
		words:      view.words,
		slabs:      view.slabs,
		stride:     uint64(view.stride),
		slabBytes:  uint64(p.slabSize),
		refBias:    uint64(view.ref_bias),
		refLimit:   uint64(view.ref_limit),
		idMask:     uint64(1)<<view.id_bits - 1,
		generation: uint64(1) << view.id_bits,
		reserved:   uint64(view.capacity),
		mode:       (*uint32)(view.mode), // memory of the core, mapped for good
	}
	p.idLimit = int(view.id_limit)
	p.allocMode = p.mode
	finalizers := C.slabby_go_option(p.handle, C.int32_t(OptionFinalizers))
	if p.finalizers = finalizers.status == 0 && finalizers.value != 0; p.finalizers {
		p.allocMode = &always
		p.reserved = 0 // the token has to see each look at the bytes
	}
	p.race.prepare(p.idLimit)
	p.readSequences()
}

// seeAll has every allocation and release of the pool go through the core from now on.
func (p *Slabby) seeAll() {
	p.attaching.Lock()
	defer p.attaching.Unlock()
	atomic.StoreUint64(&p.leaseCount, 0)
	atomic.StorePointer(&p.core, nil)
	atomic.StorePointer(&p.plain, nil)
}
