// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && linux

package slabby_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
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

func cycle(t *testing.T, options ...slabby.AllocatorOption) {
	t.Helper()
	pool, err := slabby.New(64, 100000, options...)
	if err != nil {
		t.Fatal(err)
	}
	mustRelease(t, mustAllocate(t, pool))
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
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
			var first map[string]int
			for i := 1; i <= last; i++ {
				cycle(t, options...)
				if i%100 == 0 {
					collectClosed()
				}
				if i == firstCheck {
					first = footprint(t)
				}
			}
			then := footprint(t)
			for what, before := range first {
				// Go's heap breathes by a few MB of resident memory; address space and locks do not.
				slack := 256
				if what == "VmRSS" {
					slack = 4096
				}
				if then[what] > before+before/100+slack {
					t.Errorf("%s grew from %d to %d kB in %d cycles", what, before, then[what], last-firstCheck)
				}
			}
		})
	}
}

// Guards: pools that are closed and forgotten fill the address space before the collector has a reason
// to run; New then collects them and tries again.
func TestNewCollectsWhenTheSystemRefuses(t *testing.T) {
	if os.Getenv("SLABBY_FEW_ADDRESSES") == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestNewCollectsWhenTheSystemRefuses$")
		child.Env = append(os.Environ(), "SLABBY_FEW_ADDRESSES=1")
		if said, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		return
	}
	space := uint64(footprint(t)["VmSize"])<<10 + 1<<30
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: space, Max: space}); err != nil {
		t.Skip(err)
	}
	for i := 0; i < 1000; i++ {
		cycle(t)
	}
}
