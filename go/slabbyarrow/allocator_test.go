// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabbyarrow_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/internal/pooltest"
	"github.com/slabby/slabby/go/slabbyarrow"
)

var newPool, used, panicOf = pooltest.New, pooltest.Used, pooltest.PanicOf

func newAllocator(t *testing.T, pools ...*slabby.Slabby) *slabbyarrow.Allocator {
	t.Helper()
	allocator, err := slabbyarrow.NewAllocator(pools...)
	if err != nil {
		t.Fatal(err)
	}
	return allocator
}

func checkMemory(t *testing.T, what string, data []byte, size int) {
	t.Helper()
	if len(data) != size || size > 0 && uintptr(unsafe.Pointer(&data[0]))%64 != 0 {
		t.Errorf("%s: %d bytes at %p", what, len(data), data)
	}
	if bytes.Count(data, []byte{0}) != size {
		t.Errorf("%s: memory that is not zero", what)
	}
}

// Guards: sizes go to the smallest slabs that hold them, what fits nowhere and what an exhausted pool does
// not have to the fallback; everything begins at 64 bytes, is zero, and comes back.
func TestSizes(t *testing.T) {
	large, small := newPool(t, 8192, 2), newPool(t, 100, 2)
	allocator := newAllocator(t, large, small)
	for _, c := range []struct{ size, small, large int }{
		{0, 0, 0}, {1, 1, 0}, {100, 1, 0}, {101, 0, 1}, {8192, 0, 1}, {8193, 0, 0}, {1 << 20, 0, 0},
	} {
		for range 2 {
			data := allocator.Allocate(c.size)
			checkMemory(t, fmt.Sprint(c.size, " bytes"), data, c.size)
			if used(small) != c.small || used(large) != c.large {
				t.Errorf("%d bytes: %d small and %d large slabs used", c.size, used(small), used(large))
			}
			for at := range data {
				data[at] = 0xAA
			}
			allocator.Free(data)
			if used(small, large) != 0 {
				t.Errorf("%d bytes: %d slabs left", c.size, used(small, large))
			}
		}
	}
	var lent [][]byte
	for range 5 {
		lent = append(lent, allocator.Allocate(64))
	}
	if used(small) != 2 || used(large) != 0 {
		t.Errorf("%d small and %d large slabs used", used(small), used(large))
	}
	for at, data := range lent {
		checkMemory(t, fmt.Sprint("of an exhausted pool, ", at), data, 64)
		allocator.Free(data)
	}
	allocator.Free(nil)
	allocator.Free([]byte{})
	if used(small, large) != 0 {
		t.Errorf("%d slabs left", used(small, large))
	}
}

// Guards: random growing and shrinking keeps the bytes that fit, zeroes the others, and leaves nothing behind.
func TestReallocate(t *testing.T) {
	small, large := newPool(t, 128, 8), newPool(t, 1024, 8)
	allocator := newAllocator(t, small, large)
	random := rand.New(rand.NewPCG(7, 11))
	for range 300 {
		data := allocator.Allocate(random.IntN(2000))
		wanted := make([]byte, len(data))
		for range 10 {
			for at := range data {
				data[at] = byte(random.IntN(256))
			}
			copy(wanted, data)
			size := random.IntN(2000)
			before := len(data)
			data = allocator.Reallocate(size, data)
			wanted = append(wanted[:min(before, size)], make([]byte, max(0, size-before))...)
			if len(data) != size || !bytes.Equal(data[:min(before, size)], wanted[:min(before, size)]) {
				t.Fatalf("%d to %d bytes: the contents changed", before, size)
			}
			if used(small, large) > 1 {
				t.Fatalf("%d to %d bytes: %d slabs used by one", before, size, used(small, large))
			}
			if used(small, large) == 1 && bytes.Count(data[min(before, size):], []byte{0}) != max(0, size-before) {
				t.Fatalf("%d to %d bytes: what is new is not zero", before, size)
			}
			copy(wanted, data)
		}
		allocator.Free(data)
		if used(small, large) != 0 {
			t.Fatalf("%d slabs left", used(small, large))
		}
	}
}

// Guards: mistakes are panics with the error, and change nothing.
func TestMistakes(t *testing.T) {
	pool := newPool(t, 256, 4)
	allocator := newAllocator(t, pool)
	data, held := allocator.Allocate(100), allocator.Allocate(100)
	allocator.Free(data)
	for name, c := range map[string]struct {
		call func()
		want error
	}{
		"freed twice":            {func() { allocator.Free(data) }, slabby.ErrDoubleDeallocation},
		"inside a slab":          {func() { allocator.Free(held[8:]) }, slabby.ErrInvalidReference},
		"reallocated after free": {func() { allocator.Reallocate(10, data) }, slabby.ErrUseAfterFree},
		"reallocated inside":     {func() { allocator.Reallocate(10, held[8:]) }, slabby.ErrInvalidReference},
	} {
		if err := panicOf(c.call); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if used(pool) != 1 {
		t.Errorf("%d slabs used, want 1", used(pool))
	}
	allocator.Free(held)

	for name, pools := range map[string][]*slabby.Slabby{
		"none": nil, "nil": {nil}, "two of a size": {pool, newPool(t, 256, 1)},
		"alignment":  {newPool(t, 100, 1, slabby.WithAlignment(16))},
		"finalizers": {newPool(t, 100, 1, slabby.WithFinalizers())},
	} {
		if _, err := slabbyarrow.NewAllocator(pools...); !errors.Is(err, slabby.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Log(err)
		}
	}
}

// Guards: pools with slabs on the heap and on guard slots, and pools that are closed.
func TestOtherPools(t *testing.T) {
	for name, options := range map[string][]slabby.AllocatorOption{
		"heap":      {slabby.WithHeapFallback()},
		"guards":    {slabby.WithGuardSampleRate(2)},
		"protected": {slabby.WithSecure(), slabby.WithBitGuard()},
	} {
		pool := newPool(t, 2048, 4, options...)
		allocator := newAllocator(t, pool)
		var lent [][]byte
		for at := range 20 {
			data := allocator.Allocate(2048)
			checkMemory(t, name, data, 2048)
			data[0], data[2047] = byte(at), byte(at)
			lent = append(lent, data)
		}
		for at, data := range lent {
			if data[0] != byte(at) || data[2047] != byte(at) {
				t.Errorf("%s: two buffers share memory", name)
			}
			allocator.Free(allocator.Reallocate(1+at, data))
		}
		if used(pool) != 0 {
			t.Errorf("%s: %d slabs left", name, used(pool))
		}
	}
	closed := newPool(t, 2048, 4)
	allocator := newAllocator(t, closed)
	data := allocator.Allocate(10)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	after := allocator.Reallocate(5000, data)
	checkMemory(t, "after Close", after, 5000)
	allocator.Free(after)
	if used(closed) != 0 {
		t.Error("the slab of a closed pool is still out")
	}
}

// Guards: neither side makes garbage.
func TestNoGarbage(t *testing.T) {
	allocator := newAllocator(t, newPool(t, 4096, 16))
	if count := testing.AllocsPerRun(1000, func() {
		allocator.Free(allocator.Reallocate(2000, allocator.Allocate(1000)))
	}); count != 0 {
		t.Errorf("%v allocations", count)
	}
}
