// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
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
	// It watches once it reports a pool that is made now.
	for {
		pool := newPool(t, 64, 1)
		select {
		case event := <-events:
			if event.Pool == pool.Label() {
				return events
			}
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func nextOf(t *testing.T, events <-chan slabby.Event, pool *slabby.Slabby) slabby.Event {
	t.Helper()
	for {
		select {
		case event := <-events:
			if event.Pool == pool.Label() {
				return event
			}
		case <-time.After(time.Minute):
			t.Fatal("no event")
		}
	}
}

// Exhaustion and a breaker that opens are heard as they happen, with the pool that they are of.
func TestWatchEvents(t *testing.T) {
	events := watching(t)
	pool := newPool(t, 64, 1, slabby.WithName("watched"), slabby.WithCircuitBreaker(1, time.Minute))
	if event := nextOf(t, events, pool); event.Code != slabby.EventCodeOpened || event.Pool != "watched" {
		t.Errorf("%+v", event)
	}
	ref := mustAllocate(t, pool)
	if _, err := pool.Allocate(); err == nil {
		t.Fatal("two of one")
	}
	if event := nextOf(t, events, pool); event.Code != slabby.EventCodeExhausted {
		t.Errorf("%+v", event)
	}
	if event := nextOf(t, events, pool); event.Code != slabby.EventCodeBreakerOpened {
		t.Errorf("%+v", event)
	}
	mustRelease(t, ref)
}

// lockedBuffer is a writer for two goroutines.
type lockedBuffer struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(text)
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
	for end := time.Now().Add(time.Minute); !written.has("pool=logged"); {
		if time.Now().After(end) {
			t.Fatal("nothing logged")
		}
		newPool(t, 64, 1, slabby.WithName("logged"))
		time.Sleep(time.Millisecond)
	}
	if !written.has("event=opened") {
		t.Error(written.String())
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
