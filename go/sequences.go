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

// readSequences finds out whether this pool is served by sequences: its caches work with them, this
// build has them, and no call needs to be seen.
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

// Where a handle has its mode, in layout 1.
const atProtect = 120

// modeOf is the pool's mode, behind its handle.
func modeOf(core unsafe.Pointer) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Add(core, atProtect)))
}

// takeProtected takes a slab of a pool that may write patterns. 0 says that the core has to serve: other
// protections act on allocations, or the sequence was refused.
func (p *Slabby) takeProtected(core unsafe.Pointer) (ref uint64) {
	switch mode := modeOf(core); {
	case mode&modeBitGuard == 0:
		ref = sequence.Take(core)
	case mode&^modeHere == 0:
		ref = sequence.TakeGuarded(core)
	}
	if ref != 0 {
		p.race.allocated((ref - p.refBias) & p.idMask)
	}
	runtime.KeepAlive(p)
	return ref
}

// deallocateProtected is Deallocate where the slab is wiped or its patterns are compared.
func (p *Slabby) deallocateProtected(core unsafe.Pointer, ref SlabRef) error {
	id := (ref.ref - p.refBias) & p.idMask
	p.race.releasing(id)
	outcome := sequence.ReleaseProtected(core, ref.ref)
	if outcome == sequence.Done {
		runtime.KeepAlive(p)
		return nil
	}
	if outcome == sequence.Wipe {
		clear(p.slice(id))
		outcome = sequence.Freed
		if sequence.Give(core, id) {
			outcome = sequence.Done
		}
	}
	runtime.KeepAlive(p)
	switch outcome {
	case sequence.Done:
		return nil
	case sequence.Freed:
		return p.returned(nil, ref, ref.ref, 0) // where a byte differs the core says which
	}
	return p.deallocateThere(ref)
}

// allocateBatchInSequence fills dst from this CPU's cache, all or nothing.
func (p *Slabby) allocateBatchInSequence(core unsafe.Pointer, dst []SlabRef) bool {
	var numbers [leaseIDs]uint32
	ids := numbers[:len(dst)]
	issue, taken := sequence.TakeBatch(core, &dst[0].ref, unsafe.Sizeof(dst[0]), ids)
	if !taken {
		return false
	}
	for at := range dst {
		// Callers that reuse their slice have the pool there already. The race detector sees no assembly, so it is
		// shown a write.
		if raceDetector || dst[at].hot != &p.hot {
			dst[at].hot = &p.hot
		}
	}
	for at := 0; raceDetector && at < len(ids); at++ {
		p.race.allocated(uint64(ids[at]))
	}
	if issue == 0 { // let the core bias what this CPU issues from now on, where it may
		C.slabby_go_sequences(p.handle)
	}
	runtime.KeepAlive(p)
	return true
}

// deallocateRunInSequence releases as many of the first references as it can in a row.
func (p *Slabby) deallocateRunInSequence(core unsafe.Pointer, refs []SlabRef) (done, failed int, err error) {
	var ids [leaseIDs]uint32
	count := min(len(refs), len(ids))
	for at := 0; raceDetector && at < count; at++ {
		p.race.releasing((refs[at].ref - p.refBias) & p.idMask)
	}
	done = sequence.FreeBatch(core, &refs[0].ref, unsafe.Sizeof(refs[0]), ids[:count])
	if done == 0 || atomic.LoadUint32(p.mode) == 0 && sequence.GiveBatch(core, ids[:done]) {
		runtime.KeepAlive(p)
		return done, 0, nil
	}
	for _, ref := range refs[:done] {
		if atomic.LoadUint32(p.mode) == 0 && sequence.Give(core, (ref.ref-p.refBias)&p.idMask) {
			continue
		}
		if bad := p.returned(nil, ref, ref.ref, 0); bad != nil {
			if failed++; err == nil {
				err = bad
			}
		}
	}
	runtime.KeepAlive(p)
	return done, failed, err
}
