// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

// Package slabbyarrow lends slabs to Apache Arrow, as its memory.Allocator:
//
//	allocator, err := slabbyarrow.NewAllocator(small, large)
//	builder := array.NewInt64Builder(allocator)
//
// Slabs go back when the last Release of an array, a builder or a memory.Buffer frees them: unlike
// with Arrow's allocator on Go's heap, an object whose Release is forgotten keeps its slabs.
// memory.NewCheckedAllocator around this one finds such places.
package slabbyarrow

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/memory"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/internal/classes"
)

// Arrow requires that buffers begin at a multiple of this many bytes.
const alignment = 64

// Allocator is a memory.Allocator over one or more pools of slabs. It is safe for concurrent use. Memory
// comes from the pool with the smallest slabs that hold it. Where it fits in none, or that pool has no
// slab or refuses (closed, breaker open), it comes from the allocator that was memory.DefaultAllocator
// when this one was made, so Allocate always serves.
type Allocator struct {
	classes  *classes.Classes
	fallback memory.Allocator
}

var _ memory.Allocator = (*Allocator)(nil)

// NewAllocator makes an Allocator of pools with different slab sizes, whose alignment is 64 bytes or more,
// as it is by default; with guard pages only where the slab size is a multiple of 64. Pools with
// WithFinalizers are refused: they would report memory that Arrow holds as leaks. Errors:
// ErrInvalidArgument, with what is wrong.
func NewAllocator(pools ...*slabby.Slabby) (*Allocator, error) {
	sorted, err := classes.Of(pools...)
	if err != nil {
		return nil, err
	}
	for class, pool := range sorted.Pools() {
		aligned, err := pool.GetOption(slabby.OptionAlignment)
		if err != nil {
			return nil, err
		}
		if aligned < alignment {
			return nil, classes.Refused(fmt.Sprintf("the slabs of %d bytes have an alignment of %d; "+
				"Arrow needs %d, use WithAlignment(%d), and with guard pages also WithGuardSlack, or a slab size that %d divides",
				sorted.Size(class), aligned, alignment, alignment, alignment))
		}
		finalizers, err := pool.GetOption(slabby.OptionFinalizers)
		if err != nil {
			return nil, err
		}
		if finalizers != 0 {
			return nil, classes.Refused(fmt.Sprintf("the pool of %d-byte slabs has finalizers, which look for lost "+
				"references, and Arrow's buffers have none; make it without WithFinalizers", sorted.Size(class)))
		}
	}
	return &Allocator{classes: sorted, fallback: memory.DefaultAllocator}, nil
}

// Allocate returns zeroed memory that begins at a multiple of 64 bytes, with len == cap == size.
func (a *Allocator) Allocate(size int) []byte {
	if class := a.classes.For(size); class >= 0 {
		if ref, err := a.classes.Pools()[class].Allocate(); err == nil {
			data := ref.GetBytes()[:size:size]
			clear(data)
			return data
		}
	}
	return a.fallback.Allocate(size)
}

// Reallocate returns the bytes of data in memory of another size, as far as they fit, with zeroes behind
// them. data is not to be used any more: its slab is reused where it is large enough, and given back
// otherwise.
func (a *Allocator) Reallocate(size int, data []byte) []byte {
	class := a.classes.Holding(data)
	if class < 0 {
		if cap(data) == 0 || a.classes.For(size) < 0 {
			return a.fallback.Reallocate(size, data)
		}
		return a.move(size, data)
	}
	pool := a.classes.Pools()[class]
	ref, err := pool.RefOfBytes(data)
	mustFree(err)
	if size > a.classes.Size(class) {
		return a.move(size, data)
	}
	slab := ref.GetBytes()[:size:max(size, 1)]
	clear(slab[min(len(data), size):])
	return slab
}

// move copies the bytes of data to new memory, and frees the old memory.
func (a *Allocator) move(size int, data []byte) []byte {
	moved := a.Allocate(size)
	copy(moved, data)
	a.Free(data)
	return moved
}

// Free gives memory of Allocate or Reallocate back; nil and slices without bytes are ignored.
// Memory that was freed before, or that begins inside a slab, is a mistake of the program: Free
// panics with an *slabby.Error. A second Free is not noticed once the slab serves again. Corruption
// is counted and reported as by every release.
func (a *Allocator) Free(data []byte) {
	class := a.classes.Holding(data)
	if class < 0 {
		a.fallback.Free(data)
		return
	}
	mustFree(a.classes.Pools()[class].ReleaseBytes(data))
}

// mustFree panics with what a release was refused for.
func mustFree(err error) {
	if status, _ := slabby.StatusOf(err); err != nil && status != slabby.StatusMemoryCorruption {
		panic(err)
	}
}
