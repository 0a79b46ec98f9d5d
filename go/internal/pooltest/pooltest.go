// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

// Package pooltest is what the tests of this module share with those of the nested modules.
package pooltest

import (
	"runtime"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// New makes a pool that must be sound when the test ends.
func New(t testing.TB, slabSize, capacity int, options ...slabby.AllocatorOption) *slabby.Slabby {
	t.Helper()
	pool, err := slabby.New(slabSize, capacity, options...)
	if err != nil {
		t.Fatalf("New(%d, %d): %v", slabSize, capacity, err)
	}
	t.Cleanup(func() {
		findings, err := pool.Verify()
		if err != nil {
			t.Errorf("Verify: %v", err)
		}
		for _, finding := range findings {
			t.Errorf("Verify found %v in slab %d: %s", finding.Kind, finding.ID, finding.Text)
		}
		if err := pool.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return pool
}

// Used is how many slabs of pools are out, those on the heap included.
func Used(pools ...*slabby.Slabby) (count int) {
	for _, pool := range pools {
		stats := pool.Stats()
		count += stats.UsedSlabs + int(stats.HeapSlabs)
	}
	return count
}

// PanicOf is the error that a call panics with, nil where it returns.
func PanicOf(call func()) (err error) {
	defer func() { err, _ = recover().(error) }()
	call()
	return nil
}

// Collect runs the collector until its cleanups and finalizers have led to what done asks for. Goroutines
// that are ending end meanwhile.
func Collect(done func() bool) {
	for !done() {
		runtime.GC()
	}
}
