// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && race

package slabby

import (
	"runtime"
	"unsafe"
)

const raceDetector = true

// raceWatch tells the race detector what happens to slabs. The detector does not look at memory outside
// Go's heap, atomic operations included, so each slab has a word on the heap that stands for it:
// a release hands over to the next allocation of the same slab, which is a write, and a look at the
// bytes is a read. So what slabs hand over from one goroutine to the next is in order, and a goroutine
// that looked at a slab while another one released it is reported when the slab goes out again. Two
// goroutines that write the same bytes at once it cannot see.
type raceWatch struct {
	slabs []uint64
}

func (w *raceWatch) prepare(ids int) {
	w.slabs = make([]uint64, ids)
}

func (w *raceWatch) at(id uint64) unsafe.Pointer {
	if id >= uint64(len(w.slabs)) {
		return nil
	}
	return unsafe.Pointer(&w.slabs[id])
}

// allocated: the slab is the caller's alone.
func (w *raceWatch) allocated(id uint64) {
	if word := w.at(id); word != nil {
		runtime.RaceAcquire(word)
		runtime.RaceWrite(word)
	}
}

// used: the caller looks at the slab, as others may.
func (w *raceWatch) used(id uint64) {
	if word := w.at(id); word != nil {
		runtime.RaceRead(word)
	}
}

// releasing comes before the word says free: behind it the next owner may be at work. It changes
// nothing for a release that is refused.
func (w *raceWatch) releasing(id uint64) {
	if word := w.at(id); word != nil {
		runtime.RaceReleaseMerge(word)
	}
}
