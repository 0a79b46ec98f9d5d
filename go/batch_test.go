// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

// The memory that comes with a batch is what GetBytes returns, from Go's own code and from the core, wherever the slabs
// lie.
func TestBatchBytes(t *testing.T) {
	for name, options := range map[string][]slabby.AllocatorOption{
		"bare":        nil,
		"protected":   {slabby.WithSecure(), slabby.WithBitGuard()},
		"audit":       {slabby.WithAudit(64)},
		"guard slots": {slabby.WithGuardSampleRate(1)},
		"finalizers":  {slabby.WithFinalizers()},
		"no caches":   {slabby.WithPCPUCache(false)},
		"heap":        {slabby.WithHeapFallback()},
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, 100, 1000, options...)
			refs, data := make([]slabby.SlabRef, 30), make([][]byte, 30)
			if name == "heap" {
				all, err := pool.BatchAllocate(990)
				wantError(t, "BatchAllocate", err, nil)
				defer func() { wantError(t, "BatchDeallocate", pool.BatchDeallocate(all), nil) }()
			}
			wantError(t, "AllocateBatchBytes", pool.AllocateBatchBytes(refs, data), nil)
			for at, ref := range refs {
				bytes := ref.GetBytes()
				if len(data[at]) != 100 || cap(data[at]) != 100 || unsafe.SliceData(data[at]) != unsafe.SliceData(bytes) {
					t.Errorf("slab %d: %p, %d bytes; GetBytes: %p, %d", at, data[at], len(data[at]), bytes, len(bytes))
				}
				data[at][0], data[at][99] = 1, 1
			}
			wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
		})
	}
}

// Guards: whatever a caller's slices were before, they are the slabs' memory afterwards, and what somebody still holds
// of that lives on.
func TestBatchBytesOverOtherSlices(t *testing.T) {
	pool, other := newPool(t, 100, 64), newPool(t, 100, 64)
	foreign, err := other.Allocate()
	wantError(t, "Allocate", err, nil)
	refs, data := make([]slabby.SlabRef, 6), make([][]byte, 6)
	for round := range 200 {
		heap := []byte(fmt.Sprint("round ", round))
		first := data[0]
		data[1], data[2], data[3], data[4] = heap, nil, foreign.GetBytes(), first[len(first)/2:]
		held := data[1]
		if round%20 == 0 {
			runtime.GC()
		}
		wantError(t, "AllocateBatchBytes", pool.AllocateBatchBytes(refs, data), nil)
		for at, ref := range refs {
			bytes := ref.GetBytes()
			if len(data[at]) != 100 || cap(data[at]) != 100 || unsafe.SliceData(data[at]) != unsafe.SliceData(bytes) {
				t.Fatalf("slab %d: %p, %d bytes; GetBytes: %p", at, data[at], len(data[at]), bytes)
			}
			clear(data[at])
		}
		if string(held) != fmt.Sprint("round ", round) {
			t.Fatalf("what a slice held before is %q", held)
		}
		wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
	}
	wantError(t, "Release", foreign.Release(), nil)
}

// A slice of another length is refused by name, and a batch that is refused changes nothing.
func TestBatchBytesRefusals(t *testing.T) {
	pool := newPool(t, 100, 20)
	refs, mine := make([]slabby.SlabRef, 21), []byte("mine")
	data := make([][]byte, 21)
	data[0] = mine
	var refused *slabby.Error
	if err := pool.AllocateBatchBytes(refs, data[:3]); !errors.As(err, &refused) ||
		refused.Status != slabby.StatusInvalidArgument ||
		refused.Text != "data has 3 slices for the 21 references of dst; give as many" {
		t.Errorf("3 slices for 21 references: %v", err)
	}
	wantError(t, "more than there are", pool.AllocateBatchBytes(refs, data), slabby.ErrInvalidBatchSize)
	wantError(t, "a nil pool", (*slabby.Slabby)(nil).AllocateBatchBytes(refs, data), slabby.ErrInvalidArgument)
	if (refs[0] != slabby.SlabRef{}) || string(data[0]) != "mine" {
		t.Errorf("a refused batch stored %v and %q", refs[0], data[0])
	}
}

// Guards: a Reset while batches are taken makes references stale; it leads to no panic.
func TestBatchBytesBesideReset(t *testing.T) {
	pool := newPool(t, 64, 400, slabby.WithPCPUCache(false))
	done := make(chan struct{})
	go func() {
		defer close(done)
		refs, data := make([]slabby.SlabRef, 100), make([][]byte, 100)
		for range 2000 {
			if pool.AllocateBatchBytes(refs, data) == nil {
				_ = pool.BatchDeallocate(refs)
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
			_ = pool.Reset()
		}
	}
}
