// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

func mustResize(t *testing.T, pool *slabby.Slabby, capacity int) uint64 {
	t.Helper()
	awaited, err := pool.Resize(capacity)
	if err != nil {
		t.Fatalf("Resize(%d): %v", capacity, err)
	}
	if stats := pool.Stats(); stats.TotalSlabs != capacity || stats.AwaitedSlabs != awaited {
		t.Fatalf("after Resize(%d): %d slabs, %d awaited, want %d", capacity, stats.TotalSlabs,
			stats.AwaitedSlabs, awaited)
	}
	return awaited
}

// The capacity goes down under live references, which pay when they are released, and up again.
func TestResize(t *testing.T) {
	pool := newPool(t, 64, 4, slabby.WithMaxCapacity(6))
	var refs []slabby.SlabRef
	for range 4 {
		refs = append(refs, mustAllocate(t, pool))
	}
	if awaited := mustResize(t, pool, 1); awaited != 3 {
		t.Errorf("%d slabs are awaited, want 3", awaited)
	}
	for _, ref := range refs[1:] {
		_, err := pool.Allocate()
		wantError(t, "an allocation while slabs are awaited", err, slabby.ErrOutOfMemory)
		mustRelease(t, ref)
	}
	if stats := pool.Stats(); stats.AwaitedSlabs != 0 || stats.ReservedSlabs != 6 {
		t.Errorf("%d awaited, %d reserved", stats.AwaitedSlabs, stats.ReservedSlabs)
	}
	mustResize(t, pool, 6)
	refs = refs[:1]
	for range 5 {
		refs = append(refs, mustAllocate(t, pool))
	}
	_, err := pool.Allocate()
	wantError(t, "the seventh slab", err, slabby.ErrOutOfMemory)
	for _, ref := range refs {
		mustRelease(t, ref)
	}
}

func TestResizeSaysWhatIsWrong(t *testing.T) {
	pool := newPool(t, 64, 4)
	for _, c := range []struct {
		capacity int
		want     error
	}{{0, slabby.ErrInvalidCapacity}, {-1, slabby.ErrInvalidCapacity}, {5, slabby.ErrCapacityExceeded}} {
		awaited, err := pool.Resize(c.capacity)
		wantError(t, "Resize", err, c.want)
		var detail *slabby.Error
		if !errors.As(err, &detail) || detail.Value != int64(c.capacity) || awaited != 0 {
			t.Errorf("Resize(%d): %v", c.capacity, err)
		}
	}
	if pool.Stats().TotalSlabs != 4 {
		t.Error("a refused call has changed the capacity")
	}
}

// Two values of each hot option, neither of which makes an allocation fail.
var hotValues = map[slabby.OptionID][2]int64{
	slabby.OptionMaxAllocLatency:         {0, int64(time.Hour)},
	slabby.OptionLatencyTracking:         {int64(slabby.LatencyTrackingOff), int64(slabby.LatencyTrackingAll)},
	slabby.OptionSecure:                  {0, 1},
	slabby.OptionGuardSampleRate:         {0, 100},
	slabby.OptionCorruptionPolicy:        {0, int64(slabby.CorruptionPolicyReclaim)},
	slabby.OptionDebug:                   {0, 1},
	slabby.OptionHeapFallback:            {0, 1},
	slabby.OptionCircuitBreakerThreshold: {0, 1000},
	slabby.OptionCircuitBreakerTimeout:   {int64(time.Second), int64(30 * time.Second)},
	slabby.OptionCircuitBreakerProbes:    {1, 3},
	slabby.OptionHealthChecks:            {0, 1},
	slabby.OptionHealthInterval:          {int64(time.Second), int64(2 * time.Second)},
	slabby.OptionDegradeAt:               {0, 80},
	slabby.OptionSurviveAt:               {0, 95},
}

// keepBusy allocates and releases until done; it counts.
func keepBusy(t *testing.T, pool *slabby.Slabby, done *atomic.Bool, served *atomic.Uint64) {
	for !done.Load() {
		ref, err := pool.Allocate()
		if err == nil {
			err = ref.Release()
		}
		if err != nil {
			t.Errorf("while an option changes: %v", err)
			return
		}
		served.Add(1)
	}
}

func setAndGet(t *testing.T, pool *slabby.Slabby, option slabby.OptionID, value int64) {
	t.Helper()
	if err := pool.SetOption(option, value); err != nil {
		t.Errorf("option %d = %d: %v", option, value, err)
	}
	if now, err := pool.GetOption(option); err != nil || now != value {
		t.Errorf("option %d is %d (%v), want %d", option, now, err, value)
	}
}

// Every hot option changes while eight goroutines allocate; every cold one is refused.
func TestOptionsChangeAsTheContractSays(t *testing.T) {
	pool := newPool(t, 64, 256, slabby.WithMaxCapacity(256))
	var done atomic.Bool
	var served atomic.Uint64
	var workers sync.WaitGroup
	for range 8 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			keepBusy(t, pool, &done, &served)
		}()
	}
	for _, known := range contractOptions {
		option := known.id
		if !known.hot {
			err := pool.SetOption(option, 1)
			wantError(t, "a cold option", err, slabby.ErrColdOption)
			if err != nil && !strings.Contains(err.Error(), "fixed when the pool is made") {
				t.Errorf("option %d: %v", option, err)
			}
			continue
		}
		values, known := hotValues[option]
		if !known {
			t.Errorf("option %d is hot, and there are no values for it here", option)
			continue
		}
		for range 3 {
			setAndGet(t, pool, option, values[1])
			setAndGet(t, pool, option, values[0])
		}
	}
	done.Store(true)
	workers.Wait()
	stats := pool.Stats()
	if stats.TotalAllocations != served.Load() || stats.UsedSlabs != 0 {
		t.Errorf("%d allocations and %d in use, want %d and 0", stats.TotalAllocations, stats.UsedSlabs,
			served.Load())
	}
}

// What a hot option was set to is told, once each time. A pool for each: of one code ten a second are told.
func TestHotOptionsAreLogged(t *testing.T) {
	for _, known := range contractOptions {
		option := known.id
		if !known.hot {
			continue
		}
		var log lockedBuffer
		pool := newPool(t, 64, 4, slabby.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		value := hotValues[option][1]
		setAndGet(t, pool, option, value)
		if _, err := pool.LogEvents(context.Background()); err != nil {
			t.Error(err)
		}
		words := fmt.Sprintf("event=option_changed value=%d", value)
		if strings.Count(log.String(), "option_changed") != 1 || !strings.Contains(log.String(), words) {
			t.Errorf("option %d = %d: no %q in\n%s", option, value, words, log.String())
		}
	}
}

func TestSetOptionText(t *testing.T) {
	pool := newPool(t, 64, 4)
	for _, c := range []struct {
		name, text string
		option     slabby.OptionID
		want       int64
	}{
		{"circuit_breaker_timeout", "250ms", slabby.OptionCircuitBreakerTimeout, int64(250 * time.Millisecond)},
		{"secure", "on", slabby.OptionSecure, 1},
		{"latency_tracking", "all", slabby.OptionLatencyTracking, int64(slabby.LatencyTrackingAll)},
	} {
		if err := pool.SetOptionText(c.name, c.text); err != nil {
			t.Errorf("%s = %s: %v", c.name, c.text, err)
		}
		if now, err := pool.GetOption(c.option); err != nil || now != c.want {
			t.Errorf("%s = %s gave %d (%v)", c.name, c.text, now, err)
		}
	}
	wantError(t, "an unknown name", pool.SetOptionText("secur", "on"), slabby.ErrInvalidOption)
	wantError(t, "a foreign unit", pool.SetOptionText("secure", "3s"), slabby.ErrInvalidOption)
	wantError(t, "a cold option", pool.SetOptionText("shards", "3"), slabby.ErrColdOption)
}

// A pool that grew gives batches as large as it is now.
func TestBatchOfAGrownPool(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithMaxCapacity(50))
	if _, err := pool.Resize(50); err != nil {
		t.Fatal(err)
	}
	refs := take(t, pool, 50)
	if _, err := pool.DeallocateBatch(refs); err != nil {
		t.Fatal(err)
	}
	wantError(t, "a batch of 51", pool.AllocateBatch(make([]slabby.SlabRef, 51)), slabby.ErrInvalidBatchSize)
}
