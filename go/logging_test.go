// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/internal/pooltest"
)

func textLogger(log *lockedBuffer) slabby.AllocatorOption {
	return slabby.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// Guards: a logger hears of its own pool alone, at once, once, without a call of LogEvents, and goes on
// doing so while pools come and go.
func TestLoggerHearsEvents(t *testing.T) {
	for round := range 3 {
		var log, otherLog lockedBuffer
		pool := newPool(t, 64, 1, slabby.WithName(fmt.Sprint("first", round)), textLogger(&log),
			slabby.WithCircuitBreaker(1, time.Hour))
		other := newPool(t, 64, 1, slabby.WithName(fmt.Sprint("second", round)), textLogger(&otherLog))
		ref := mustAllocate(t, pool)
		if _, err := pool.Allocate(); err == nil {
			t.Fatal("two slabs of one")
		}
		log.waitFor("event=breaker_opened")
		wantError(t, "SetOption", other.SetOption(slabby.OptionSecure, 1), nil)
		otherLog.waitFor("event=option_changed")
		mustRelease(t, ref)
		wantError(t, "Close", pool.Close(), nil)
		wantError(t, "Close", pool.Close(), nil)
		log.waitFor("event=closed")
		for _, event := range []string{"opened", "exhausted", "breaker_opened", "closed"} {
			if count := strings.Count(log.String(), "event="+event+" "); count != 1 {
				t.Errorf("%s was logged %d times:\n%s", event, count, &log)
			}
		}
		if log.has("second") || otherLog.has("first") {
			t.Errorf("a logger heard of another pool:\n%s\n%s", &log, &otherLog)
		}
	}
}

// Guards: a handler may use the pool that it hears of, make pools, close them and call LogEvents of others.
func TestHandlersUsePools(t *testing.T) {
	heard := make(chan string, 64)
	var pool *slabby.Slabby
	ready := make(chan struct{})
	other := newPool(t, 64, 4, textLogger(&lockedBuffer{}))
	use := func(line string) {
		if !strings.Contains(line, "option_changed") {
			return
		}
		<-ready
		if ref, err := pool.Allocate(); err != nil || ref.Release() != nil {
			t.Errorf("in a handler: %v", err)
		}
		inner, err := slabby.New(64, 1, textLogger(&lockedBuffer{}))
		if err != nil || inner.Close() != nil {
			t.Errorf("in a handler: %v", err)
		}
		if _, err := other.LogEvents(context.Background()); err != nil {
			t.Error(err)
		}
		wantError(t, "Close in a handler", pool.Close(), nil)
		heard <- line
	}
	pool = newPool(t, 64, 4, slabby.WithLogger(slog.New(slog.NewTextHandler(handlerFunc(use), nil))))
	close(ready)
	wantError(t, "SetOption", pool.SetOption(slabby.OptionSecure, 1), nil)
	<-heard
}

type handlerFunc func(line string)

func (f handlerFunc) Write(line []byte) (int, error) {
	f(string(line))
	return len(line), nil
}

// Guards: the goroutine that waits for events is there while pools with a logger are, and no longer.
func TestWatcherEndsWithItsPools(t *testing.T) {
	collect(func() bool { return !watcherRuns() })
	pool := newPool(t, 64, 4, textLogger(&lockedBuffer{}))
	collect(watcherRuns)
	ref := mustAllocate(t, pool)
	mustRelease(t, ref)
	wantError(t, "Close", pool.Close(), nil)
	collect(func() bool { return !watcherRuns() })
}

func watcherRuns() bool {
	return goroutineIn(".(*watcher).run")
}

// Guards: each of several loggers of one pool hears its events, also after another one is gone.
func TestLoggersOfOnePool(t *testing.T) {
	pool := newPool(t, 64, 4)
	address, instance, err := pool.Handle()
	wantError(t, "Handle", err, nil)
	held := mustAllocate(t, pool)
	var logs [2]lockedBuffer
	var adopted [2]*slabby.Slabby
	for at := range adopted {
		adopted[at], err = slabby.Adopt(address, instance, textLogger(&logs[at]))
		wantError(t, "Adopt", err, nil)
	}
	wantError(t, "SetOption", pool.SetOption(slabby.OptionSecure, 1), nil)
	for at := range logs {
		logs[at].waitFor("event=option_changed value=1")
	}
	adopted[0] = nil
	collect(func() bool { return logs[0].has("dropped with live slabs") })
	wantError(t, "SetOption", pool.SetOption(slabby.OptionSecure, 0), nil)
	logs[1].waitFor("event=option_changed value=0")
	runtime.KeepAlive(adopted[1])
	mustRelease(t, held)
}

// Guards: a handler that panics leaves the log to the next call.
func TestPanicOfAHandler(t *testing.T) {
	type panics struct{}
	var log lockedBuffer
	handler := contextHandler{slog.NewTextHandler(&log, nil), func(ctx context.Context) {
		if ctx.Value(panics{}) != nil {
			panic(errors.New("of the handler"))
		}
	}}
	ctx := context.WithValue(context.Background(), panics{}, true)
	var pool *slabby.Slabby
	for panicked := false; !panicked; { // the watcher may be first
		pool = newPool(t, 64, 4, slabby.WithLogger(slog.New(handler)))
		wantError(t, "SetOption", pool.SetOption(slabby.OptionSecure, 1), nil)
		panicked = pooltest.PanicOf(func() { _, _ = pool.LogEvents(ctx) }) != nil
	}
	wantError(t, "Close", pool.Close(), nil)
	log.waitFor("pool=" + pool.Label() + " event=closed")
}

type contextHandler struct {
	slog.Handler
	see func(ctx context.Context)
}

func (h contextHandler) Handle(ctx context.Context, record slog.Record) error {
	h.see(ctx)
	return h.Handler.Handle(ctx, record)
}

// Guards: where no watcher is to be had the logger hears that, and LogEvents serves.
func TestLoggerWithoutWatcher(t *testing.T) {
	collect(func() bool { return !watcherRuns() })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	const more = 17 // than the watchers of a process
	for range more {
		go func() { ended <- slabby.WatchEvents(ctx, func(slabby.Event, uint64) {}) }()
	}
	wantError(t, "one watcher too many", <-ended, slabby.ErrBusy)
	var log lockedBuffer
	pool := newPool(t, 64, 4, textLogger(&log))
	if !log.has("by calls of LogEvents only") {
		t.Errorf("logged:\n%s", &log)
	}
	wantError(t, "SetOption", pool.SetOption(slabby.OptionSecure, 1), nil)
	if logged, err := pool.LogEvents(context.Background()); logged != 1 || err != nil {
		t.Errorf("LogEvents: %d, %v", logged, err)
	}
	cancel()
	for range more - 1 {
		wantError(t, "a watcher", <-ended, context.Canceled)
	}
}
