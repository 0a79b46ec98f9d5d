// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/internal/pooltest"
)

var newPool, collect = pooltest.New, pooltest.Collect

func mustAllocate(t testing.TB, pool *slabby.Slabby) slabby.SlabRef {
	t.Helper()
	ref, err := pool.Allocate()
	if err != nil {
		t.Fatalf("Allocate: %v", err)
	}
	return ref
}

func mustRelease(t testing.TB, ref slabby.SlabRef) {
	t.Helper()
	if err := ref.Release(); err != nil {
		t.Fatalf("Release: %v", err)
	}
}

func wantError(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || (want == nil) != (got == nil) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// bytesPanic is the error that GetBytes panics with, nil where it returns.
func bytesPanic(ref slabby.SlabRef) (err *slabby.Error) {
	defer func() {
		if recovered := recover(); recovered != nil {
			err = recovered.(*slabby.Error)
		}
	}()
	_ = ref.GetBytes()
	return nil
}

// threadCount is the number of this process' threads.
func threadCount(t testing.TB) int {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skipf("threads cannot be counted here: %v", err)
	}
	return len(threads)
}

// collectClosed lets the memory of closed pools go: it goes with the collector's cleanups, which run a little later,
// several at a time, so that some may not have ended yet.
func collectClosed(t *testing.T) {
	t.Helper()
	for range 2 {
		cleaned := make(chan struct{})
		runtime.AddCleanup(new([64]byte), func(done chan struct{}) { close(done) }, cleaned)
		runtime.GC()
		select {
		case <-cleaned:
		case <-time.After(long):
			t.Fatal("the collector ran no cleanups")
		}
	}
}
