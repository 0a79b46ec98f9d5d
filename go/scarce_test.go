// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && linux

package slabby_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// forgetPools makes pools and drops them without Close, so that the collector alone can end them.
func forgetPools(t *testing.T, count, slabSize, capacity int) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // no collection that New did not ask for
	for i := range count {
		pool, err := slabby.New(slabSize, capacity)
		if err != nil {
			t.Fatalf("pool %d: %v", i, err)
		}
		mustRelease(t, mustAllocate(t, pool))
	}
}

// Guards: forgotten pools are as many as there may be before the collector has a reason to run.
func TestNewCollectsForgottenPoolsAtTheLimitOfPools(t *testing.T) {
	forgetPools(t, 5000, 8, 1)
}

// Guards: forgotten pools fill the address space before the collector has a reason to run.
func TestNewCollectsForgottenPoolsWhenMemoryRunsOut(t *testing.T) {
	const space, slabSize, capacity = 1 << 30, 1 << 20, 300 // 3 pools; threads find space in what is left
	if os.Getenv("SLABBY_SCARCE_MEMORY") == "" {
		child := exec.Command(os.Args[0], "-test.v",
			"-test.run=^TestNewCollectsForgottenPoolsWhenMemoryRunsOut$")
		child.Env = append(os.Environ(), "SLABBY_SCARCE_MEMORY=1")
		said, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if strings.Contains(string(said), "--- SKIP") {
			t.Skipf("%s", said)
		}
		return
	}
	runtime.GC() // its threads have their stacks from here on
	limit := addressSpace(t) + space
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Skip(err)
	}
	forgetPools(t, 50, slabSize, capacity)
}

// addressSpace is what the system counts for this process, in bytes.
func addressSpace(t *testing.T) uint64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var pages uint64
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return pages * uint64(os.Getpagesize())
}
