// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// waitLogged waits until a log has a text: the watcher comes a moment behind the event.
func waitLogged(t *testing.T, log *lockedBuffer, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !log.has(text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q was never logged:\n%s", text, log)
		}
	}
}

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
		waitLogged(t, &log, "event=breaker_opened")
		wantError(t, "SetOption", other.SetOption(slabby.OptionSecure, 1), nil)
		waitLogged(t, &otherLog, "event=option_changed")
		mustRelease(t, ref)
		wantError(t, "Close", pool.Close(), nil)
		wantError(t, "Close", pool.Close(), nil)
		waitLogged(t, &log, "event=closed")
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
	select {
	case <-heard:
	case <-time.After(time.Minute):
		t.Fatal("the handler never returned")
	}
}

type handlerFunc func(line string)

func (f handlerFunc) Write(line []byte) (int, error) {
	f(string(line))
	return len(line), nil
}

// Guards: the goroutine that waits for events is there while pools with a logger are, and no longer.
func TestWatcherEndsWithItsPools(t *testing.T) {
	collect(t, "the end of the last watcher", func() bool { return !watcherRuns() })
	pool := newPool(t, 64, 4, textLogger(&lockedBuffer{}))
	collect(t, "the start of a watcher", watcherRuns)
	ref := mustAllocate(t, pool)
	mustRelease(t, ref)
	wantError(t, "Close", pool.Close(), nil)
	collect(t, "its end", func() bool { return !watcherRuns() })
}

func watcherRuns() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), ".(*watcher).run")
}

// Guards: where no watcher is to be had the logger hears that, and LogEvents serves.
func TestLoggerWithoutWatcher(t *testing.T) {
	collect(t, "the end of the last watcher", func() bool { return !watcherRuns() })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 100)
	watching := 0
	for { // until the process has no watcher left
		begun := make(chan error, 1)
		go func() { begun <- slabby.WatchEvents(ctx, func(slabby.Event, uint64) {}) }()
		watching++
		select {
		case err := <-begun:
			ended <- err
			wantError(t, "the last watcher", err, slabby.ErrBusy)
		case <-time.After(20 * time.Millisecond):
			go func() { ended <- <-begun }()
			continue
		}
		break
	}
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
	for range watching {
		<-ended
	}
}
