// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/slabby/slabby/go/internal/sequence"
)

// Protections that Go carries out itself; every other one crosses.
const modeHere = modeSecure | modeBitGuard | modeSampled

// readSequences determines whether sequences serve this pool: its caches work with them, this build
// has them, and the core need not see every call.
func (p *Slabby) readSequences() {
	if !sequence.Available || p.finalizers {
		return
	}
	area := C.slabby_go_sequences(p.handle)
	if area.status != 0 {
		return
	}
	sequence.SetArea(uint64(area.value))
	atomic.StorePointer(&p.core, unsafe.Pointer(p.handle))
	if modeOf(p.core)&modeHere&^modeSampled == 0 {
		atomic.StorePointer(&p.plain, p.core)
	}
}

// The offset of the mode from the handle, in layout 2.
const atProtect = 120

// modeOf is the pool's mode, behind its handle.
func modeOf(core unsafe.Pointer) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Add(core, atProtect)))
}

// references is a slice as the assembly sees it.
func references(refs []SlabRef) []sequence.Reference {
	return unsafe.Slice((*sequence.Reference)(unsafe.Pointer(unsafe.SliceData(refs))), len(refs))
}

var _ [0]struct{} = [unsafe.Sizeof(SlabRef{}) - unsafe.Sizeof(sequence.Reference{})]struct{}{}

// allocateBatchInSequence fills dst from this CPU's cache, and data unless it is nil, all or nothing.
func (p *Slabby) allocateBatchInSequence(core unsafe.Pointer, dst []SlabRef, data [][]byte) bool {
	issue, taken, mixed := sequence.TakeBatch(core, unsafe.Pointer(&p.hot), references(dst), unsafe.SliceData(data),
		p.reserved*p.stride)
	if !taken {
		return false
	}
	// If a caller reuses its slice, the pool is there already. The race detector must see a write.
	for at := 0; (raceDetector || mixed) && at < len(dst); at++ {
		dst[at].hot = &p.hot
	}
	for at := 0; raceDetector && at < len(dst); at++ {
		p.race.allocated(p.idOf(dst[at]))
	}
	if data != nil && (raceDetector || mixed) {
		p.slices(dst, data)
	}
	if issue == 0 { // let the core bias the slabs that this CPU issues from now on, if it may
		C.slabby_go_sequences(p.handle)
	}
	runtime.KeepAlive(p)
	return true
}

// deallocateRunInSequence releases as many of the first references as it can in a row. What is freed goes on by its id:
// the references are the caller's, and another goroutine may write to them by mistake.
func (p *Slabby) deallocateRunInSequence(core unsafe.Pointer, refs []SlabRef) (done, failed int, err error) {
	var ids sequence.IDs
	refs = refs[:min(len(refs), len(ids))]
	for at := 0; raceDetector && at < len(refs); at++ {
		p.race.releasing(p.idOf(refs[at]))
	}
	done, result := sequence.ReleaseRun(core, references(refs), &ids)
	given := result == sequence.Done
	if done == 0 && result != sequence.Restarted { // plain words, or no space in the cache
		done = sequence.FreeBatch(core, references(refs), &ids)
		given = done == 0 || atomic.LoadUint32(p.mode) == 0 && sequence.GiveBatch(core, &ids, done)
	}
	for at := 0; !given && at < done; at++ {
		id := uint64(ids[at])
		if atomic.LoadUint32(p.mode) == 0 && sequence.Give(core, id) {
			continue
		}
		if bad := p.returned(nil, refs[at], p.refBias+id, 0); bad != nil {
			if failed++; err == nil {
				err = bad
			}
		}
	}
	runtime.KeepAlive(p)
	return done, failed, err
}
