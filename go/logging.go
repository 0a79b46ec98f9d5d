// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"unsafe"
)

// poolLog passes the events of one pool to its logger, each once, no matter which language caused
// them.
type poolLog struct {
	logger *slog.Logger
	handle *C.slabby_allocator
	// One at a time, so that events are logged in their order.
	mutex  sync.Mutex
	cursor uint64
	// The pool was given up, and its handle with it.
	ended bool
	// Nothing happens to the pool any more.
	closed atomic.Bool
	// Leaks that are being reported with a stack of Go's, in place of their events.
	reported sync.Map
}

// newPoolLog is nil without a logger. What happened before it was made is history.
func newPoolLog(handle *C.slabby_allocator, logger *slog.Logger, history bool) *poolLog {
	if logger == nil {
		return nil
	}
	l := &poolLog{logger: logger, handle: handle}
	for !history {
		events, next, _, err := readEvents(handle, l.cursor)
		if l.cursor = next; err != nil || len(events) == 0 {
			break
		}
	}
	return l
}

// address is the handle as the number that events carry.
func (l *poolLog) address() uint64 {
	return uint64(uintptr(unsafe.Pointer(l.handle)))
}

// logNew passes new events to the logger; if another goroutine is doing so, it waits for that call
// first.
func (l *poolLog) logNew(ctx context.Context) (logged int, err error) {
	l.mutex.Lock()
	logged, err = l.logAndUnlock(ctx)
	l.endClosed()
	return logged, err
}

// logSoon is logNew, but leaves the events to a call that is logging already, which may be the one whose
// handler led here: the core has notified the watcher.
func (l *poolLog) logSoon() {
	if l.mutex.TryLock() {
		_, _ = l.logAndUnlock(context.Background())
		l.endClosed()
	}
}

// endClosed ends the watch for a pool that is closed and has no slab out, after its last event. A
// call that fails to get the lock leaves this to the call that holds the lock, which calls
// endClosed next.
func (l *poolLog) endClosed() {
	if l.closed.Load() && l.mutex.TryLock() {
		_, _ = l.logAndUnlock(context.Background())
		logWatcher.remove(l)
	}
}

// logAndUnlock needs the lock, and gives it back when the handler panics too.
func (l *poolLog) logAndUnlock(ctx context.Context) (logged int, err error) {
	defer l.mutex.Unlock()
	for !l.ended {
		events, next, lost, err := readEvents(l.handle, l.cursor)
		if err != nil {
			return logged, err
		}
		l.cursor = next
		if lost > 0 {
			logLost(ctx, l.logger, lost)
		}
		if len(events) == 0 {
			break
		}
		for at := range events {
			if _, reported := l.reported.Load(events[at].Ref); reported && events[at].Code == EventCodeLeak {
				continue
			}
			logEvent(ctx, l.logger, &events[at])
			logged++
		}
	}
	return logged, nil
}

// logCorruption writes the event of a release to the log before the release returns, unless another
// call is logging.
func (l *poolLog) logCorruption(status C.slabby_status) {
	if l != nil && Status(status) == StatusMemoryCorruption {
		l.logSoon()
	}
}

// ending logs what is left, before the handle is given up. What that causes comes behind the cursor in the events of
// the process.
func (l *poolLog) ending() (cursor C.uint64_t) {
	if l == nil {
		return 0
	}
	_, _ = l.logNew(context.Background())
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.ended = true
	cursor = 1<<64 - 1
	_, _, _ = readWatched(&cursor, nil)
	return cursor
}

// end logs what giving the handle up has caused, such as leaks and the pool's end, and ends the watch.
func (l *poolLog) end(cursor C.uint64_t) {
	if l == nil {
		return
	}
	defer logWatcher.remove(l)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	records := make([]C.slabby_event, recordChunk)
	for {
		count, _, err := readWatched(&cursor, records)
		if err != nil || count == 0 {
			return
		}
		for at := range records[:count] {
			if uint64(records[at].allocator_address) != l.address() {
				continue
			}
			event := eventOf(&records[at])
			if event.Code == EventCodeOpened { // another pool, which has the handle now
				return
			}
			logEvent(context.Background(), l.logger, &event)
		}
	}
}

// logWatcher wakes the logs of pools when the core has events for them. Its goroutine, which waits
// in Go's poller, exists as long as a pool with a logger exists.
var logWatcher watcher

type watcher struct {
	mutex sync.Mutex
	// A pool has several where it was adopted more than once.
	logs map[*poolLog]struct{}
	// What the goroutine waits for, nil without one.
	waiting *eventWatch
}

// add begins to watch for a pool.
func (w *watcher) add(l *poolLog) {
	if l == nil {
		return
	}
	w.mutex.Lock()
	if w.logs == nil {
		w.logs = map[*poolLog]struct{}{}
	}
	w.logs[l] = struct{}{}
	err := w.start()
	w.mutex.Unlock()
	if err != nil {
		l.logger.Warn("slabby: events are logged by calls of LogEvents only, as none can be watched for", "error", err)
	}
	l.logSoon() // what came before the watcher
}

// remove ends the watch for a pool, and for the last pool also the goroutine.
func (w *watcher) remove(l *poolLog) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.logs, l)
	if len(w.logs) == 0 && w.waiting != nil {
		w.waiting.stop()
		w.waiting = nil
	}
}

// start begins the goroutine where there is none.
func (w *watcher) start() error {
	if w.waiting != nil {
		return nil
	}
	waiting, err := beginWatch()
	if err != nil {
		return err
	}
	w.waiting = waiting
	go w.run(waiting)
	return nil
}

func (w *watcher) run(waiting *eventWatch) {
	defer waiting.end()
	_ = waiting.run(func(records []C.slabby_event, lost uint64) {
		for _, l := range w.concerned(records, lost) {
			_, _ = l.logNew(context.Background())
		}
	})
}

// concerned returns the logs of the pools that caused the events, or all logs if some events were
// lost.
func (w *watcher) concerned(records []C.slabby_event, lost uint64) (found []*poolLog) {
	addresses := map[uint64]bool{}
	for at := range records {
		addresses[uint64(records[at].allocator_address)] = true
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for l := range w.logs {
		if lost > 0 || addresses[l.address()] {
			found = append(found, l)
		}
	}
	return found
}

func logLost(ctx context.Context, logger *slog.Logger, lost uint64) {
	logger.WarnContext(ctx, "slabby: events were overwritten before they were logged", "lost", lost)
}

func logEvent(ctx context.Context, logger *slog.Logger, event *Event) {
	levels := [...]slog.Level{
		EventLevelDebug:   slog.LevelDebug,
		EventLevelInfo:    slog.LevelInfo,
		EventLevelWarning: slog.LevelWarn,
		EventLevelError:   slog.LevelError,
	}
	level := slog.LevelError
	if event.Level >= 0 && int(event.Level) < len(levels) {
		level = levels[event.Level]
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(event.Time, level, "slabby: "+event.Text, 0)
	record.AddAttrs(slog.String("pool", event.Pool), slog.String("event", event.Code.String()),
		slog.Int64("value", event.Value))
	if event.Ref != 0 {
		record.AddAttrs(slog.Uint64("ref", event.Ref))
	}
	if event.Suppressed != 0 {
		record.AddAttrs(slog.Uint64("suppressed", uint64(event.Suppressed)))
	}
	// If a handler fails, there is no better place to report that than its own output.
	_ = logger.Handler().Handle(ctx, record)
}
