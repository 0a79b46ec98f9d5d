// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// What pools of this kind are known to get wrong, each with the right answer.

// A reused slab must not bring an old reference back to life.
func TestStaleReferenceStaysStale(t *testing.T) {
	pool := newPool(t, 64, 1)
	old := mustAllocate(t, pool)
	mustRelease(t, old)
	for range 100 {
		fresh := mustAllocate(t, pool)
		if fresh.ID() != old.ID() {
			t.Fatalf("a pool of one slab handed out slab %d and %d", old.ID(), fresh.ID())
		}
		if fresh == old || old.IsValid() || bytesPanic(old) == nil {
			t.Fatal("the old reference is valid again")
		}
		wantError(t, "Release of the old reference", old.Release(), slabby.ErrDoubleDeallocation)
		_, err := old.Bytes()
		wantError(t, "Bytes of the old reference", err, slabby.ErrUseAfterFree)
		if !fresh.IsValid() {
			t.Fatal("the old reference released the new owner's slab")
		}
		mustRelease(t, fresh)
	}
}

// Every byte of a slab is the user's: writing all of them is no corruption, whatever lies beside.
func TestWholeSlabIsWritable(t *testing.T) {
	for _, size := range []int{1, 7, 63, 64, 65, 512, 1500, 4096, 70000} {
		pool := newPool(t, size, 3)
		refs, err := pool.BatchAllocate(3)
		if err != nil {
			t.Fatal(err)
		}
		for at, ref := range refs {
			data := ref.GetBytes()
			for i := range data {
				data[i] = byte(at + 1)
			}
		}
		for at, ref := range refs {
			for i, b := range ref.GetBytes() {
				if b != byte(at+1) {
					t.Fatalf("size %d: byte %d of slab %d is %d", size, i, at, b)
				}
			}
			mustRelease(t, ref)
		}
	}
}

// A slice ends where its slab ends: append moves to Go's heap instead of the neighbour.
func TestAppendNeverTouchesTheNeighbour(t *testing.T) {
	pool := newPool(t, 128, 2)
	first, second := mustAllocate(t, pool), mustAllocate(t, pool)
	for _, ref := range []slabby.SlabRef{first, second} {
		data := ref.GetBytes()
		if len(data) != 128 || cap(data) != 128 || ref.Size() != 128 {
			t.Fatalf("len %d, cap %d, Size %d; want 128 each", len(data), cap(data), ref.Size())
		}
	}
	for i := range second.GetBytes() {
		second.GetBytes()[i] = 0xAA
	}
	_ = append(first.GetBytes(), 1, 2, 3)
	for i, b := range second.GetBytes() {
		if b != 0xAA {
			t.Fatalf("append overwrote byte %d of the neighbour with %d", i, b)
		}
	}
	mustRelease(t, first)
	mustRelease(t, second)

	data, id, err := pool.AllocateFast()
	if err != nil || len(data) != 128 || cap(data) != 128 {
		t.Fatalf("AllocateFast: len %d, cap %d, %v", len(data), cap(data), err)
	}
	wantError(t, "DeallocateFast", pool.DeallocateFast(id), nil)
}

// Reset makes every reference stale, also those whose slabs are handed out again.
func TestResetMakesReferencesStale(t *testing.T) {
	pool := newPool(t, 64, 8)
	before, err := pool.BatchAllocate(8)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "Reset", pool.Reset(), nil)
	after, err := pool.BatchAllocate(8)
	if err != nil {
		t.Fatalf("after Reset: %v", err)
	}
	for _, ref := range before {
		if ref.IsValid() {
			t.Fatalf("%v survived Reset", ref)
		}
		wantError(t, "Release of a reset reference", ref.Release(), slabby.ErrDoubleDeallocation)
	}
	for _, ref := range after {
		if !ref.IsValid() {
			t.Fatalf("%v is not valid", ref)
		}
	}
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(after), nil)
}

// A bare id never frees what a reference owns, and a reference never frees what an id owns.
func TestFastIDsAndReferencesStayApart(t *testing.T) {
	pool := newPool(t, 64, 1)
	owning := mustAllocate(t, pool)
	wantError(t, "DeallocateFast of a reference's slab", pool.DeallocateFast(owning.ID()),
		slabby.ErrInvalidSlabID)
	if !owning.IsValid() {
		t.Fatal("a bare id freed a reference's slab")
	}
	mustRelease(t, owning)
	_, id, err := pool.AllocateFast()
	if err != nil || id != owning.ID() {
		t.Fatalf("AllocateFast: slab %d, %v", id, err)
	}
	wantError(t, "stale release over a fast owner", owning.Release(), slabby.ErrDoubleDeallocation)
	if used := pool.Stats().UsedSlabs; used != 1 {
		t.Fatalf("%d slabs used, want 1: the stale release freed the fast owner", used)
	}
	wantError(t, "DeallocateFast", pool.DeallocateFast(id), nil)
	wantError(t, "DeallocateFast twice", pool.DeallocateFast(id), slabby.ErrDoubleDeallocation)
	next := mustAllocate(t, pool)
	wantError(t, "stale id over a reference", pool.DeallocateFast(id), slabby.ErrInvalidSlabID)
	if !next.IsValid() {
		t.Fatal("a stale id freed a reference's slab")
	}
	mustRelease(t, next)
}

// Slabs that other threads' caches hold are free: one goroutine gets all of them.
func TestParkedSlabsAreFound(t *testing.T) {
	const capacity = 512
	pool := newPool(t, 64, capacity)
	var wait sync.WaitGroup
	for range 8 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for range 200 {
				refs, err := pool.BatchAllocate(capacity / 16)
				if err != nil {
					t.Errorf("BatchAllocate: %v", err)
					return
				}
				if err := pool.BatchDeallocate(refs); err != nil {
					t.Errorf("BatchDeallocate: %v", err)
					return
				}
			}
		}()
	}
	wait.Wait()
	var refs []slabby.SlabRef
	for at := range capacity {
		ref, err := pool.Allocate()
		if err != nil {
			t.Fatalf("slab %d of %d: %v", at, capacity, err)
		}
		refs = append(refs, ref)
	}
	_, err := pool.Allocate()
	wantError(t, "one more than there are", err, slabby.ErrOutOfMemory)
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
}

// No limit and no sample make no NaN: a fresh pool's numbers are numbers, and JSON takes them.
func TestNumbersAreNumbers(t *testing.T) {
	pool := newPool(t, 64, 4, slabby.WithMaxAllocLatency(0))
	stats := pool.Stats()
	for name, value := range map[string]float64{
		"avg_alloc_time_ns":   stats.AvgAllocTimeNs,
		"memory_utilization":  stats.MemoryUtilization,
		"fragmentation_ratio": stats.FragmentationRatio,
	} {
		if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
			t.Errorf("%s is %v", name, value)
		}
	}
	if _, err := json.Marshal(stats); err != nil {
		t.Errorf("stats as JSON: %v", err)
	}
	health := pool.HealthCheck()
	for name, value := range map[string]float64{
		"health_score":        health.HealthScore,
		"fragmentation_score": health.FragmentationScore,
		"memory_pressure":     health.MemoryPressure,
		"error_rate":          health.ErrorRate,
		"cache_efficiency":    health.CacheEfficiency,
	} {
		if !(value >= 0 && value <= 1) {
			t.Errorf("%s is %v", name, value)
		}
	}
	if _, err := json.Marshal(health); err != nil {
		t.Errorf("health as JSON: %v", err)
	}
}

// Guards: sizes below 0 are named as they were given, not as what their bits mean without a sign.
func TestNegativeSizes(t *testing.T) {
	for _, size := range []int{-1, -5, math.MinInt} {
		for what, call := range map[string]func() error{
			"slab size": func() error { _, err := slabby.New(size, 10); return err },
			"capacity":  func() error { _, err := slabby.New(64, size); return err },
		} {
			err := call()
			want := slabby.ErrInvalidCapacity
			if what == "slab size" {
				want = slabby.ErrInvalidSlabSize
			}
			wantError(t, what, err, want)
			if text := fmt.Sprintf("%s %d is out of range; choose 1 to", what, size); !strings.Contains(err.Error(), text) {
				t.Errorf("%s %d: %q does not say %q", what, size, err, text)
			}
		}
	}
	pool := newPool(t, 64, 4)
	_, err := pool.Resize(-3)
	wantError(t, "Resize", err, slabby.ErrInvalidCapacity)
	for _, count := range []int{-1, 0, 5000} {
		_, err := pool.BatchAllocate(count)
		wantError(t, "BatchAllocate", err, slabby.ErrInvalidBatchSize)
		if text := fmt.Sprintf("a batch of %d slabs; this pool takes 1 to 4", count); !strings.HasSuffix(err.Error(), text) {
			t.Errorf("a batch of %d: %q does not say %q", count, err, text)
		}
	}
}
