// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"context"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// token is what every copy of a reference shares with WithFinalizers: when the collector finds it
// unreachable, no Go code can release the slab any more.
type token struct {
	// First, because a reference points here. It names only the pool, so every call crosses into C.
	hot
	*leak
	cleanup runtime.Cleanup
}

// leak is the data for the report of a lost token. It keeps the pool reachable: a token is
// collected before its pool.
type leak struct {
	stack
	pool *Slabby
	ref  uint64
	// GetBytes was called: other code may hold a slice of the slab, which the token knows nothing of.
	seen atomic.Bool
}

func newToken(p *Slabby, ref uint64) *token {
	t := &token{hot: hot{pool: p}}
	t.leak = &leak{stack: callerStack(), pool: p, ref: ref}
	t.cleanup = runtime.AddCleanup(t, (*leak).report, t.leak)
	return t
}

// token returns the token of a reference, or nil if it has none.
func (r SlabRef) token() *token {
	if r.hot == nil || r.hot.pool == nil || r.hot == &r.hot.pool.hot {
		return nil
	}
	return (*token)(unsafe.Pointer(r.hot))
}

// forget ends the token's watch: the caller keeps the slab by its bytes, not by the reference.
func (r SlabRef) forget() {
	r.token().end()
}

// end stops the watch; only a token that is reachable until then is certainly not reported.
func (t *token) end() {
	if t != nil {
		t.cleanup.Stop()
		runtime.KeepAlive(t)
	}
}

// check notes that the slab's memory went to the caller.
func (t *token) check() {
	if t != nil {
		t.seen.Store(true)
	}
}

// report runs on the collector's goroutine. The core answers with an error, which it does not count, if the
// slab was released after all: by its bytes, its number, a Reset or another language.
func (l *leak) report() {
	stack := C.CString(l.summary())
	defer C.free(unsafe.Pointer(stack))
	reclaimed := !l.seen.Load()
	ref := l.pool.RefOf(l.ref)
	name := ref.String()
	if l.pool.log != nil {
		// In place of the event, which has one line of the stack. After logNew nothing reads this entry
		// any more.
		l.pool.log.reported.Store(l.ref, true)
		defer l.pool.log.reported.Delete(l.ref)
		defer func() { _, _ = l.pool.log.logNew(context.Background()) }()
	}
	status := C.slabby_report_leak(l.pool.handle, C.slabby_ref(l.ref), stack, C.int32_t(flagValue(reclaimed)))
	if status != 0 {
		return
	}
	if reclaimed {
		l.pool.untrack(ref)
		reclaimed = !l.pinned()
	}
	if l.pool.log != nil {
		l.pool.log.logger.Warn("slabby: reference dropped without Release", "ref", name, "reclaimed", reclaimed,
			"stack", l.stack.String())
	}
}

// pinned reports whether pins still hold the slab of the pool that was to go back.
func (l *leak) pinned() bool {
	p := l.pool
	relative := l.ref - p.refBias
	id := relative & p.idMask
	return id < p.reserved && atomic.LoadUint64(p.word(id))&wordCompared == relative-id+uint64(SlabStateDying)
}
