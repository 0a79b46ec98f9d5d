// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

func spawn(wait *sync.WaitGroup, work func()) {
	wait.Add(1)
	go func() {
		defer wait.Done()
		work()
	}()
}

// overAndOver does work again and again in a goroutine of its own; the returned function ends it.
func overAndOver(work func()) (end func()) {
	stop := make(chan struct{})
	var wait sync.WaitGroup
	spawn(&wait, func() {
		for {
			select {
			case <-stop:
				return
			default:
				work()
			}
		}
	})
	return func() {
		close(stop)
		wait.Wait()
	}
}

// Slabs that goroutines gave back lie in leases, and count as cached; a call that empties caches gets them,
// and every slab can be had whatever lease it lies in.
func TestLeasesHoldNothingBack(t *testing.T) {
	const capacity = 1000
	pool := newPool(t, 64, capacity)
	var wait sync.WaitGroup
	for range 16 {
		spawn(&wait, func() {
			for range 1000 {
				if err := useReference(pool); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	stats := pool.Stats()
	if stats.TotalAllocations != 16_000 || stats.TotalDeallocations != 16_000 || stats.UsedSlabs != 0 {
		t.Errorf("not exact: %+v", stats)
	}
	if stats.CachedSlabs == 0 || stats.PCPUCacheHits < 15_000 {
		t.Errorf("%d slabs cached, %d hits: leases do not serve", stats.CachedSlabs, stats.PCPUCacheHits)
	}
	refs := make([]slabby.SlabRef, 0, capacity)
	for range capacity {
		refs = append(refs, mustAllocate(t, pool))
	}
	_, err := pool.Allocate()
	wantError(t, "one more", err, slabby.ErrOutOfMemory)
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
	checkQuiet(t, pool)
}

// More Ps than before find leases of their own.
func TestLeasesFollowGOMAXPROCS(t *testing.T) {
	procs := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(procs)
	pool := newPool(t, 64, 10_000)
	for _, procs := range []int{1, 8, 3, 1} {
		runtime.GOMAXPROCS(procs)
		var wait sync.WaitGroup
		for range 2 * procs {
			spawn(&wait, func() {
				for range rounds(t, 20_000) {
					if err := useReference(pool); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
	}
	stats := pool.Stats()
	if missed := stats.TotalAllocations - stats.PCPUCacheHits; missed*50 > stats.TotalAllocations {
		t.Errorf("%d of %d allocations missed the leases", missed, stats.TotalAllocations)
	}
	checkQuiet(t, pool)
}

// Goroutines that migrate, block and die while the gate opens and closes: no goroutine within the credit is
// refused, no slab is in two hands, and the numbers are right to the unit.
func TestGoroutinesComeAndGo(t *testing.T) {
	const capacity, goroutines = 200, 100
	span := 5 * time.Second
	switch {
	case os.Getenv("SLABBY_FULL") != "":
		span = time.Minute
	case testing.Short():
		span = 2 * time.Second
	}
	pool := newPool(t, 64, capacity)
	credits := make(chan struct{}, capacity)
	owners := make([]atomic.Bool, capacity)
	handed := make(chan slabby.SlabRef, capacity)
	end := time.Now().Add(span)
	var served atomic.Uint64
	var wait sync.WaitGroup
	for number := range goroutines {
		spawn(&wait, func() {
			for life := 0; time.Now().Before(end) && !t.Failed(); life++ {
				died := make(chan struct{})
				go func() {
					defer close(died)
					if comeAndGo(t, pool, credits, owners, handed, uint64(number+life)) {
						served.Add(1)
					}
					if life%3 == 0 {
						runtime.Goexit()
					}
				}()
				<-died
			}
		})
	}
	spawn(&wait, func() {
		for time.Now().Before(end) {
			if _, err := pool.Trim(); err != nil {
				t.Error(err)
			}
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	})
	wait.Wait()
	for len(handed) > 0 {
		giveBack(t, owners, <-handed)
	}
	stats := pool.Stats()
	if stats.TotalAllocations != served.Load() || stats.TotalDeallocations != served.Load() {
		t.Errorf("%d allocations and %d releases counted of %d", stats.TotalAllocations,
			stats.TotalDeallocations, served.Load())
	}
	checkQuiet(t, pool)
}

// comeAndGo allocates one slab within the credit, and releases it, or another one that another goroutine
// allocated.
func comeAndGo(t *testing.T, pool *slabby.Slabby, credits chan struct{}, owners []atomic.Bool,
	handed chan slabby.SlabRef, number uint64) bool {
	credits <- struct{}{}
	ref, err := pool.Allocate()
	if err != nil {
		t.Errorf("Allocate within the credit: %v", err)
		return false
	}
	if owners[ref.ID()].Swap(true) {
		t.Error("a slab in two hands")
	}
	ref.GetBytes()[0] = byte(number)
	switch number % 4 {
	case 0:
		runtime.Gosched()
	case 1:
		time.Sleep(time.Microsecond)
	case 2:
		select {
		case handed <- ref:
			ref = <-handed
		default:
		}
	}
	giveBack(t, owners, ref)
	<-credits
	return true
}

func giveBack(t *testing.T, owners []atomic.Bool, ref slabby.SlabRef) {
	owners[ref.ID()].Store(false)
	if err := ref.Release(); err != nil {
		t.Errorf("Release: %v", err)
	}
}

// Batches from a lease, past its ends, and with a bad reference in the middle.
func TestBatchesOverLeases(t *testing.T) {
	pool := newPool(t, 64, 1000)
	batch := make([]slabby.SlabRef, 120)
	total := uint64(0)
	for round := range 200 {
		count := 1 + round*7%len(batch)
		wantError(t, "AllocateBatch", pool.AllocateBatch(batch[:count]), nil)
		total += uint64(count)
		seen := map[int32]bool{}
		for _, ref := range batch[:count] {
			if seen[ref.ID()] || !ref.IsValid() {
				t.Fatal("a slab twice in a batch, or none")
			}
			seen[ref.ID()] = true
		}
		stale := batch[count/2]
		mustRelease(t, stale)
		released, err := pool.DeallocateBatch(batch[:count])
		wantError(t, "DeallocateBatch", err, slabby.ErrDoubleDeallocation)
		if released != count-1 {
			t.Fatalf("%d of %d released", released, count-1)
		}
	}
	stats := pool.Stats()
	if stats.TotalAllocations != total || stats.TotalDeallocations != total {
		t.Errorf("%d and %d counted, want %d", stats.TotalAllocations, stats.TotalDeallocations, total)
	}
}

// Ids and references share leases; each count is exact.
func TestFastCountsOverLeases(t *testing.T) {
	pool := newPool(t, 64, 1000)
	for range 1000 {
		wantError(t, "by id", useFast(pool), nil)
		wantError(t, "by reference", useReference(pool), nil)
	}
	stats := pool.Stats()
	if stats.FastAllocations != 1000 || stats.FastDeallocations != 1000 || stats.TotalAllocations != 2000 ||
		stats.TotalDeallocations != 2000 {
		t.Errorf("%+v", stats)
	}
	_, id, err := pool.AllocateFast()
	wantError(t, "AllocateFast", err, nil)
	wantError(t, "DeallocateFast", pool.DeallocateFast(id), nil)
	wantError(t, "DeallocateFast again", pool.DeallocateFast(id), slabby.ErrDoubleDeallocation)
	ref := mustAllocate(t, pool)
	wantError(t, "DeallocateFast of a reference's slab", pool.DeallocateFast(ref.ID()),
		slabby.ErrInvalidSlabID)
	mustRelease(t, ref)
}

// A protection that is switched on while slabs lie in leases: every release after that is seen by it.
func TestSecureSwitchedOnOverLeases(t *testing.T) {
	pool := newPool(t, 64, 1000)
	refs, err := pool.BatchAllocate(100)
	wantError(t, "BatchAllocate", err, nil)
	for _, ref := range refs {
		copy(ref.GetBytes(), "secret")
	}
	wantError(t, "half of them", pool.BatchDeallocate(refs[:50]), nil)
	wantError(t, "SetOption", pool.SetOption(slabby.OptionSecure, 1), nil)
	wantError(t, "the others", pool.BatchDeallocate(refs[50:]), nil)
	for range 1000 {
		ref := mustAllocate(t, pool)
		if ref.GetBytes()[0] != 0 {
			t.Fatal("a slab still has its old bytes")
		}
		refs = append(refs, ref)
	}
	wantError(t, "all", pool.BatchDeallocate(refs[100:]), nil)
}

// Samples stand for all allocations; tracking all of them times each.
func TestSamplesOverLeases(t *testing.T) {
	const count = 100_000
	pool := newPool(t, 64, 1000)
	for range count {
		wantError(t, "use", useReference(pool), nil)
	}
	if samples := pool.Stats().LatencySamples; samples < count/128 || samples > count/32 {
		t.Errorf("%d samples of %d allocations", samples, count)
	}
	wantError(t, "SetOption", pool.SetOption(slabby.OptionLatencyTracking,
		int64(slabby.LatencyTrackingAll)), nil)
	before := pool.Stats().LatencySamples
	for range 1000 {
		wantError(t, "use", useReference(pool), nil)
	}
	if samples := pool.Stats().LatencySamples - before; samples != 1000 {
		t.Errorf("%d samples of 1000 allocations", samples)
	}
}

// crossings is how many calls of a few thousand rounds go into C.
func crossings(t *testing.T, round func(pool *slabby.Slabby)) int64 {
	pool := newPool(t, 64, 4096)
	for range 3000 {
		round(pool)
	}
	before := runtime.NumCgoCall()
	for range 3000 {
		round(pool)
	}
	return runtime.NumCgoCall() - before
}

// A warm pool stays in Go, whatever it is used by: each of these is all that its pool sees.
func TestCrossings(t *testing.T) {
	few := crossings(t, func(pool *slabby.Slabby) { mustRelease(t, mustAllocate(t, pool)) })
	if few > 300 {
		t.Skip("every call crosses here")
	}
	batch := make([]slabby.SlabRef, 32)
	data := make([][]byte, len(batch))
	for name, round := range map[string]func(pool *slabby.Slabby) error{
		"AllocateContext": func(pool *slabby.Slabby) error {
			ref, err := pool.AllocateContext(context.Background())
			return errors.Join(err, ref.Release())
		},
		"AllocateWithTimeout": func(pool *slabby.Slabby) error {
			ref, err := pool.AllocateWithTimeout(time.Second)
			return errors.Join(err, ref.Release())
		},
		"AllocateBatch": func(pool *slabby.Slabby) error {
			return errors.Join(pool.AllocateBatch(batch), pool.BatchDeallocate(batch))
		},
		"AllocateBatchBytes": func(pool *slabby.Slabby) error {
			return errors.Join(pool.AllocateBatchBytes(batch, data), slabby.ReleaseAll(batch...))
		},
		"AllocateBatch and Release": func(pool *slabby.Slabby) error {
			err := pool.AllocateBatch(batch)
			for _, ref := range batch {
				err = errors.Join(err, ref.Release())
			}
			return err
		},
	} {
		calls := crossings(t, func(pool *slabby.Slabby) { wantError(t, name, round(pool), nil) })
		if calls > 300 {
			t.Errorf("%s: %d calls into C in 3,000 rounds", name, calls)
		}
	}
}

// The race detector reports a goroutine that looks at a slab while another one releases it, and nothing where
// slabs change hands as they should. The program that is wrong is this test in a process of its own.
func TestRaceDetectorSeesSlabs(t *testing.T) {
	if !raceEnabled {
		t.Skip("needs -race")
	}
	if mode := os.Getenv("SLABBY_RACE_CHILD"); mode != "" {
		raceThroughSlab(t, mode == "wrong")
		return
	}
	for mode, racy := range map[string]bool{"right": false, "wrong": true} {
		child := exec.Command(os.Args[0], "-test.run=^TestRaceDetectorSeesSlabs$")
		child.Env = append(os.Environ(), "SLABBY_RACE_CHILD="+mode)
		output, err := child.CombinedOutput()
		if racy != bytes.Contains(output, []byte("DATA RACE")) || racy == (err == nil) {
			t.Errorf("%s: %v\n%s", mode, err, output)
		}
	}
}

func raceThroughSlab(t *testing.T, wrong bool) {
	pool := newPool(t, 64, 1)
	ref := mustAllocate(t, pool)
	looked := make(chan struct{})
	go func() {
		ref.GetBytes()[0] = 1
		if !wrong {
			close(looked)
		}
	}()
	// The detector does not look at the slab itself, so it learns of no order from this.
	for ref.GetBytes()[0] == 0 {
		runtime.Gosched()
	}
	if !wrong {
		<-looked
	}
	mustRelease(t, ref)
	mustRelease(t, mustAllocate(t, pool))
}
