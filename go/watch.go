// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// WatchEvents calls a function with each event of every pool of the process as it happens, whatever
// language causes it: a breaker that opens, exhaustion, corruption, leaks. It begins with what
// happens from the call on, and returns when the context is done, with its error; run it in a
// goroutine, which holds no thread while it waits. lost counts events that were overwritten before
// they were read, 0 as a rule. A process has 16 watchers at most, those of other languages included.
func WatchEvents(ctx context.Context, each func(event Event, lost uint64)) error {
	events, err := beginWatch()
	if err != nil {
		return err
	}
	defer events.end()
	defer context.AfterFunc(ctx, events.stop)()
	var missed uint64
	err = events.run(func(records []C.slabby_event, lost uint64) {
		missed += lost
		for at := range records {
			if ctx.Err() != nil {
				return
			}
			each(eventOf(&records[at]), missed)
			missed = 0
		}
	})
	if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
		return ctx.Err()
	}
	return err
}

// eventWatch is one of the process's watchers.
type eventWatch struct {
	descriptor C.int32_t
	// A second descriptor of the same notifier, for which the runtime waits.
	file    *os.File
	cursor  C.uint64_t
	stopped atomic.Bool
}

// beginWatch watches the events from now on. The error of a refused descriptor wraps the system's.
func beginWatch() (*eventWatch, error) {
	w := &eventWatch{cursor: 1<<64 - 1}
	raw := newRawError()
	if err := descriptorError(C.slabby_watch_begin(&w.descriptor, &raw), &raw); err != nil {
		return nil, err
	}
	_, _, err := readWatched(&w.cursor, nil)
	if err == nil {
		w.file, err = pollable(int(w.descriptor), "slabby-events")
	}
	if err != nil {
		C.slabby_watch_end(w.descriptor)
		return nil, err
	}
	return w, nil
}

// stop lets run return, also while events keep coming.
func (w *eventWatch) stop() {
	w.stopped.Store(true)
	_ = w.file.Close()
}

// end gives the watcher back, after run has returned.
func (w *eventWatch) end() {
	w.stop()
	C.slabby_watch_end(w.descriptor)
}

// run passes on each event, and the number of events that were overwritten before they could be
// read, until it fails or the watch is stopped.
func (w *eventWatch) run(each func(records []C.slabby_event, lost uint64)) error {
	signals := make([]byte, 8)
	records := make([]C.slabby_event, recordChunk)
	for {
		if _, err := w.file.Read(signals); err != nil {
			return err
		}
		C.slabby_watch_clear(w.descriptor)
		for !w.stopped.Load() {
			count, lost, err := readWatched(&w.cursor, records)
			if err != nil {
				return err
			}
			if count == 0 && lost == 0 {
				break
			}
			each(records[:count], lost)
		}
	}
}

// descriptorError is the detailed error of a call that opens a descriptor: it wraps the system's.
func descriptorError(status C.slabby_status, raw *C.slabby_error) error {
	err := detailedError(status, raw)
	var detailed *Error
	if Status(status) == StatusNoSystemMemory && raw.value != 0 && errors.As(err, &detailed) {
		detailed.cause = syscall.Errno(raw.value)
	}
	return err
}

func readWatched(cursor *C.uint64_t, records []C.slabby_event) (count, lost uint64, err error) {
	var found, missed C.uint64_t
	var first *C.slabby_event
	if len(records) != 0 {
		first = &records[0]
		first.struct_size = C.uint32_t(unsafe.Sizeof(*first))
	}
	status := C.slabby_watch_read(first, &found, &missed, cursor, C.uint64_t(len(records)))
	return uint64(found), uint64(missed), statusError(status)
}

// LogEvents hands each event of every pool of the process to a logger as it happens, until the context is
// done: WatchEvents for slog. Run it in a goroutine. It is for pools that other languages make; a pool
// that was made or adopted with WithLogger passes its events to its own logger.
func LogEvents(ctx context.Context, logger *slog.Logger) error {
	return WatchEvents(ctx, func(event Event, lost uint64) {
		if lost > 0 {
			logLost(ctx, logger, lost)
		}
		logEvent(ctx, logger, &event)
	})
}
