// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"errors"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
	"weak"
)

// FaultError is a fault in the memory of a pool: on a guard page, or in a slab that is no longer
// there. Guard pages (WithGuardPages) and sampled guards (WithGuardSampleRate) turn mistakes into
// faults.
type FaultError struct {
	// Address was accessed.
	Address uintptr
	// Pool is the pool's name.
	Pool string
	// Ref is the slab's present or last allocation. It is the zero SlabRef if there was no allocation,
	// if it was by id, or if the pool is not one of this package.
	Ref SlabRef
	// ID and State are the slab's.
	ID    int32
	State SlabState
	// Kind is the mistake.
	Kind FaultKind
	// Offset counts from the slab's first byte; SlabSize is where its bytes end.
	Offset   int64
	SlabSize int
	// Text is the same in words: "access 1 byte past the end of slab 17 (4096 bytes) of pool 'orders'".
	Text string
	// Allocated is where the slab was allocated in Go, Stacks where it was allocated and released as
	// the core saw it. Both are empty unless WithDebug is on; a sampled guard has Stacks always.
	Allocated, Stacks string

	cause error
}

// Error is the text.
func (e *FaultError) Error() string {
	return "slabby: " + e.Text
}

// Unwrap is the error of the runtime.
func (e *FaultError) Unwrap() error {
	return e.cause
}

// CatchFaults runs work on this goroutine and turns a fault in the memory of a pool into a
// *FaultError. Other panics, and faults elsewhere, continue unchanged. Goroutines that work starts
// are not covered, because debug.SetPanicOnFault applies to one goroutine.
func CatchFaults(work func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		recovered := recover()
		if recovered == nil {
			return
		}
		fault := FaultOf(recovered)
		if fault == nil {
			panic(recovered)
		}
		err = fault
	}()
	work()
	return nil
}

// FaultOf returns the fault behind the value that recover returned in a goroutine with
// debug.SetPanicOnFault. It returns nil if the value is no fault, or no fault in the memory of a
// pool.
func FaultOf(recovered any) *FaultError {
	cause, ok := recovered.(runtime.Error)
	if !ok {
		return nil
	}
	var addressed interface{ Addr() uintptr }
	if !errors.As(cause, &addressed) {
		return nil
	}
	return classify(addressed.Addr(), cause)
}

func classify(address uintptr, cause error) *FaultError {
	raw := C.slabby_go_classify(C.uint64_t(address))
	if raw.inside == 0 {
		return nil
	}
	fault := &FaultError{
		Address:  address,
		Pool:     C.GoString(&raw.pool_name[0]),
		ID:       int32(raw.id),
		State:    SlabState(raw.state),
		Kind:     FaultKind(raw.kind),
		Offset:   int64(raw.offset),
		SlabSize: int(raw.slab_size),
		Text:     C.GoString(&raw.text[0]),
		cause:    cause,
	}
	if p := poolAt(uint64(raw.allocator_address)); p != nil && raw.ref != 0 {
		fault.Ref = SlabRef{hot: &p.hot, ref: uint64(raw.ref)}
		fault.Stacks, _ = fault.Ref.Stack()
		if known := p.allocationOf(uint64(raw.ref)); known != nil {
			fault.Allocated = known.String()
		}
	}
	if p := poolAt(uint64(raw.allocator_address)); p != nil && fault.State == SlabStateLiveFast {
		fault.Stacks, _ = p.refOfID(uint64(raw.id)).Stack()
	}
	return fault
}

// refOfID is the reference that the present allocation of a slab would have, for what the core recorded of it.
func (p *Slabby) refOfID(id uint64) SlabRef {
	if p.words == nil || id >= uint64(p.idLimit) {
		return SlabRef{}
	}
	generation := atomic.LoadUint64(p.word(id)) & wordCompared &^ p.idMask
	return p.RefOf(generation + id + p.refBias)
}

// InstallFaultHandler makes the core report faults in the memory of pools on standard error, as
// text and with stacks, before Go's own handler sees them. So a program that ends by a fault has
// reported the reason. With debug.SetPanicOnFault both happen: the report, and the panic. For the
// whole process, for good.
func InstallFaultHandler() error {
	raw := newRawError()
	return detailedError(C.slabby_install_fault_handler(&raw), &raw)
}

// pools finds the pools of a handle, several where it was adopted. Weak: it keeps no pool.
var pools struct {
	sync.Mutex
	at map[uint64][]weak.Pointer[Slabby]
}

func poolAt(handle uint64) *Slabby {
	pools.Lock()
	defer pools.Unlock()
	for _, known := range pools.at[handle] {
		if pool := known.Value(); pool != nil {
			return pool
		}
	}
	return nil
}

func (p *Slabby) register() {
	pools.Lock()
	defer pools.Unlock()
	if pools.at == nil {
		pools.at = map[uint64][]weak.Pointer[Slabby]{}
	}
	number := handleNumber(p.handle)
	pools.at[number] = append(pools.at[number], weak.Make(p))
}

// unregister forgets the pools of a handle that are gone.
func unregister(handle *C.slabby_allocator) {
	pools.Lock()
	defer pools.Unlock()
	number := handleNumber(handle)
	left := slices.DeleteFunc(pools.at[number], func(known weak.Pointer[Slabby]) bool { return known.Value() == nil })
	if pools.at[number] = left; len(left) == 0 {
		delete(pools.at, number)
	}
}

func handleNumber(handle *C.slabby_allocator) uint64 {
	return uint64(uintptr(unsafe.Pointer(handle)))
}
