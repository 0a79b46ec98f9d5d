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
	pool *Slabby
	ref  uint64
	// With WithFinalizers: shared by all copies. RefOf makes references without.
	token *token
}

// RefOf is the reference behind a number of SlabRef.Ref, as another language hands it over.
// Nothing is checked here: whatever the number is, the calls that use it check it.
func (p *Slabby) RefOf(ref uint64) SlabRef {
	return SlabRef{pool: p, ref: ref}
}

// Ref is the reference as the number that every language knows it by.
func (r SlabRef) Ref() uint64 {
	return r.ref
}

// Pool is the pool that the reference was made with, nil for the zero SlabRef.
func (r SlabRef) Pool() *Slabby {
	return r.pool
}

// GetBytes is the slab's memory, with len == cap == slab size. A reference that is not valid, any more
// or at all, is a mistake of the program: GetBytes panics with the *Error that Bytes returns. Nothing
// keeps another goroutine from releasing the slab meanwhile: Pin it where that can happen.
func (r SlabRef) GetBytes() []byte {
	if p := r.pool; p != nil {
		relative := r.ref - p.refBias
		id := relative & p.idMask
		if relative < p.refLimit && id < p.reserved {
			// In an if of its own: behind && the compiler makes a value of it, which is tested once more.
			if atomic.LoadUint64(p.word(id))&wordCompared == relative-id+wordLive {
				p.race.used(id)
				return p.slice(id)
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
		if r.pool != nil {
			text = "GetBytes: " + r.pool.Explain(err, r)
		}
		panic(&Error{Status: status, Text: text, cause: err})
	}
	return data
}

// Bytes is GetBytes for callers that cannot know: ErrUseAfterFree or ErrInvalidReference where there is no
// memory.
func (r SlabRef) Bytes() ([]byte, error) {
	if p := r.pool; p != nil {
		if id, live := p.isLive(r.ref); live {
			p.race.used(id)
			runtime.KeepAlive(p)
			return p.slice(id), nil
		}
	}
	return r.bytesThere()
}

// bytesThere has the core look.
func (r SlabRef) bytesThere() ([]byte, error) {
	if r.pool == nil {
		return nil, ErrInvalidReference
	}
	found := C.slabby_go_data(r.pool.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(r.pool)
	if found.status != 0 {
		return nil, statusError(found.status)
	}
	r.token.check()
	r.pool.race.used((r.ref - r.pool.refBias) & r.pool.idMask)
	return unsafe.Slice((*byte)(found.data), r.pool.slabSize), nil
}

// Size is the usable bytes of the slab, 0 for the zero SlabRef.
func (r SlabRef) Size() int {
	if r.pool == nil {
		return 0
	}
	return r.pool.slabSize
}

// IsValid reports whether the reference names a live slab of its pool.
func (r SlabRef) IsValid() bool {
	if r.pool == nil {
		return false
	}
	if _, live := r.pool.isLive(r.ref); live {
		runtime.KeepAlive(r.pool)
		return true
	}
	valid := C.slabby_is_valid(r.pool.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(r.pool)
	return valid != 0
}

// ID is the number of the slab in its pool, for people; stale references keep theirs. It is -1
// where the reference was never issued by its pool.
func (r SlabRef) ID() int32 {
	if r.pool == nil {
		return -1
	}
	if id, live := r.pool.isLive(r.ref); live {
		runtime.KeepAlive(r.pool)
		return int32(id)
	}
	found := C.slabby_go_id(r.pool.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(r.pool)
	if found.status != 0 {
		return -1
	}
	return int32(found.id)
}

// Release gives the slab back to its pool; see Deallocate.
func (r SlabRef) Release() error {
	if p := r.pool; p != nil {
		if core := atomic.LoadPointer(&p.plain); core != nil {
			p.race.releasing((r.ref - p.refBias) & p.idMask)
			if outcome := sequence.Release(core, r.ref); outcome != sequence.Done {
				return p.deallocateRest(r, outcome)
			}
			runtime.KeepAlive(p)
			return nil
		}
		if core := atomic.LoadPointer(&p.core); core != nil {
			return p.deallocateProtected(core, r)
		}
		return p.deallocateAside(r)
	}
	return ErrInvalidReference
}

// ReleaseDeferred is Release, but where pins are held the slab goes back with the last of them;
// until then the reference serves for nothing but Unpin.
func (r SlabRef) ReleaseDeferred() error {
	if r.pool == nil {
		return ErrInvalidReference
	}
	status := C.slabby_release_deferred(r.pool.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(r.pool)
	return r.pool.released(status, r)
}

// Pin forbids the release, in every language, until Unpin. Errors: ErrUseAfterFree,
// ErrInvalidReference, ErrTooManyPins (4,095 are held).
func (r SlabRef) Pin() error {
	if r.pool == nil {
		return ErrInvalidReference
	}
	status := C.slabby_pin(r.pool.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(r.pool)
	return statusError(status)
}

// Unpin takes one pin back. Errors: ErrInvalidArgument (no pin is held), ErrUseAfterFree,
// ErrInvalidReference, ErrMemoryCorruption (found while completing a deferred release).
func (r SlabRef) Unpin() error {
	if r.pool == nil {
		return ErrInvalidReference
	}
	status := C.slabby_unpin(r.pool.handle, C.slabby_ref(r.ref))
	runtime.KeepAlive(r.pool)
	r.pool.log.logCorruption(status)
	return statusError(status)
}
