// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// No operation on the way of a slab, nor its refusal, allocates on Go's heap.
func TestZeroAllocations(t *testing.T) {
	pool := newPool(t, 4096, 64)
	protected := newPool(t, 4096, 64, slabby.WithSecure(), slabby.WithBitGuard())
	large := newPool(t, 32768, 64, slabby.WithSecure())
	for name, journey := range map[string]func() error{
		"Allocate, GetBytes, Release":    func() error { return useReference(pool) },
		"the same, protected":            func() error { return useReference(protected) },
		"the same, wiped in Go":          func() error { return useReference(large) },
		"AllocateFast, DeallocateFast":   func() error { return useFast(pool) },
		"pins and looks":                 func() error { return pinAndRead(pool) },
		"refusals":                       refusals(t),
		"AllocateBatch, DeallocateBatch": batches(pool),
		"AllocateBatchBytes":             batchesOfBytes(pool),
		"waits that find a slab":         func() error { return waitForNothing(pool) },
	} {
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
}

func useReference(pool *slabby.Slabby) error {
	ref, err := pool.Allocate()
	if err != nil {
		return err
	}
	ref.GetBytes()[0] = 1
	return ref.Release()
}

func useFast(pool *slabby.Slabby) error {
	data, id, err := pool.AllocateFast()
	if err != nil {
		return err
	}
	data[0] = 1
	return pool.DeallocateFast(id)
}

func pinAndRead(pool *slabby.Slabby) error {
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
}

// waitForNothing needs neither a timer, nor statistics, nor a listener: a slab is free.
func waitForNothing(pool *slabby.Slabby) error {
	first, err := pool.AllocateWithTimeout(time.Hour)
	if err != nil {
		return err
	}
	second, err := pool.AllocateContext(context.Background())
	if err != nil {
		return err
	}
	if err := first.Release(); err != nil {
		return err
	}
	return second.Release()
}

func refusals(t *testing.T) func() error {
	full := newPool(t, 64, 1)
	stale := mustAllocate(t, full)
	mustRelease(t, stale)
	held := mustAllocate(t, full)
	t.Cleanup(func() { mustRelease(t, held) })
	return func() error {
		if _, err := full.Allocate(); err != slabby.ErrOutOfMemory {
			return fmt.Errorf("Allocate of an exhausted pool: %v", err)
		}
		if err := stale.Release(); err != slabby.ErrDoubleDeallocation {
			return fmt.Errorf("Release of a stale reference: %v", err)
		}
		return nil
	}
}

func batches(pool *slabby.Slabby) func() error {
	batch := make([]slabby.SlabRef, 16)
	return func() error {
		if err := pool.AllocateBatch(batch); err != nil {
			return err
		}
		_, err := pool.DeallocateBatch(batch)
		return err
	}
}

func batchesOfBytes(pool *slabby.Slabby) func() error {
	refs, data := make([]slabby.SlabRef, 16), make([][]byte, 16)
	return func() error {
		if err := pool.AllocateBatchBytes(refs, data); err != nil {
			return err
		}
		_, err := pool.DeallocateBatch(refs)
		return err
	}
}

func BenchmarkAllocateGetBytesRelease(b *testing.B) {
	pool := newPool(b, 4096, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if err := useReference(pool); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAllocateFast(b *testing.B) {
	pool := newPool(b, 4096, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if err := useFast(pool); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParallel(b *testing.B) {
	pool := newPool(b, 4096, 1000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := useReference(pool); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
