// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"sync"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// Batches go on while the gate closes and opens: it locks the caches from another CPU, at any moment of a run of
// releases, and no slab is lost.
func TestBatchesBesideTheGate(t *testing.T) {
	pool := newPool(t, 64, 4000)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	workers.Add(1)
	go func() {
		defer workers.Done()
		refs := make([]slabby.SlabRef, 64)
		for {
			select {
			case <-stop:
				return
			default:
			}
			wantError(t, "AllocateBatch", pool.AllocateBatch(refs), nil)
			wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
		}
	}()
	for start := time.Now(); time.Since(start) < 300*time.Millisecond; {
		for _, tracking := range []int64{int64(slabby.LatencyTrackingOff), int64(slabby.LatencyTrackingSampled)} {
			wantError(t, "SetOption", pool.SetOption(slabby.OptionLatencyTracking, tracking), nil)
		}
	}
	close(stop)
	workers.Wait()
	if used := pool.Stats().UsedSlabs; used != 0 {
		t.Errorf("%d slabs are in use, and nobody has one", used)
	}
	checkQuiet(t, pool)
}
