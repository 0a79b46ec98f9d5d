// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_go_allocate_timeout
// #cgo nocallback slabby_go_allocate_timeout
// #cgo noescape slabby_go_try
// #cgo nocallback slabby_go_try
// #cgo noescape slabby_go_wait_begin
// #cgo nocallback slabby_go_wait_begin
// #cgo noescape slabby_go_wait_take
// #cgo nocallback slabby_go_wait_take
// #cgo noescape slabby_go_wait_cancel
// #cgo nocallback slabby_go_wait_cancel
// #cgo noescape slabby_go_wait_expire
// #cgo nocallback slabby_go_wait_expire
// #cgo noescape slabby_go_listen
// #cgo nocallback slabby_go_listen
// #cgo noescape slabby_go_listen_plain
// #cgo nocallback slabby_go_listen_plain
// #cgo noescape slabby_listener_wait
// #cgo nocallback slabby_listener_wait
import "C"

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// AllocateWithTimeout is Allocate, but waits up to `timeout` for a slab, first come first served
// with every other thread and language, and without holding a thread. A timeout of 0 or less is
// Allocate, with its errors. Errors of a wait: those of Allocate, but ErrTimeout in place of ErrOutOfMemory;
// ErrClosed ends it too.
func (p *Slabby) AllocateWithTimeout(timeout time.Duration) (SlabRef, error) {
	if timeout <= 0 {
		return p.Allocate()
	}
	ref, err := p.try()
	if err != errWait {
		return ref, err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	return p.wait(context.Background(), timer.C)
}

// AllocateContext is Allocate, but waits for a slab until the context is done, as
// AllocateWithTimeout does. If the context is done first, the result is ctx.Err() and no slab; a slab
// that was granted at that moment goes back. Errors: those of Allocate but ErrOutOfMemory, and
// ctx.Err(). A deadline that ends a wait counts as one Timeout.
func (p *Slabby) AllocateContext(ctx context.Context) (SlabRef, error) {
	if err := ctx.Err(); err != nil {
		return SlabRef{}, err
	}
	ref, err := p.try()
	if err == errWait {
		ref, err = p.wait(ctx, nil)
	}
	if done := ctx.Err(); done != nil && (err == nil || err == errWait || err == ErrTimeout) {
		if err == nil {
			return SlabRef{}, gaveBack(done, ref.Release())
		}
		return SlabRef{}, done
	}
	return ref, err
}

// gaveBack is the error of a wait that ended at the moment its slab came: the reason for the end,
// and any error of the slab's release.
func gaveBack(done, released error) error {
	if released == nil {
		return done
	}
	return errors.Join(done, released)
}

// errWait says that a slab can only be had by waiting, or waiting longer.
var errWait = &Error{Status: StatusTimeout, Text: "no slab yet"}

// errEnded says that no goroutine waits for this pool any more: the core refuses, and counts that.
var errEnded = &Error{Status: StatusClosed, Text: "the pool is closed"}

// try makes one attempt to get a slab. While the caller waits, an attempt that finds none is no
// failure of the pool.
func (p *Slabby) try() (SlabRef, error) {
	ref, l, ok := p.allocateHere()
	if ok {
		return ref, nil
	}
	if l == nil && p != nil && !p.sequenced() {
		p.attach()
	}
	made := C.slabby_go_try(p.c(), l.address())
	if Status(made.status) == StatusOutOfMemory {
		runtime.KeepAlive(p)
		return SlabRef{}, errWait
	}
	return p.made(made)
}

// countClosed ends a wait that the end of the pool ended: the core refuses, and counts that.
func (p *Slabby) countClosed() (SlabRef, error) {
	return p.made(C.slabby_go_allocate_timeout(p.c(), 1))
}

// made converts the answer of an allocation.
func (p *Slabby) made(made C.slabby_go_value) (SlabRef, error) {
	runtime.KeepAlive(p)
	if made.status != 0 {
		return SlabRef{}, statusError(made.status)
	}
	return p.newRef(uint64(made.value)), nil
}

// wait queues up until there is a slab, until the context is done, which is errWait unless its time is over, or until
// the time has expired, which is ErrTimeout.
func (p *Slabby) wait(ctx context.Context, expired <-chan time.Time) (SlabRef, error) {
	ticket, granted, err := p.space.begin(p.handle)
	if err == errEnded {
		return p.countClosed()
	}
	if err != nil {
		return SlabRef{}, err
	}
	var ref uint64
	select {
	case ref = <-granted:
	case <-expired:
		ref, err = p.space.expire(ticket, granted)
	case <-ctx.Done():
		if ctx.Err() == context.DeadlineExceeded {
			ref, err = p.space.expire(ticket, granted)
		} else {
			ref = p.space.cancel(ticket, granted)
		}
	}
	runtime.KeepAlive(p)
	if err != nil {
		return SlabRef{}, err
	}
	switch ref {
	case leftUnserved:
		return SlabRef{}, errWait
	case poolClosed:
		return p.countClosed()
	}
	return p.newRef(ref), nil
}

// The answers that a ticket may get instead of a reference; neither number is ever a reference.
const (
	leftUnserved uint64 = 0
	poolClosed   uint64 = 1<<64 - 1
)

// waitQueue is where the goroutines of a pool wait: one listener of the core, and one goroutine
// that sleeps in Go's poller until the listener has something, or, where the system refused a
// descriptor, in the core. Both exist from the first wait to the end of the pool. It does not refer
// to the pool, so that a dropped pool can be collected.
type waitQueue struct {
	lock     sync.Mutex
	listener *C.slabby_listener
	notifier *os.File
	// The goroutines that wait, by ticket; each channel has room for the one answer it gets.
	tickets map[uint64]chan uint64
	closed  bool
	// Closed when the goroutine has ended.
	ended chan struct{}
}

// begin draws a ticket and returns the channel of its answer.
func (w *waitQueue) begin(handle *C.slabby_allocator) (uint64, <-chan uint64, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.closed {
		return 0, nil, errEnded
	}
	if w.listener == nil {
		if err := w.open(handle); err != nil {
			return 0, nil, err
		}
	}
	begun := C.slabby_go_wait_begin(w.listener)
	if begun.status != 0 {
		return 0, nil, statusError(begun.status)
	}
	granted := make(chan uint64, 1)
	w.tickets[uint64(begun.value)] = granted
	return uint64(begun.value), granted, nil
}

// sleepSlice is how long the goroutine of a queue without a descriptor sleeps in the core before it
// looks whether the queue was closed.
const sleepSlice = 50 * time.Millisecond

// open needs the lock. If the process has reached its limit of open files, the queue works without
// a descriptor.
func (w *waitQueue) open(handle *C.slabby_allocator) error {
	refused := w.openPolled(handle)
	if refused == nil || hasDescriptors && !errors.Is(refused, syscall.EMFILE) && !errors.Is(refused, syscall.ENFILE) {
		return refused
	}
	raw := newRawError()
	made := C.slabby_go_listen_plain(handle, &raw)
	if made.status != 0 {
		return refused
	}
	w.begins(made.listener, nil)
	go w.serve(func() bool {
		C.slabby_listener_wait(made.listener, C.uint64_t(sleepSlice))
		return true
	})
	return nil
}

// begins needs the lock.
func (w *waitQueue) begins(listener *C.slabby_listener, notifier *os.File) {
	w.listener = listener
	w.notifier = notifier
	w.tickets = map[uint64]chan uint64{}
	w.ended = make(chan struct{})
}

// openPolled needs the lock. The error of a refused descriptor wraps the system's.
func (w *waitQueue) openPolled(handle *C.slabby_allocator) error {
	raw := newRawError()
	made := C.slabby_go_listen(handle, &raw)
	if made.status != 0 {
		return descriptorError(made.status, &raw)
	}
	// The file closes its descriptor, the listener its own.
	file, err := pollable(int(made.fd), "slabby-notifier")
	if err != nil {
		C.slabby_listener_destroy(made.listener)
		return err
	}
	w.begins(made.listener, file)
	var signals [8]byte
	go w.serve(func() bool {
		// Fails only once the file is closed.
		_, err := file.Read(signals[:])
		return err == nil
	})
	return nil
}

// serve hands out what is granted until the pool is closed, or the queue is. await returns when
// there may be something, and false when there will be nothing more.
func (w *waitQueue) serve(await func() bool) {
	for open := true; open; {
		goesOn := await()
		w.lock.Lock()
		if open = w.handOut() && goesOn && !w.closed; !open {
			w.end()
		}
		w.lock.Unlock()
	}
	close(w.ended)
}

// handOut answers the tickets that were granted; false once the core says that no more will be.
// Needs the lock.
func (w *waitQueue) handOut() bool {
	for {
		taken := C.slabby_go_wait_take(w.listener)
		for at := range taken.count {
			ticket := uint64(taken.tickets[at])
			w.tickets[ticket] <- uint64(taken.refs[at])
			delete(w.tickets, ticket)
		}
		if taken.count == 0 {
			return Status(taken.status) != StatusClosed
		}
	}
}

// end needs the lock.
func (w *waitQueue) end() {
	w.closed = true
	for _, granted := range w.tickets {
		granted <- poolClosed
	}
	clear(w.tickets)
	if w.notifier != nil {
		w.notifier.Close()
	}
	C.slabby_listener_destroy(w.listener)
	w.listener = nil
}

// cancel leaves the queue: leftUnserved, or what the ticket had brought before.
func (w *waitQueue) cancel(ticket uint64, granted <-chan uint64) uint64 {
	w.lock.Lock()
	defer w.lock.Unlock()
	if _, waiting := w.tickets[ticket]; !waiting {
		return <-granted
	}
	delete(w.tickets, ticket)
	return uint64(C.slabby_go_wait_cancel(w.listener, C.uint64_t(ticket)).value)
}

// expire leaves the queue because the time is over: ErrTimeout or ErrClosed, which the core counts, or what the ticket
// had brought before.
func (w *waitQueue) expire(ticket uint64, granted <-chan uint64) (uint64, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if _, waiting := w.tickets[ticket]; !waiting {
		return <-granted, nil
	}
	delete(w.tickets, ticket)
	left := C.slabby_go_wait_expire(w.listener, C.uint64_t(ticket))
	return uint64(left.value), statusError(left.status)
}

// close ends the waits of a pool that is closed: each gets ErrClosed.
func (w *waitQueue) close() {
	w.lock.Lock()
	w.closed = true
	notifier, ended := w.notifier, w.ended
	w.lock.Unlock()
	if notifier != nil {
		notifier.Close()
	}
	if ended != nil {
		<-ended
	}
}
