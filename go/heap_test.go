// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// Beside CPU caches a slab of the heap goes back to the heap, however it is released.
func TestHeapSlabsEnterNoCache(t *testing.T) {
	ways := map[string]func(*slabby.Slabby, slabby.SlabRef) error{
		"Release":    func(_ *slabby.Slabby, ref slabby.SlabRef) error { return ref.Release() },
		"Deallocate": func(pool *slabby.Slabby, ref slabby.SlabRef) error { return pool.Deallocate(ref) },
		"BatchDeallocate": func(pool *slabby.Slabby, ref slabby.SlabRef) error {
			return pool.BatchDeallocate([]slabby.SlabRef{ref})
		},
	}
	for name, release := range ways {
		for _, secure := range []string{"off", "on"} {
			t.Run(name+" secure="+secure, func(t *testing.T) {
				releaseBesideCaches(t, release, slabby.WithText("secure", secure))
			})
		}
	}
}

func releaseBesideCaches(t *testing.T, release func(*slabby.Slabby, slabby.SlabRef) error,
	option slabby.AllocatorOption,
) {
	const slabs, back = 1000, 500
	pool := newPool(t, 64, slabs, slabby.WithHeapFallback(), slabby.WithHeapFallbackLimit(3), option)
	own, err := pool.BatchAllocate(slabs)
	wantError(t, "BatchAllocate", err, nil)
	heap := mustAllocate(t, pool)
	if id := heap.ID(); id != slabs {
		t.Fatalf("the slab of the heap has id %d, want %d", id, slabs)
	}
	for _, ref := range own[:back] { // with enough free slabs the caches take what comes back
		mustRelease(t, ref)
	}
	wantError(t, "the release", release(pool, heap), nil)
	if stats := pool.Stats(); stats.HeapSlabs != 0 {
		t.Errorf("%d slabs of the heap are live after the release", stats.HeapSlabs)
	}
	wantError(t, "a second release", release(pool, heap), slabby.ErrDoubleDeallocation)
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(own[back:]), nil)
}
