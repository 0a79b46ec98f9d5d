// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"sync/atomic"
	"unsafe"
)

// The layout of the core's words and modes that slabby_view promises. docs/go-fast-path.md explains
// why every load and store here is correct.
const (
	// A slab's word: {pins:12 | generation | zeros | turns:2 guarded:1 biased:1 state:3}.
	wordLive     = uint64(SlabStateLive)
	wordLiveFast = uint64(SlabStateLiveFast)
	wordStates   = 7
	wordBiased   = 8
	wordTurns    = 3 << 5
	// Generation and state, without pins and without the bias.
	wordCompared = (1<<52 - 1) &^ (wordBiased | wordTurns)
	wordPinBits  = 52
	// Bits of the mode word.
	modeSecure   = 1
	modeBitGuard = 2
	modeDebug    = 16
	// Some slabs may lie on guard slots, as their words say.
	modeSampled = 64
)

// hot holds the fields that calls read when they stay in Go. All of it is written before the pool
// has users, except the leases.
type hot struct {
	// The pool that this belongs to; nil in the zero Slabby.
	pool *Slabby
	// The pool's handle if Go runs the core's sequences on it; nil if every call has to cross into C,
	// or leases serve.
	core unsafe.Pointer
	// The same handle, but only for a pool that was made without protections that Go carries out.
	plain     unsafe.Pointer
	words     unsafe.Pointer
	slabs     unsafe.Pointer
	stride    uint64
	slabBytes uint64
	// What a word that is live, without pins and bias, and the id add up to the reference with.
	liveBias   uint64
	refLimit   uint64
	idMask     uint64
	generation uint64
	// Ids below are slabs of the pool, not of the heap.
	reserved uint64
	refBias  uint64
	// A word of the core's: 0 in a pool with nothing switched on.
	mode *uint32
	// The same word, or a word that never changes and sends every allocation to the core, if the core
	// has to see all of them.
	allocMode *uint32
	// The leases of one block. A larger block is stored first, then its count: a reader that loads the
	// count first never reads beyond the block.
	leaseCount uint64
	leases     unsafe.Pointer
}

// always is a mode that sends every call to the core.
var always = uint32(1) << 31

// crosses reports whether every allocation and release goes to the core: in a pool in which
// something was switched on, and in the zero Slabby, which the core refuses.
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

// issue makes a slab live that only the caller has, and returns the word before.
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

// releasing tells the race detector that a reference is about to be released.
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
	// A number with bits above the generation is equal to no word without pins.
	return id, atomic.LoadUint64(h.word(id))&wordCompared == relative-id+wordLive
}

// readView reads the addresses of the core's data that calls need when they stay in Go.
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
		liveBias:   uint64(view.ref_bias) - wordLive,
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
		p.allocMode = &always // a reference gets a token, through which each access to the bytes crosses
	}
	if other := poolAt(handleNumber(p.handle)); raceDetector && other != nil {
		p.race = other.race // adopted once more: the words of its slabs are the same
	} else {
		p.race.prepare(p.idLimit)
	}
	p.readSequences()
}

// seeAll makes every allocation and release of the pool go through the core from now on.
func (p *Slabby) seeAll() {
	p.attaching.Lock()
	defer p.attaching.Unlock()
	atomic.StoreUint64(&p.leaseCount, 0)
	atomic.StorePointer(&p.core, nil)
	atomic.StorePointer(&p.plain, nil)
}
