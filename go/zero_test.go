// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// No operation on the way of a slab, nor its refusal, allocates on Go's heap.
func TestZeroAllocations(t *testing.T) {
	pool := newPool(t, 4096, 64)
	full := newPool(t, 64, 1)
	held := mustAllocate(t, full)
	stale := mustAllocate(t, pool)
	mustRelease(t, stale)
	batch := make([]slabby.SlabRef, 16)
	journeys := map[string]func() error{
		"Allocate, GetBytes, Release": func() error {
			ref, err := pool.Allocate()
			if err != nil {
				return err
			}
			ref.GetBytes()[0] = 1
			return ref.Release()
		},
		"AllocateFast, DeallocateFast": func() error {
			data, id, err := pool.AllocateFast()
			if err != nil {
				return err
			}
			data[0] = 1
			return pool.DeallocateFast(id)
		},
		"pins and looks": func() error {
			ref, err := pool.Allocate()
			if err != nil {
				return err
			}
			if err := ref.Pin(); err != nil {
				return err
			}
			if !ref.IsValid() || ref.ID() < 0 {
				return slabby.ErrInvalidReference
			}
			if err := ref.Unpin(); err != nil {
				return err
			}
			return pool.Deallocate(ref)
		},
		"refusals": func() error {
			if _, err := full.Allocate(); err != slabby.ErrOutOfMemory {
				return slabby.ErrInvalidArgument
			}
			if err := stale.Release(); err != slabby.ErrDoubleDeallocation {
				return slabby.ErrInvalidArgument
			}
			return nil
		},
		"AllocateBatch, DeallocateBatch": func() error {
			if err := pool.AllocateBatch(batch); err != nil {
				return err
			}
			_, err := pool.DeallocateBatch(batch)
			return err
		},
	}
	for name, journey := range journeys {
		var failed error
		count := testing.AllocsPerRun(200, func() {
			if err := journey(); err != nil {
				failed = err
			}
		})
		if failed != nil {
			t.Errorf("%s: %v", name, failed)
		}
		// The race detector makes sync.Pool drop what it holds now and then.
		if count != 0 && !raceEnabled {
			t.Errorf("%s: %v allocations a run, want 0", name, count)
		}
	}
	mustRelease(t, held)
}

func BenchmarkAllocateGetBytesRelease(b *testing.B) {
	pool := newPool(b, 4096, 1000)
	b.ReportAllocs()
	for b.Loop() {
		ref, err := pool.Allocate()
		if err != nil {
			b.Fatal(err)
		}
		ref.GetBytes()[0] = 1
		if err := ref.Release(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAllocateFast(b *testing.B) {
	pool := newPool(b, 4096, 1000)
	b.ReportAllocs()
	for b.Loop() {
		data, id, err := pool.AllocateFast()
		if err != nil {
			b.Fatal(err)
		}
		data[0] = 1
		if err := pool.DeallocateFast(id); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParallel(b *testing.B) {
	pool := newPool(b, 4096, 1000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ref, err := pool.Allocate()
			if err != nil {
				b.Error(err)
				return
			}
			ref.GetBytes()[0] = 1
			if err := ref.Release(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
