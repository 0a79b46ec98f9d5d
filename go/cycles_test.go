// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && linux

package slabby_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

const (
	firstCheck = 500
	lastCheck  = 2000
)

// footprint is what the system counts for this process, in kB.
func footprint(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	found := map[string]int{}
	for _, line := range strings.Split(string(text), "\n") {
		name, rest, _ := strings.Cut(line, ":")
		if name == "VmSize" || name == "VmRSS" || name == "VmLck" {
			var kilobytes int
			if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			found[name] = kilobytes
		}
	}
	return found
}

type cycleSet struct {
	capacity int
	options  []slabby.AllocatorOption
}

func options(list ...slabby.AllocatorOption) []slabby.AllocatorOption {
	return list
}

// use touches what is mapped on first use too.
func use(t *testing.T, pool *slabby.Slabby, capacity int) {
	t.Helper()
	refs := make([]slabby.SlabRef, 0, 101)
	if capacity < cap(refs) {
		for range capacity {
			refs = append(refs, mustAllocate(t, pool))
		}
		if ref, err := pool.Allocate(); err == nil { // of the heap, where there is one
			refs = append(refs, ref)
		}
	} else {
		refs = append(refs, mustAllocate(t, pool))
	}
	if err := refs[0].SetLabel(7); err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		mustRelease(t, ref)
	}
}

func cycles(t *testing.T, count int, set cycleSet) {
	t.Helper()
	for i := 1; i <= count; i++ {
		pool, err := slabby.New(64, set.capacity, set.options...)
		if err != nil {
			t.Fatal(err)
		}
		use(t, pool, set.capacity)
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			collectClosed(t)
		}
	}
}

// growth says what is more than a percent larger than before. Go's heap breathes by a few MB of
// resident memory; address space and locks do not.
func growth(before, now map[string]int) string {
	for what, kilobytes := range before {
		slack := 256
		if what == "VmRSS" {
			slack = 4096
		}
		if now[what] > kilobytes+kilobytes/100+slack {
			return fmt.Sprintf("%s grew from %d to %d kB", what, kilobytes, now[what])
		}
	}
	return ""
}

// growthAtRest waits a while for the last closed pools to go.
func growthAtRest(t *testing.T, before map[string]int) string {
	t.Helper()
	grown := growth(before, footprint(t))
	for end := time.Now().Add(3 * time.Second); grown != "" && time.Now().Before(end); {
		collectClosed(t)
		grown = growth(before, footprint(t))
	}
	return grown
}

// Guards: closed pools kept their bookkeeping mapped: 2 MB of address space each.
func TestClosedPoolsKeepNothing(t *testing.T) {
	const many, few = 100000, 100
	often := []string{"none", "debug", "audit", "heap", "health thread"} // the others in full runs
	// The sets of tests/core/test_cycles.c.
	sets := map[string]cycleSet{
		"none":        {many, nil},
		"debug":       {many, options(slabby.WithDebug())},
		"audit":       {many, options(slabby.WithAudit(65536))},
		"secure":      {many, options(slabby.WithSecure(), slabby.WithBitGuard())},
		"delayed":     {many, options(slabby.WithReuseDelay(1000), slabby.WithShuffle())},
		"guard pages": {few, options(slabby.WithGuardPages())},
		"guarded":     {many, options(slabby.WithGuardSampleRate(1), slabby.WithGuardSlots(64))},
		"heap":        {few, options(slabby.WithHeapFallback(), slabby.WithHeapFallbackLimit(many))},
		"portable":    {many, options(slabby.WithCPUCacheBackend(slabby.CPUCacheBackendPortable))},
		"no caches":   {many, options(slabby.WithPCPUCache(false))},
		"locked": {few, options(slabby.WithPrefault(),
			slabby.WithLockMemory(slabby.LockMemoryBestEffort))},
		"every latency": {many, options(slabby.WithLatencyTracking(slabby.LatencyTrackingAll))},
		"health thread": {many, options(slabby.WithHealthChecks(true))},
		"max capacity":  {few, options(slabby.WithMaxCapacity(many))},
	}
	last := lastCheck
	if os.Getenv("SLABBY_FULL") != "" && !raceEnabled {
		last = 100000
	} else {
		maps.DeleteFunc(sets, func(name string, _ cycleSet) bool { return !slices.Contains(often, name) })
	}
	// The control blocks stay: 12 MB for 4,095 pools, resident once each was used.
	for i := 0; i < 4096; i++ {
		pool, err := slabby.New(8, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, set := range sets {
		t.Run(name, func(t *testing.T) {
			// It stays, so that the health thread, which all pools share, neither ends nor begins.
			newPool(t, 64, set.capacity, set.options...)
			cycles(t, firstCheck, set)
			var grown string
			// A thread that Go starts brings a stack and 64 MB for malloc: once, and a leak every time.
			for range 4 {
				before := footprint(t)
				cycles(t, last-firstCheck, set)
				if raceEnabled {
					return // its own memory grows; what it looks for are races
				}
				if grown = growthAtRest(t, before); grown == "" {
					return
				}
			}
			t.Errorf("%s in %d cycles, for the fourth time in a row", grown, last-firstCheck)
		})
	}
}
