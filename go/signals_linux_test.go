// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// A signal inside a run of releases leaves words that are freed and ids that no cache has yet: each slab of a batch
// goes back once, whichever instruction the run ended at.
func TestBatchesUnderSignals(t *testing.T) {
	pool := newPool(t, 128, 2000)
	refs := make([]slabby.SlabRef, 64)
	served := uint64(0)
	underManySignals(t, func() bool {
		for range 20 {
			wantError(t, "AllocateBatch", pool.AllocateBatch(refs), nil)
			for _, ref := range refs {
				if data := ref.GetBytes(); data[0] != 0 {
					t.Errorf("the slab of %v is in two hands", ref)
				} else {
					data[0] = 1
				}
			}
			for _, ref := range refs {
				ref.GetBytes()[0] = 0
			}
			wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
			served += uint64(len(refs))
		}
		return !t.Failed()
	})
	stats := pool.Stats()
	if stats.TotalAllocations != served || stats.TotalDeallocations != served || stats.UsedSlabs != 0 {
		t.Errorf("%d served in batches; counted: %+v", served, stats)
	}
	checkQuiet(t, pool)
}

// With shorter pauses a thread does little but handle signals.
const pause = 5 * time.Microsecond

// underManySignals calls work for a second, or until it returns false, on a thread that gets one signal after the
// other: of the kind with which Go preempts goroutines, which does nothing to a program.
func underManySignals(t *testing.T, work func() bool) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	process, thread := syscall.Getpid(), syscall.Gettid()
	defer overAndOver(func() {
		for last := time.Now(); time.Since(last) < pause; {
		}
		if err := syscall.Tgkill(process, thread, syscall.SIGURG); err != nil {
			t.Error(err)
		}
	})()
	for end := time.Now().Add(time.Second); time.Now().Before(end) && work(); {
	}
}
