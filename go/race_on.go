// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && race

package slabby

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

const raceDetector = true

// raceWatch tells the race detector what happens to slabs. The detector does not look at memory outside
// Go's heap, atomic operations included, so each slab has a word on the heap that stands for it: a
// release happens before the next allocation of the same slab, which is a write of this word, and an
// access to the slab's bytes is a read of it. So the hand-over of a slab from one goroutine to the next
// is in order, and a goroutine that accessed a slab while another one released it is reported at the
// slab's next allocation. The detector cannot see two goroutines that write the same bytes at once.
//
// The words come in chunks, made when a slab of one is first used: a pool may reserve billions of slabs.
type raceWatch struct {
	chunks []atomic.Pointer[raceChunk]
}

type raceChunk [4096]uint64

func (w *raceWatch) prepare(ids int) {
	w.chunks = make([]atomic.Pointer[raceChunk], (ids+len(raceChunk{})-1)/len(raceChunk{}))
}

// at must not order goroutines itself, so the detector ignores its atomic operations.
func (w *raceWatch) at(id uint64) unsafe.Pointer {
	const length = uint64(len(raceChunk{}))
	if id/length >= uint64(len(w.chunks)) {
		return nil
	}
	chunk := &w.chunks[id/length]
	runtime.RaceDisable()
	words := chunk.Load()
	if words == nil {
		chunk.CompareAndSwap(nil, new(raceChunk))
		words = chunk.Load()
	}
	runtime.RaceEnable()
	return unsafe.Pointer(&words[id%length])
}

// releasingFrom is releasing for every slab from an id on, of those that were ever used.
func (w *raceWatch) releasingFrom(id uint64) {
	const length = uint64(len(raceChunk{}))
	for at := id / length; at < uint64(len(w.chunks)); at, id = at+1, (at+1)*length {
		runtime.RaceDisable()
		words := w.chunks[at].Load()
		runtime.RaceEnable()
		for word := id % length; words != nil && word < length; word++ {
			runtime.RaceReleaseMerge(unsafe.Pointer(&words[word]))
		}
	}
}

// allocated: only the caller has the slab.
func (w *raceWatch) allocated(id uint64) {
	if word := w.at(id); word != nil {
		runtime.RaceAcquire(word)
		runtime.RaceWrite(word)
	}
}

// used: the caller accesses the slab, as others may.
func (w *raceWatch) used(id uint64) {
	if word := w.at(id); word != nil {
		runtime.RaceRead(word)
	}
}

// releasing is called before the word says free, because after that the next owner may already use
// the slab. It changes nothing for a release that is refused.
func (w *raceWatch) releasing(id uint64) {
	if word := w.at(id); word != nil {
		runtime.RaceReleaseMerge(word)
	}
}
