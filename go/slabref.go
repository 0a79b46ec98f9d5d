// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_go_data
// #cgo nocallback slabby_go_data
// #cgo noescape slabby_go_id
// #cgo nocallback slabby_go_id
// #cgo noescape slabby_is_valid
// #cgo nocallback slabby_is_valid
// #cgo noescape slabby_pin
// #cgo nocallback slabby_pin
// #cgo noescape slabby_unpin
// #cgo nocallback slabby_unpin
// #cgo noescape slabby_release_deferred
// #cgo nocallback slabby_release_deferred
import "C"

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/slabby/slabby/go/internal/sequence"
)

// SlabRef names one allocation of one slab. It is a value: copies are free, == compares, and after
// the release every copy is stale. The zero SlabRef is never valid.
type SlabRef struct {
	// The hot part of the pool, or of a token that all copies share (WithFinalizers). RefOf makes
	// references without a token.
	hot *hot
	ref uint64
}

// RefOf is the reference behind a number of SlabRef.Ref, as another language hands it over.
// Nothing is checked here: whatever the number is, the calls that use it check it.
func (p *Slabby) RefOf(ref uint64) SlabRef {
	if p == nil {
		return SlabRef{ref: ref}
	}
	return SlabRef{hot: &p.hot, ref: ref}
}

// Ref is the reference as the number that every language knows it by.
func (r SlabRef) Ref() uint64 {
	return r.ref
}

// Pool is the pool that the reference was made with, nil for the zero SlabRef.
func (r SlabRef) Pool() *Slabby {
	if r.hot == nil {
		return nil
	}
	return r.hot.pool
}

// GetBytes is the slab's memory, with len == cap == slab size. A reference that is no longer valid,
// or never was, is a mistake of the program: GetBytes panics with the *Error that Bytes returns.
// Nothing keeps another goroutine from releasing the slab meanwhile: Pin it where that can happen.
func (r SlabRef) GetBytes() []byte {
	if raceDetector {
		return r.getBytesAside()
	}
	return getBytes(r)
}

// getBytesAside is GetBytes if there is no assembly, or if the assembly refused.
func (r SlabRef) getBytesAside() []byte {
	if h := r.hot; h != nil {
		relative := r.ref - h.refBias
		id := relative & h.idMask
		if id < h.reserved {
			// A separate if, because after && the compiler computes a value and tests it once more.
			if atomic.LoadUint64(h.word(id))&wordCompared == relative-id+wordLive {
				h.used(id)
				return h.slice(id)
			}
		}
	}
	return r.mustBytes()
}

func (r SlabRef) mustBytes() []byte {
	data, err := r.bytesThere()
	if err != nil {
		status, _ := StatusOf(err)
		text := "GetBytes of a reference that is not valid"
		if p := r.Pool(); p != nil {
			text = "GetBytes: " + p.explainBehind(status, err, r)
		}
		panic(&Error{Status: status, Text: text, cause: err})
	}
	return data
}

// Bytes is GetBytes for callers that do not know whether the reference is valid: it returns
// ErrUseAfterFree or ErrInvalidReference if there is no memory.
func (r SlabRef) Bytes() ([]byte, error) {
	if h := r.hot; h != nil {
		if id, live := h.isLive(r.ref); live {
			h.used(id)
			runtime.KeepAlive(h)
			return h.slice(id), nil
		}
	}
	return r.bytesThere()
}

// bytesThere lets the core decide.
func (r SlabRef) bytesThere() ([]byte, error) {
	p := r.Pool()
	if p == nil {
		return nil, ErrInvalidReference
	}
	found := C.slabby_go_data(p.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(p)
	if found.status != 0 {
		return nil, statusError(found.status)
	}
	r.token().check()
	p.race.used((r.ref - p.refBias) & p.idMask)
	return unsafe.Slice((*byte)(found.data), p.slabSize), nil
}

// Size is the usable bytes of the slab, 0 for the zero SlabRef.
func (r SlabRef) Size() int {
	p := r.Pool()
	if p == nil {
		return 0
	}
	return p.slabSize
}

// IsValid reports whether the reference names a live slab of its pool.
func (r SlabRef) IsValid() bool {
	p := r.Pool()
	if p == nil {
		return false
	}
	_, live := p.isLive(r.ref)
	live = live || C.slabby_is_valid(p.handle, C.slabby_ref(r.ref)) != 0
	runtime.KeepAlive(r.hot)
	return live
}

// ID is the number of the slab in its pool, for people; stale references keep theirs. It is -1
// where the reference was never issued by its pool.
func (r SlabRef) ID() int32 {
	p := r.Pool()
	if p == nil {
		return -1
	}
	if id, live := p.isLive(r.ref); live {
		runtime.KeepAlive(r.hot)
		return int32(id)
	}
	found := C.slabby_go_id(p.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(r.hot)
	if found.status != 0 {
		return -1
	}
	return int32(found.id)
}

// Release gives the slab back to its pool; see Deallocate.
func (r SlabRef) Release() error {
	if raceDetector && r.Pool() != nil {
		r.Pool().releasing(r.ref)
	}
	return release(r)
}

// releaseAside is Release where no sequence serves, or refused.
func (r SlabRef) releaseAside() error {
	p := r.Pool()
	if p == nil {
		return ErrInvalidReference
	}
	return p.deallocateAside(r)
}

// releaseFreed continues a release whose word already says free; if a byte of a pattern differs,
// the core reports it.
func (r SlabRef) releaseFreed() error {
	return r.hot.pool.returned(nil, r, r.ref, 0)
}

// releaseWipe continues a release whose slab must also be zeroed.
func (r SlabRef) releaseWipe() error {
	p := r.hot.pool
	id := (r.ref - p.refBias) & p.idMask
	clear(p.slice(id))
	if core := atomic.LoadPointer(&p.core); core == nil || !sequence.Give(core, id) {
		return r.releaseFreed()
	}
	runtime.KeepAlive(p)
	return nil
}

// ReleaseDeferred is Release, except that a pinned slab goes back with its last pin; until then the
// reference can only be used for Unpin.
func (r SlabRef) ReleaseDeferred() error {
	p := r.Pool()
	if p == nil {
		return ErrInvalidReference
	}
	p.releasing(r.ref)
	status := C.slabby_release_deferred(p.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(p)
	return p.released(status, r)
}

// Pin forbids the release, in every language, until Unpin. Errors: ErrUseAfterFree,
// ErrInvalidReference, ErrTooManyPins (4,095 are held).
func (r SlabRef) Pin() error {
	p := r.Pool()
	if p == nil {
		return ErrInvalidReference
	}
	status := C.slabby_pin(p.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(p)
	return statusError(status)
}

// Unpin takes one pin back. Errors: ErrInvalidArgument (no pin is held), ErrUseAfterFree,
// ErrInvalidReference, ErrMemoryCorruption (found while completing a deferred release).
func (r SlabRef) Unpin() error {
	p := r.Pool()
	if p == nil {
		return ErrInvalidReference
	}
	p.releasing(r.ref) // this pin may be the last one of a deferred release
	status := C.slabby_unpin(p.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(p)
	p.log.logCorruption(status)
	return statusError(status)
}
