// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

var garbage []byte

// collections counts those that 256 MB of garbage cause beside a pool of 128 MB.
func collections(t *testing.T, options ...slabby.AllocatorOption) uint32 {
	t.Helper()
	collectOthers(t)
	pool := newPool(t, 4096, 32_768, options...)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 4096 {
		garbage = make([]byte, 64<<10)
	}
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(pool)
	return after.NumGC - before.NumGC
}

// collectOthers lets what earlier tests dropped go, a pool's ballast too: a large heap is collected rarely as well.
func collectOthers(t *testing.T) {
	t.Helper()
	const smallHeap = 32 << 20
	var now runtime.MemStats
	for end := time.Now().Add(long); ; runtime.Gosched() {
		runtime.GC()
		if runtime.ReadMemStats(&now); now.HeapAlloc < smallHeap {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d bytes of earlier tests are still in use", now.HeapAlloc)
		}
	}
}

func TestHeapBallastSparesCollections(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	without := collections(t)
	with := collections(t, slabby.WithHeapBallast())
	if with > 4 || without < 4*with {
		t.Errorf("%d collections with the ballast, %d without", with, without)
	}
}
