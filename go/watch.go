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
	"syscall"
	"unsafe"
)

// WatchEvents calls a function with each event of every pool of the process as it happens, whatever
// language causes it: a breaker that opens, exhaustion, corruption, leaks. It begins with what
// happens from the call on, and returns when the context is done, with its error; run it in a
// goroutine, which holds no thread while it waits. lost counts events that were overwritten before
// they were read, 0 as a rule. A process has 16 watchers at most, those of other languages included.
func WatchEvents(ctx context.Context, each func(event Event, lost uint64)) error {
	var cursor C.uint64_t = 1<<64 - 1
	if _, _, err := readWatched(&cursor, nil); err != nil {
		return err
	}
	descriptor, err := beginWatch()
	if err != nil {
		return err
	}
	defer C.slabby_watch_end(descriptor)
	file, err := pollable(int(descriptor))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = file.Close() })
	defer stop()
	return watch(ctx, file, descriptor, &cursor, each)
}

func beginWatch() (descriptor C.int32_t, err error) {
	raw := newRawError()
	err = detailedError(C.slabby_watch_begin(&descriptor, &raw), &raw)
	return descriptor, err
}

// pollable is a second descriptor of the same notifier, for which the runtime waits.
func pollable(descriptor int) (*os.File, error) {
	second, err := syscall.Dup(descriptor)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(second)
	return os.NewFile(uintptr(second), "slabby-events"), nil
}

func watch(ctx context.Context, file *os.File, descriptor C.int32_t, cursor *C.uint64_t,
	each func(Event, uint64)) error {
	signals := make([]byte, 8)
	records := make([]C.slabby_event, recordChunk)
	for {
		if _, err := file.Read(signals); err != nil {
			if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
				return ctx.Err()
			}
			return err
		}
		C.slabby_watch_clear(descriptor)
		for {
			count, lost, err := readWatched(cursor, records)
			if err != nil {
				return err
			}
			if count == 0 {
				break
			}
			for at := range records[:count] {
				each(eventOf(&records[at]), lost)
				lost = 0
			}
		}
	}
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

// LogEvents hands each event of every pool of the process to a logger as it happens, until the
// context is done: WatchEvents for slog. Run it in a goroutine. It is for pools that other languages make;
// one that was made or adopted with WithLogger has its logger hear its events.
func LogEvents(ctx context.Context, logger *slog.Logger) error {
	return WatchEvents(ctx, func(event Event, lost uint64) {
		if lost > 0 {
			logLost(ctx, logger, lost)
		}
		logEvent(ctx, logger, &event)
	})
}
