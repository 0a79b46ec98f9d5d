// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import (
	"sync/atomic"
	"testing"
	"unsafe"
)

// A batch that would pass a sampling point moves the point to the allocation behind it, and never behind the turn,
// where no allocation would meet it for 2^32 turns.
func TestBatchesMoveTheSamplingPoint(t *testing.T) {
	for _, c := range []struct{ point, turn, count, want uint32 }{
		{105, 100, 10, 110},
		{105, 100, 5, 105},
		{105, 100, 6, 106},
		{100, 100, 1, 101},
		{99, 100, 10, 99},
		{3, 1<<32 - 2, 10, 8},
	} {
		m := magazine{sampleAt: c.point}
		if !m.sampleBehind(c.turn, c.count) || m.sampleAt != c.want {
			t.Errorf("a batch of %d at turn %d moves the point %d to %d, want %d", c.count, c.turn, c.point, m.sampleAt, c.want)
		}
	}
}

// An allocation at the sampling point or behind it goes to the core, which times it.
func TestPassedPointsAreDue(t *testing.T) {
	pool, err := New(64, 4000)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if atomic.LoadPointer(&pool.core) == nil {
		t.Skip("Go runs no sequences here")
	}
	pair := func() {
		ref, err := pool.Allocate()
		if err == nil {
			err = ref.Release()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// Of the layout in slabby.h.
	const caches, rseqCPUs, cacheBytes, header, sampleAt = 80, 92, 2048, 8, 24
	for range 1000 {
		pair()
	}
	for _, passed := range []uint64{0, 1, 0x7FFF} {
		before := pool.Stats().LatencySamples
		first := *(*unsafe.Pointer)(unsafe.Add(pool.core, caches))
		for cpu := range int(*(*uint32)(unsafe.Add(pool.core, rseqCPUs))) {
			cache := unsafe.Add(first, cpu*cacheBytes)
			served := atomic.LoadUint64((*uint64)(unsafe.Add(cache, header))) >> 16
			atomic.StoreUint32((*uint32)(unsafe.Add(cache, sampleAt)), uint32(served-passed)<<16)
		}
		pair()
		if samples := pool.Stats().LatencySamples - before; samples != 1 {
			t.Errorf("%d allocations behind the point: %d were timed, not one", passed, samples)
		}
	}
}
