// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"math/rand"
	"strings"
	"testing"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

// Guards: the slice of a slab leads back to its reference, in pools that Go reads itself and in those
// that the core has to look at.
func TestReferencesOfBytes(t *testing.T) {
	for name, options := range map[string][]slabby.AllocatorOption{
		"plain":          nil,
		"sampled guards": {slabby.WithGuardSampleRate(2)},
		"heap":           {slabby.WithHeapFallback()},
		"audit":          {slabby.WithAudit(64)},
	} {
		t.Run(name, func(t *testing.T) {
			pool, other := newPool(t, 300, 20, options...), newPool(t, 300, 20, options...)
			count := 20
			if name == "heap" {
				count = 25
			}
			var refs []slabby.SlabRef
			for range count {
				refs = append(refs, mustAllocate(t, pool))
			}
			for _, ref := range refs {
				data := ref.GetBytes()
				found, err := pool.RefOfBytes(data[:0])
				if err != nil || found.Ref() != ref.Ref() {
					t.Fatalf("RefOfBytes: %v, %v, want %v", found, err, ref)
				}
				_, err = pool.RefOfBytes(data[1:])
				wantError(t, "RefOfBytes inside a slab", err, slabby.ErrInvalidReference)
				wantError(t, "ReleaseBytes inside a slab", pool.ReleaseBytes(data[7:]), slabby.ErrInvalidReference)
				address, instance, err := slabby.PoolOf(data[7:])
				wantAddress, wantInstance, _ := pool.Handle()
				if err != nil || address != wantAddress || instance != wantInstance {
					t.Fatalf("PoolOf: %d, %d, %v", address, instance, err)
				}
				for _, part := range [][]byte{data[7:], data[:0]} {
					if found := slabby.PoolAmong(part, nil, other, pool); found != pool {
						t.Fatalf("PoolAmong: %v is of %v", ref, found)
					}
				}
				if found := slabby.PoolAmong(data, other); found != nil {
					t.Fatalf("PoolAmong: %v is of %v", ref, found)
				}
			}
			for _, ref := range refs {
				data := ref.GetBytes()
				wantError(t, "ReleaseBytes", pool.ReleaseBytes(data), nil)
				if ref.IsValid() {
					t.Fatal("a slab that was released by its bytes is live")
				}
			}
		})
	}
}

func TestReleaseByBytes(t *testing.T) {
	pool := newPool(t, 64, 4)
	ref := mustAllocate(t, pool)
	data := ref.GetBytes()
	wantError(t, "Pin", ref.Pin(), nil)
	wantError(t, "ReleaseBytes of a pinned slab", pool.ReleaseBytes(data), slabby.ErrPinned)
	wantError(t, "Unpin", ref.Unpin(), nil)
	wantError(t, "ReleaseBytes", pool.ReleaseBytes(data), nil)
	err := pool.ReleaseBytes(data)
	wantError(t, "ReleaseBytes twice", err, slabby.ErrDoubleDeallocation)
	if !strings.Contains(err.Error(), "after its release") {
		t.Errorf("ReleaseBytes twice says %q", err)
	}
	_, err = pool.RefOfBytes(data)
	wantError(t, "RefOfBytes of a free slab", err, slabby.ErrUseAfterFree)

	fast, id, err := pool.AllocateFast()
	wantError(t, "AllocateFast", err, nil)
	_, err = pool.RefOfBytes(fast)
	wantError(t, "RefOfBytes of a fast slab", err, slabby.ErrInvalidReference)
	wantError(t, "ReleaseBytes of a fast slab", pool.ReleaseBytes(fast), nil)
	wantError(t, "DeallocateFast", pool.DeallocateFast(id), slabby.ErrDoubleDeallocation)

	other := newPool(t, 64, 4)
	ref = mustAllocate(t, other)
	wantError(t, "ReleaseBytes of another pool", pool.ReleaseBytes(ref.GetBytes()), slabby.ErrInvalidReference)
	mustRelease(t, ref)
	if slabby.PoolAmong(data) != nil || slabby.PoolAmong(nil, pool) != nil ||
		slabby.PoolAmong(make([]byte, 8), pool) != nil {
		t.Error("what is in no pool is in one")
	}
	for what, err := range map[string]error{
		"no bytes":     pool.ReleaseBytes(nil),
		"nil pool":     (*slabby.Slabby)(nil).ReleaseBytes(data),
		"no bytes ref": func() error { _, err := pool.RefOfBytes(nil); return err }(),
		"no bytes of":  func() error { _, _, err := slabby.PoolOf(nil); return err }(),
	} {
		wantError(t, what, err, slabby.ErrInvalidArgument)
	}
	_, _, err = slabby.PoolOf(make([]byte, 10))
	wantError(t, "PoolOf of Go's memory", err, slabby.ErrInvalidReference)
}

// Guards: of many random addresses none is accepted but the starts of live slabs.
func TestRandomAddressesAreRefused(t *testing.T) {
	const slabs = 50
	pool := newPool(t, 96, slabs)
	starts := map[uintptr]slabby.SlabRef{}
	var base unsafe.Pointer
	for range slabs {
		ref := mustAllocate(t, pool)
		first := unsafe.Pointer(unsafe.SliceData(ref.GetBytes()))
		starts[uintptr(first)] = ref
		if base == nil || uintptr(first) < uintptr(base) {
			base = first
		}
	}
	draw := rand.New(rand.NewSource(1))
	for range 100_000 {
		at := unsafe.Add(base, draw.Intn(slabs*200))
		found, err := pool.RefOfBytes(unsafe.Slice((*byte)(at), 1))
		if ref, live := starts[uintptr(at)]; live != (err == nil) || live && ref.Ref() != found.Ref() {
			t.Fatalf("%p: %v, %v", at, found, err)
		}
	}
	for _, ref := range starts {
		mustRelease(t, ref)
	}
}
