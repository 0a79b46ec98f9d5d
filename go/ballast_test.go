// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// nextCollection is the size of the heap at which the next collection begins, beside a pool of 128 MB. How many
// collections some garbage causes would depend on what else the machine does: they end later on a busy one.
func nextCollection(t *testing.T, options ...slabby.AllocatorOption) uint64 {
	t.Helper()
	collectOthers(t)
	pool := newPool(t, 4096, 32_768, options...)
	runtime.GC()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	runtime.KeepAlive(pool)
	return now.NextGC
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
	const size = 4096 * 32_768
	if without := nextCollection(t); without > size {
		t.Errorf("without the ballast the next collection is at %d bytes", without)
	}
	if with := nextCollection(t, slabby.WithHeapBallast()); with < 2*size {
		t.Errorf("with the ballast the next collection is at %d bytes", with)
	}
}

// Guards: a pool that is closed has no ballast any more, however long somebody holds it.
func TestHeapBallastEndsWithItsPool(t *testing.T) {
	const size = 4096 * 32_768
	pool := newPool(t, 4096, 32_768, slabby.WithHeapBallast())
	var now runtime.MemStats
	if runtime.ReadMemStats(&now); now.HeapAlloc < size {
		t.Fatalf("a heap of %d bytes with the ballast", now.HeapAlloc)
	}
	wantError(t, "Close", pool.Close(), nil)
	runtime.GC()
	if runtime.ReadMemStats(&now); now.HeapAlloc >= size {
		t.Errorf("a heap of %d bytes after Close", now.HeapAlloc)
	}
	runtime.KeepAlive(pool)
}

// Guards: a ballast that cannot be had is refused with what to do, and no pool is made.
func TestHeapBallastIsRefused(t *testing.T) {
	pools := len(slabby.Pools())
	refused := func(slabSize, capacity int) {
		t.Helper()
		_, err := slabby.New(slabSize, capacity, slabby.WithHeapBallast())
		wantError(t, "New", err, slabby.ErrNoSystemMemory)
		if err == nil || !strings.Contains(err.Error(), "WithHeapBallast") ||
			!strings.Contains(err.Error(), fmt.Sprint(slabSize*capacity)) {
			t.Errorf("the error is %v", err)
		}
	}
	refused(1<<30, 1<<20)
	refused(1<<20, 1<<21)
	func() {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(64 << 20))
		refused(1<<20, 65)
	}()
	pool := newPool(t, 64, 10)
	address, instance, err := pool.Handle()
	wantError(t, "Handle", err, nil)
	_, err = slabby.Adopt(address, instance, slabby.WithHeapBallast())
	wantError(t, "Adopt", err, slabby.ErrColdOption)
	if now := len(slabby.Pools()); now > pools+1 {
		t.Errorf("%d pools, %d before", now, pools)
	}
}
