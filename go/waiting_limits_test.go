// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && unix

package slabby_test

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// withoutDescriptors runs something while the process may open no file.
func withoutDescriptors(t *testing.T, do func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

// A process without a descriptor to spare waits all the same: for a release, for its time, for its
// context, and for the end of the pool.
func TestWaitsWithoutDescriptors(t *testing.T) {
	pool, err := slabby.New(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	held, _ := pool.Allocate()
	withoutDescriptors(t, func() {
		if _, err := pool.AllocateWithTimeout(time.Millisecond); !errors.Is(err, slabby.ErrTimeout) {
			t.Errorf("a wait without a descriptor answered %v, want ErrTimeout", err)
		}
	})
	got := make(chan slabby.SlabRef)
	go func() {
		ref, err := pool.AllocateWithTimeout(long)
		if err != nil {
			t.Error(err)
		}
		got <- ref
	}()
	untilWaiting(t, pool, 1)
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	held = <-got
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := pool.AllocateContext(ctx)
		ended <- err
	}()
	untilWaiting(t, pool, 1)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait answered %v", err)
	}
	go func() {
		_, err := pool.AllocateContext(context.Background())
		ended <- err
	}()
	untilWaiting(t, pool, 1)
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, slabby.ErrClosed) {
		t.Errorf("a wait for a closed pool answered %v", err)
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
}

// Many contexts that end at once leave in time proportional to their number: tests/core/test_grants.c counts the
// steps, this one says how long it took.
func TestManyContextsEndAtOnce(t *testing.T) {
	const count = 50_000
	if raceEnabled {
		t.Skip("the race detector allows 8,128 goroutines")
	}
	pool, err := slabby.New(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	held, _ := pool.Allocate()
	ctx, cancel := context.WithCancel(context.Background())
	var waiting sync.WaitGroup
	for range count {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			if _, err := pool.AllocateContext(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
	}
	untilWaiting(t, pool, count)
	began := time.Now()
	cancel()
	waiting.Wait()
	t.Logf("%d contexts ended in %v", count, time.Since(began))
	if waiters := pool.Stats().Waiters; waiters != 0 {
		t.Errorf("%d wait still", waiters)
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
}
