// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// rounds is small where instrumentation makes each call slow.
func rounds(t *testing.T, full int) int {
	if testing.Short() {
		return full / 20
	}
	return full
}

// Demand never exceeds capacity (a credit is taken before each allocate and given back after its
// release returned), so any refusal is a lie. No slab is ever in two hands.
func TestCreditsNeverMeetOutOfMemory(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 64, 1000} {
		for _, cached := range []bool{true, false} {
			pool := newPool(t, 64, capacity, slabby.WithPCPUCache(cached))
			hammerWithCredits(t, pool, capacity, rounds(t, 20_000))
			if t.Failed() {
				t.Fatalf("capacity %d, cache %v", capacity, cached)
			}
			checkQuiet(t, pool)
		}
	}
}

func hammerWithCredits(t *testing.T, pool *slabby.Slabby, capacity, count int) {
	credits := make(chan struct{}, capacity)
	owners := make([]atomic.Bool, capacity)
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for at := range count {
				credits <- struct{}{}
				if !useOne(t, pool, owners, uint64(worker)<<32|uint64(at)) {
					return
				}
				<-credits
			}
		}()
	}
	wait.Wait()
}

func useOne(t *testing.T, pool *slabby.Slabby, owners []atomic.Bool, stamp uint64) bool {
	ref, err := pool.Allocate()
	if err != nil {
		t.Errorf("Allocate within the credit: %v", err)
		return false
	}
	id := ref.ID()
	if owners[id].Swap(true) {
		t.Errorf("slab %d is in two hands", id)
		return false
	}
	data := ref.GetBytes()
	binary.LittleEndian.PutUint64(data, stamp)
	if stamp%7 == 0 {
		runtime.Gosched()
	}
	if found := binary.LittleEndian.Uint64(data); found != stamp {
		t.Errorf("slab %d holds %x, not %x", id, found, stamp)
		return false
	}
	owners[id].Store(false)
	if err := ref.Release(); err != nil {
		t.Errorf("Release: %v", err)
		return false
	}
	return true
}

// checkQuiet compares the counters of a pool that no goroutine uses with what must be.
func checkQuiet(t *testing.T, pool *slabby.Slabby) {
	t.Helper()
	s := pool.Stats()
	if s.UsedSlabs != 0 || s.AvailableSlabs != s.TotalSlabs {
		t.Errorf("quiet pool: %d used, %d of %d available", s.UsedSlabs, s.AvailableSlabs, s.TotalSlabs)
	}
	if s.TotalAllocations != s.TotalDeallocations {
		t.Errorf("%d allocations, %d deallocations", s.TotalAllocations, s.TotalDeallocations)
	}
	sum := s.PCPUCacheHits + s.LockFreeHits + s.ShardHits + s.GateHits + s.GuardHits + s.HeapFallbacks
	if sum != s.TotalAllocations {
		t.Errorf("the tiers served %d of %d allocations", sum, s.TotalAllocations)
	}
}

// Of several goroutines that release one reference exactly one succeeds.
func TestOneReleaseWins(t *testing.T) {
	pool := newPool(t, 64, 4)
	for range rounds(t, 20_000) {
		ref := mustAllocate(t, pool)
		var won atomic.Int32
		var wait sync.WaitGroup
		for range 3 {
			wait.Add(1)
			go func() {
				defer wait.Done()
				switch err := ref.Release(); err {
				case nil:
					won.Add(1)
				case slabby.ErrDoubleDeallocation:
				default:
					t.Errorf("Release: %v", err)
				}
			}()
		}
		wait.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d of 3 releases succeeded", won.Load())
		}
	}
	checkQuiet(t, pool)
}

// Random numbers are no references, and a reference of one pool is none of another.
func TestForgedAndForeignReferencesAreRefused(t *testing.T) {
	pool, other := newPool(t, 64, 100), newPool(t, 64, 100)
	foreign, err := other.BatchAllocate(100)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := pool.BatchAllocate(50)
	if err != nil {
		t.Fatal(err)
	}
	known := map[uint64]bool{}
	for _, ref := range mine {
		known[ref.Ref()] = true
	}
	for _, ref := range foreign {
		wantError(t, "Deallocate of another pool's", pool.Deallocate(ref), slabby.ErrInvalidReference)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range rounds(t, 200_000) {
		number := random.Uint64()
		if random.IntN(2) == 0 {
			number = mine[0].Ref() ^ 1<<random.IntN(64)
		}
		ref := pool.RefOf(number)
		if known[number] {
			continue
		}
		if ref.IsValid() || bytesPanic(ref) == nil || ref.Pin() == nil || ref.Release() == nil {
			t.Fatalf("the forged reference %#x was accepted", number)
		}
	}
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(mine), nil)
	wantError(t, "BatchDeallocate", other.BatchDeallocate(foreign), nil)
	checkQuiet(t, pool)
}

// The tag of a reference and the CPU of a biased word lie in the same bits: no CPU may take one for the other.
func TestOtherTagsAreRefusedOnEveryCPU(t *testing.T) {
	pool := newPool(t, 64, 1000)
	mine := mustAllocate(t, pool)
	end := time.Now().Add(50 * time.Millisecond)
	var wait sync.WaitGroup
	for range 2 * runtime.NumCPU() {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for time.Now().Before(end) {
				for _, tag := range []uint64{1, 2, 4095, 4094} {
					err := pool.RefOf(mine.Ref() + tag<<52).Release()
					if !errors.Is(err, slabby.ErrInvalidReference) {
						t.Errorf("a reference with the tag %d above: %v", tag, err)
						return
					}
				}
			}
		}()
	}
	wait.Wait()
	mustRelease(t, mine)
}

// A pinned slab stays what it is while others try to release it.
func TestPinsHoldAgainstReleases(t *testing.T) {
	pool := newPool(t, 64, 2)
	for range rounds(t, 5_000) {
		ref := mustAllocate(t, pool)
		wantError(t, "Pin", ref.Pin(), nil)
		done := make(chan error)
		go func() { done <- ref.Release() }()
		wantError(t, "Release of a pinned slab", <-done, slabby.ErrPinned)
		go func() { done <- ref.ReleaseDeferred() }()
		wantError(t, "ReleaseDeferred", <-done, nil)
		if ref.IsValid() {
			t.Fatal("a dying reference is valid")
		}
		wantError(t, "Unpin", ref.Unpin(), nil)
		wantError(t, "Unpin once more", ref.Unpin(), slabby.ErrUseAfterFree)
	}
	checkQuiet(t, pool)
}
