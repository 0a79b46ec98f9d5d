// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_set_label
// #cgo nocallback slabby_set_label
// #cgo noescape slabby_go_label
// #cgo nocallback slabby_go_label
import "C"

import (
	"runtime"
	"strings"
)

// coreText gets a text from the core, and asks again if the text did not fit.
func coreText(ask func(buffer *C.char, capacity C.uint64_t, length *C.uint64_t) C.slabby_status) (
	string, error) {
	buffer := make([]C.char, 512)
	for {
		var length C.uint64_t
		status := ask(&buffer[0], C.uint64_t(len(buffer)), &length)
		if Status(status) != StatusBufferTooSmall {
			return C.GoString(&buffer[0]), statusError(status)
		}
		buffer = make([]C.char, length+length/16+1) // numbers grow meanwhile
	}
}

// Explain describes one case: the pool, the slab, what the reference says and the state of the
// slab. ref may be the zero SlabRef. The text is built from the present state, which may have
// changed since the error. For an error of another package it returns that error's own text.
func (p *Slabby) Explain(err error, ref SlabRef) string {
	status, known := StatusOf(err)
	if !known {
		return err.Error()
	}
	text, refused := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_explain(b, c, l, p.c(), C.slabby_ref(ref.ref), C.slabby_status(status))
	})
	runtime.KeepAlive(p)
	if refused != nil {
		return status.String() + ": " + refused.Error()
	}
	return text
}

// explainBehind is Explain without the name of the status, for texts of an Error, which begins with that.
func (p *Slabby) explainBehind(status Status, err error, ref SlabRef) string {
	return strings.TrimPrefix(p.Explain(err, ref), status.String()+": ")
}

// String is the reference for people, such as "orders:17#4" (pool, slab, generation).
func (r SlabRef) String() string {
	text, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_ref_text(b, c, l, r.Pool().c(), C.slabby_ref(r.ref))
	})
	runtime.KeepAlive(r.hot)
	if err != nil {
		return "SlabRef(invalid)"
	}
	return text
}

// AllocationStack is where the slab was allocated: functions, files and lines of Go, as a traceback
// prints them, at most 16. For a slab that another language allocated, it is the text of Stack. ""
// if nothing was recorded, as without WithDebug.
func (r SlabRef) AllocationStack() string {
	if token := r.token(); token != nil {
		return token.stack.String()
	}
	if p := r.Pool(); p != nil {
		if known := p.allocationOf(r.ref); known != nil {
			return known.String()
		}
	}
	text, err := r.Stack()
	if err != nil {
		return ""
	}
	return text
}

// Stack is where the slab was allocated and, if it was released, where that happened, as the core
// recorded it: thread, age and the C frames, down to the runtime's. "" without WithDebug. Errors:
// ErrInvalidReference, ErrInvalidArgument (the zero SlabRef), ErrClosed (the pool is gone).
func (r SlabRef) Stack() (string, error) {
	text, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_stack(b, c, l, r.Pool().c(), C.slabby_ref(r.ref))
	})
	runtime.KeepAlive(r.hot)
	return text, err
}

// SetLabel keeps a value of the caller's with the slab until its release: a request number, an
// index. Errors: ErrUseAfterFree, ErrInvalidReference, ErrNoSystemMemory (no space for labels),
// ErrInvalidArgument (the zero SlabRef).
func (r SlabRef) SetLabel(label uint64) error {
	status := C.slabby_set_label(r.Pool().c(), C.slabby_ref(r.ref), C.uint64_t(label))
	runtime.KeepAlive(r.hot)
	return statusError(status)
}

// Label is the value of SetLabel, 0 until set. Errors: ErrUseAfterFree, ErrInvalidReference, ErrInvalidArgument (the
// zero SlabRef).
func (r SlabRef) Label() (uint64, error) {
	found := C.slabby_go_label(r.Pool().c(), C.slabby_ref(r.ref))
	runtime.KeepAlive(r.hot)
	return uint64(found.value), statusError(found.status)
}
