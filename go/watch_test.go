// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// watching runs WatchEvents until the test ends, and hands its events to the channel.
func watching(t *testing.T) <-chan slabby.Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events, ended := make(chan slabby.Event, 1000), make(chan error)
	go func() {
		ended <- slabby.WatchEvents(ctx, func(event slabby.Event, _ uint64) { events <- event })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("WatchEvents: %v", err)
		}
	})
	collect(watchesEvents)
	return events
}

// watchesEvents reports whether a goroutine of WatchEvents waits for events.
func watchesEvents() bool {
	return goroutineIn(".WatchEvents(", ".(*eventWatch).run(", ".(*File).Read(")
}

// goroutineIn reports whether one goroutine is in all these functions.
func goroutineIn(functions ...string) bool {
	stacks := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		missing := func(function string) bool { return !strings.Contains(stack, function) }
		if !slices.ContainsFunc(functions, missing) {
			return true
		}
	}
	return false
}

func nextOf(events <-chan slabby.Event, pool *slabby.Slabby) slabby.Event {
	for {
		if event := <-events; event.Pool == pool.Label() {
			return event
		}
	}
}

// Exhaustion and a breaker that opens are heard as they happen, with the pool that they are of.
func TestWatchEvents(t *testing.T) {
	events := watching(t)
	pool := newPool(t, 64, 1, slabby.WithName("watched"), slabby.WithCircuitBreaker(1, time.Minute))
	if event := nextOf(events, pool); event.Code != slabby.EventCodeOpened || event.Pool != "watched" {
		t.Errorf("%+v", event)
	}
	ref := mustAllocate(t, pool)
	if _, err := pool.Allocate(); err == nil {
		t.Fatal("two of one")
	}
	if event := nextOf(events, pool); event.Code != slabby.EventCodeExhausted {
		t.Errorf("%+v", event)
	}
	if event := nextOf(events, pool); event.Code != slabby.EventCodeBreakerOpened {
		t.Errorf("%+v", event)
	}
	mustRelease(t, ref)
}

// lockedBuffer is a writer for several goroutines.
type lockedBuffer struct {
	mutex sync.Mutex
	text  bytes.Buffer
	// The next write closes it, where a goroutine waits.
	written chan struct{}
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.written != nil {
		close(b.written)
		b.written = nil
	}
	return b.text.Write(text)
}

// waitFor returns once the text was written.
func (b *lockedBuffer) waitFor(text string) {
	for {
		b.mutex.Lock()
		found := bytes.Contains(b.text.Bytes(), []byte(text))
		if b.written == nil {
			b.written = make(chan struct{})
		}
		written := b.written
		b.mutex.Unlock()
		if found {
			return
		}
		<-written
	}
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}

func (b *lockedBuffer) has(text string) bool {
	return strings.Contains(b.String(), text)
}

// slog hears the same, and the function ends with its context.
func TestLogEventsOfTheProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var written lockedBuffer
	ended := make(chan error)
	go func() { ended <- slabby.LogEvents(ctx, slog.New(slog.NewTextHandler(&written, nil))) }()
	collect(watchesEvents)
	newPool(t, 64, 1, slabby.WithName("logged"))
	written.waitFor("pool=logged event=opened")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Guards: the function ends with its context while events keep coming, here from its own callback.
func TestWatchEventsEndsAmongEvents(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	var seen atomic.Int64
	go func() {
		ended <- slabby.WatchEvents(ctx, func(event slabby.Event, _ uint64) {
			if seen.Add(1) == 100 {
				cancel()
			}
			if pool, err := slabby.New(64, 4); err != nil || pool.Close() != nil { // two events for one
				t.Errorf("New in a callback: %v", err)
			}
		})
	}()
	collect(watchesEvents)
	newPool(t, 64, 4)
	select {
	case err := <-ended:
		wantError(t, "WatchEvents", err, context.Canceled)
	case <-time.After(long / 6):
		t.Fatalf("still running after %d events", seen.Load())
	}
	if seen.Load() != 100 {
		t.Errorf("%d events were passed on, want none after the context was done", seen.Load())
	}
}
