// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"fmt"
	"reflect"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
)

// stackFrames is how many of the caller's frames are kept of one allocation.
const stackFrames = 16

// ownFunctions is how the names of this package's functions begin.
var ownFunctions = reflect.TypeFor[Slabby]().PkgPath() + "."

// stack is where a slab was allocated: program counters, innermost first, without this package's.
type stack struct {
	frames [stackFrames]uintptr
	depth  int
	// How many of this package's functions came before them.
	own int
}

// callerStack is the stack of the caller of this package.
func callerStack() stack {
	var s stack
	var all [stackFrames + 8]uintptr
	found := all[:runtime.Callers(1, all[:])]
	frames := runtime.CallersFrames(found)
	for more := true; more && s.own < len(found); s.own++ {
		var frame runtime.Frame
		frame, more = frames.Next()
		if !strings.HasPrefix(frame.Function, ownFunctions) {
			break
		}
	}
	// Collected again from there, because inlined functions share a program counter.
	s.depth = runtime.Callers(1+s.own, s.frames[:])
	return s
}

func (s *stack) String() string {
	var text strings.Builder
	frames := runtime.CallersFrames(s.frames[:s.depth])
	for more := s.depth > 0; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		fmt.Fprintf(&text, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
	}
	return text.String()
}

// summary is the innermost frame in a few words: "orders.go:12 in main.load".
func (s *stack) summary() string {
	if s.depth == 0 {
		return ""
	}
	frame, _ := runtime.CallersFrames(s.frames[:s.depth]).Next()
	file := frame.File[strings.LastIndexByte(frame.File, '/')+1:]
	return fmt.Sprintf("%s:%d in %s", file, frame.Line, frame.Function)
}

// allocation is one allocation while WithDebug was on. It is also its key in the profile.
type allocation struct {
	stack
	ref uint64
	// In the profile: until its release is seen, or its slab's next allocation.
	live atomic.Bool
}

// allocations has the last allocation of each slab, so that a stale reference can still be
// explained. A chunk exists only after one of its slabs was allocated, so a large pool that is
// little used costs little.
type allocations struct {
	limit  uint64
	chunks []atomic.Pointer[allocationChunk]
}

const chunkSlots = 256

type allocationChunk [chunkSlots]atomic.Pointer[allocation]

func newAllocations(limit uint64) *allocations {
	return &allocations{limit, make([]atomic.Pointer[allocationChunk], (limit+chunkSlots-1)/chunkSlots)}
}

// find is the slot of a slab, or nil where it has none yet.
func (a *allocations) find(id uint64) *atomic.Pointer[allocation] {
	if id >= a.limit {
		return nil
	}
	chunk := a.chunks[id/chunkSlots].Load()
	if chunk == nil {
		return nil
	}
	return &chunk[id%chunkSlots]
}

// slot is the slot of a slab, or nil where there is no such slab.
func (a *allocations) slot(id uint64) *atomic.Pointer[allocation] {
	if id < a.limit && a.chunks[id/chunkSlots].Load() == nil {
		a.chunks[id/chunkSlots].CompareAndSwap(nil, new(allocationChunk))
	}
	return a.find(id)
}

// The profile "slabby": live slabs by the stack that allocated them, of every pool with WithDebug, without those of
// AllocateFast.
var profile = sync.OnceValue(func() *pprof.Profile {
	if known := pprof.Lookup("slabby"); known != nil {
		return known
	}
	return pprof.NewProfile("slabby")
})

// watching reports whether allocations are to be noted.
func (p *Slabby) watching() bool {
	return atomic.LoadUint32(p.mode)&modeDebug != 0
}

// newRef is the reference of a fresh allocation, with what the pool's options note of it.
func (p *Slabby) newRef(ref uint64) SlabRef {
	made := SlabRef{hot: &p.hot, ref: ref}
	if p.finalizers {
		made.hot = &newToken(p, ref).hot
	}
	p.race.allocated((ref - p.refBias) & p.idMask)
	if p.watching() {
		p.recordStack(ref)
	}
	return made
}

func (p *Slabby) recordStack(ref uint64) {
	found := C.slabby_go_id(p.handle, C.slabby_ref(ref))
	if found.status != 0 {
		return
	}
	slot := p.allocationTable().slot(uint64(found.id))
	if slot == nil {
		return
	}
	made := &allocation{stack: callerStack(), ref: ref}
	made.live.Store(true)
	profile().Add(made, made.own) // Add stands where callerStack stood
	slot.Swap(made).end()
}

// allocationTable is made by the first allocation that is recorded.
func (p *Slabby) allocationTable() *allocations {
	if table := p.allocated.Load(); table != nil {
		return table
	}
	p.seeAll()
	p.allocated.CompareAndSwap(nil, newAllocations(uint64(p.idLimit)))
	return p.allocated.Load()
}

// end takes an allocation out of the profile, once.
func (a *allocation) end() {
	if a != nil && a.live.Swap(false) {
		profile().Remove(a)
	}
}

// allocationOf is what was recorded of one allocation, or nil.
func (p *Slabby) allocationOf(ref uint64) *allocation {
	table := p.allocated.Load()
	if table == nil {
		return nil
	}
	// Finds the slot without the core, because the core counts queries about references that it never
	// issued.
	slot := table.find((ref - p.refBias) & p.idMask)
	if slot == nil {
		return nil
	}
	if known := slot.Load(); known != nil && known.ref == ref {
		return known
	}
	return nil
}

// untrack records that a reference was released.
func (p *Slabby) untrack(ref SlabRef) {
	if token := ref.token(); token != nil && token.leak.pool.handle == p.handle { // a batch may have others
		token.end()
	}
	if p.allocated.Load() != nil {
		p.allocationOf(ref.ref).end()
	}
}

// untrackReleased records which of a batch were released; the others are still valid, or were stale
// before.
func (p *Slabby) untrackReleased(refs []SlabRef) {
	for _, ref := range refs {
		if !(SlabRef{hot: &p.hot, ref: ref.ref}).IsValid() {
			p.untrack(ref)
		}
	}
}

// endAll records that no slab is live any more, as after a reset.
func (a *allocations) endAll() {
	if a == nil {
		return
	}
	for at := range a.chunks {
		chunk := a.chunks[at].Load()
		for slot := 0; chunk != nil && slot < chunkSlots; slot++ {
			chunk[slot].Load().end()
		}
	}
}
