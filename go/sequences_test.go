// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

// What Go wipes on release is all of the slab and nothing else, whatever its size.
func TestSecureWipesEverySize(t *testing.T) {
	sizes := []int{4096, 16384, 16385, 70001}
	for size := 1; size < 200; size++ {
		sizes = append(sizes, size)
	}
	for _, size := range sizes {
		pool := newPool(t, size, 256, slabby.WithSecure(), slabby.WithBitGuard())
		same := 0 // rounds in which the second slab is the first one: the thread changed its CPU in the others
		for range 20 {
			ref := mustAllocate(t, pool)
			for at := range ref.GetBytes() {
				ref.GetBytes()[at] = 0xFF
			}
			where := &ref.GetBytes()[0]
			wantError(t, "Release", ref.Release(), nil)
			again := mustAllocate(t, pool)
			if &again.GetBytes()[0] == where {
				same++
			}
			if at := bytes.IndexByte(again.GetBytes(), 0xFF); at >= 0 {
				t.Fatalf("size %d: byte %d of the last owner is left", size, at)
			}
			wantError(t, "Release", again.Release(), nil)
		}
		if same == 0 {
			t.Fatalf("size %d: no slab came back at once; nothing to see", size)
		}
		wantError(t, "Close", pool.Close(), nil)
	}
}

// Patterns that Go wrote hold in the core and the reverse; either finds each single byte that differs.
func TestPatternsAreTheCores(t *testing.T) {
	pool := newPool(t, 256, 1024, slabby.WithBitGuard())
	// A batch of a pool with protections crosses, a single call does not.
	byCore := func() slabby.SlabRef {
		refs := make([]slabby.SlabRef, 1)
		wantError(t, "AllocateBatch", pool.AllocateBatch(refs), nil)
		return refs[0]
	}
	byGo := func() slabby.SlabRef { return mustAllocate(t, pool) }
	inCore := func(ref slabby.SlabRef) error { return pool.BatchDeallocate([]slabby.SlabRef{ref}) }
	inGo := func(ref slabby.SlabRef) error { return ref.Release() }
	allocates := map[string]func() slabby.SlabRef{"Go": byGo, "the core": byCore}
	releases := map[string]func(slabby.SlabRef) error{"Go": inGo, "the core": inCore}
	for writer, allocate := range allocates {
		for reader, release := range releases {
			for range 200 {
				wantError(t, writer+" wrote, "+reader+" compared", release(allocate()), nil)
			}
			for _, offset := range []int{-64, -57, -8, -1, 256, 257, 264, 311, 319} {
				ref := allocate()
				*(*byte)(unsafe.Add(unsafe.Pointer(&ref.GetBytes()[0]), offset)) ^= 0x10
				wantError(t, fmt.Sprintf("%s wrote, offset %d flipped, %s compared", writer, offset, reader),
					release(ref), slabby.ErrMemoryCorruption)
			}
		}
	}
}

// Secure that is switched on acts on the very next release.
func TestSecureActsAtOnce(t *testing.T) {
	pool := newPool(t, 64, 1024)
	for round := range 300 {
		on := int64(round % 2)
		ref := mustAllocate(t, pool)
		data := ref.GetBytes()
		for at := range data {
			data[at] = 0xAA
		}
		wantError(t, "SetOption", pool.SetOption(slabby.OptionSecure, on), nil)
		wantError(t, "Release", ref.Release(), nil)
		again := mustAllocate(t, pool)
		if wiped := again.GetBytes()[63] == 0; wiped != (on == 1) && &again.GetBytes()[0] == &data[0] {
			t.Fatalf("round %d: secure %d, last byte %#x", round, on, again.GetBytes()[63])
		}
		wantError(t, "SetOption", pool.SetOption(slabby.OptionSecure, 0), nil)
		wantError(t, "Release", again.Release(), nil)
	}
}

// underSignals lets eight goroutines work for a second while a profile is being taken, and returns how many slabs they
// had together.
func underSignals(t *testing.T, work func(number int, end time.Time) uint64) (served uint64) {
	t.Helper()
	runtime.SetCPUProfileRate(5000)
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Skip("another profile is being taken: ", err)
	}
	defer pprof.StopCPUProfile()
	end := time.Now().Add(time.Second)
	var wait sync.WaitGroup
	counts := make([]uint64, 8)
	for number := range counts {
		spawn(&wait, func() { counts[number] = work(number, end) })
	}
	wait.Wait()
	for _, count := range counts {
		served += count
	}
	return served
}

// Signals restart sequences: with a profile being taken nothing is lost, nothing in two hands, nothing
// counted wrong, in single calls, by id and in batches, bare and protected.
func TestSequencesUnderSignals(t *testing.T) {
	for name, options := range map[string][]slabby.AllocatorOption{
		"bare": nil, "protected": {slabby.WithSecure(), slabby.WithBitGuard()},
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, 128, 2000, options...)
			served := underSignals(t, func(number int, end time.Time) uint64 {
				return mixture(t, pool, byte(number+1), end)
			})
			stats := pool.Stats()
			if stats.TotalAllocations != served || stats.TotalDeallocations != served ||
				stats.FastAllocations != stats.FastDeallocations || stats.UsedSlabs != 0 {
				t.Errorf("%d served; counted: %+v", served, stats)
			}
			checkQuiet(t, pool)
		})
	}
}

// A signal between the two stores of a use by id leaves a count behind, which goes back: by id alone all is counted
// once, and none as by reference.
func TestUsesByIDUnderSignals(t *testing.T) {
	pool := newPool(t, 128, 2000)
	served := underSignals(t, func(_ int, end time.Time) uint64 { return allocateByID(t, pool, end) })
	stats := pool.Stats()
	if stats.FastAllocations != served || stats.FastDeallocations != served || stats.TotalAllocations != served ||
		stats.RefPoolHits != 0 {
		t.Errorf("%d served by id; counted: %+v", served, stats)
	}
	checkQuiet(t, pool)
}

func allocateByID(t *testing.T, pool *slabby.Slabby, end time.Time) (served uint64) {
	for time.Now().Before(end) {
		for range 1000 {
			_, id, err := pool.AllocateFast()
			if err != nil {
				t.Error(err)
				return served
			}
			if err := pool.DeallocateFast(id); err != nil {
				t.Error(err)
				return served
			}
			served++
		}
		_ = pool.Stats()
	}
	return served
}

// mixture uses slabs in every way until the end and returns how many it had. Each holds its owner's mark
// for as long as it is out.
func mixture(t *testing.T, pool *slabby.Slabby, mark byte, end time.Time) (served uint64) {
	refs := make([]slabby.SlabRef, 16)
	check := func(err error) {
		if err != nil {
			t.Error(err)
			runtime.Goexit()
		}
	}
	own := func(data []byte) {
		data[0], data[127] = mark, mark
	}
	still := func(data []byte) {
		if data[0] != mark || data[127] != mark {
			t.Errorf("marked %d, found %d and %d: in two hands", mark, data[0], data[127])
			runtime.Goexit()
		}
	}
	for round := 0; time.Now().Before(end); round++ {
		for range 50 {
			ref, err := pool.Allocate()
			check(err)
			own(ref.GetBytes())
			data, id, err := pool.AllocateFast()
			check(err)
			own(data)
			if round%64 == 0 {
				runtime.Gosched()
			}
			still(ref.GetBytes())
			still(data)
			check(pool.DeallocateFast(id))
			check(ref.Release())
		}
		check(pool.AllocateBatch(refs))
		for _, ref := range refs {
			own(ref.GetBytes())
		}
		for _, ref := range refs {
			still(ref.GetBytes())
		}
		check(pool.BatchDeallocate(refs))
		served += 100 + uint64(len(refs))
	}
	return served
}

// A call that assembly leaves to Go begins there as if the caller had called Go: on a stack that has to grow first,
// while collections move and scan stacks, and with the caller next in a trace.
func TestStacksGrowBehindAssembly(t *testing.T) {
	// Smaller pools have no caches, and every call crosses.
	full, quick := newPool(t, 64, 512), newPool(t, 20_000, 512, slabby.WithSecure(), slabby.WithBitGuard())
	held, err := full.BatchAllocate(512)
	wantError(t, "BatchAllocate", err, nil)
	endCollections := overAndOver(runtime.GC)
	for depth := range 120 {
		var one sync.WaitGroup
		spawn(&one, func() { // a stack of its own, which is small
			deeper(depth, func() {
				ref, err := full.Allocate()
				wantError(t, "Allocate of a full pool", err, slabby.ErrOutOfMemory)
				_, _, err = full.AllocateFast()
				wantError(t, "AllocateFast of a full pool", err, slabby.ErrOutOfMemory)
				wantError(t, "Release of nothing", ref.Release(), slabby.ErrInvalidReference)
				wantError(t, "DeallocateFast of a foreign id", full.DeallocateFast(512), slabby.ErrInvalidSlabID)
				if bytesPanic(ref) == nil {
					t.Error("GetBytes of nothing returns")
				}
				big := mustAllocate(t, quick) // wiped in Go: the slab is large
				wantError(t, "Release", big.Release(), nil)
				wantError(t, "Release, again", big.Release(), slabby.ErrDoubleDeallocation)
			})
		})
		one.Wait()
	}
	endCollections()
	wantError(t, "BatchDeallocate", full.BatchDeallocate(held), nil)
}

// deeper calls work with some hundred bytes more of the stack in use for each step.
//
//go:noinline
func deeper(steps int, work func()) {
	var ballast [128]byte
	if steps == 0 {
		work()
	} else {
		deeper(steps-1, work)
	}
	runtime.KeepAlive(&ballast)
}

// The trace of a panic that begins behind assembly names the caller.
func TestTraceBehindAssembly(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("GetBytes of nothing returns")
		}
		if trace := string(debug.Stack()); !strings.Contains(trace, "TestTraceBehindAssembly(") {
			t.Errorf("the caller is not in %s", trace)
		}
	}()
	_ = slabby.SlabRef{}.GetBytes()
}
