// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && linux

package slabby_test

import (
	"fmt"
	"os"
	"runtime"
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

// collectClosed lets the memory of closed pools go: it goes with the collector's cleanups, a little later.
func collectClosed() {
	for i := 0; i < 2; i++ {
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
	}
}

func cycles(t *testing.T, count int, options []slabby.AllocatorOption) {
	t.Helper()
	for i := 1; i <= count; i++ {
		pool, err := slabby.New(64, 100000, options...)
		if err != nil {
			t.Fatal(err)
		}
		mustRelease(t, mustAllocate(t, pool))
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			collectClosed()
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

// Guards: closed pools kept their bookkeeping mapped: 2 MB of address space each.
func TestClosedPoolsKeepNothing(t *testing.T) {
	sets := map[string][]slabby.AllocatorOption{
		"none":    nil,
		"debug":   {slabby.WithDebug()},
		"audit":   {slabby.WithAudit(65536)},
		"secure":  {slabby.WithSecure(), slabby.WithBitGuard()},
		"guarded": {slabby.WithGuardSampleRate(1)},
	}
	last := lastCheck
	if os.Getenv("SLABBY_FULL") != "" {
		last = 100000
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
	for name, options := range sets {
		t.Run(name, func(t *testing.T) {
			cycles(t, firstCheck, options)
			var grown string
			// A thread that Go starts brings a stack and 64 MB for malloc: once, and a leak every time.
			for range 3 {
				before := footprint(t)
				cycles(t, last-firstCheck, options)
				if grown = growth(before, footprint(t)); grown == "" {
					return
				}
			}
			t.Errorf("%s in %d cycles, for the third time in a row", grown, last-firstCheck)
		})
	}
}
