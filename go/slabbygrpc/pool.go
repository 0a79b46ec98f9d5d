// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

// Package slabbygrpc lends slabs to gRPC, as its mem.BufferPool:
//
//	buffers, err := slabbygrpc.NewBufferPool(small, large)
//	server := grpc.NewServer(experimental.BufferPool(buffers))
//	client, err := grpc.NewClient(target, experimental.WithBufferPool(buffers))
//
// experimental.SetDefaultBufferPool makes it the pool of the proto codec, too.
package slabbygrpc

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"
	"weak"

	"google.golang.org/grpc/mem"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/internal/classes"
)

// BufferPool is a mem.BufferPool over one or more pools of slabs. It is safe for concurrent use. A buffer
// comes from the pool with the smallest slabs that hold it. Where it fits in none, or that pool has no
// slab or refuses (closed, breaker open), the buffer comes from gRPC's own pool, so Get always serves.
//
// gRPC drops the buffers of a stream that is cut off with messages unread, and a program may forget to
// free a mem.Buffer. Such a slab stays out, and counts as used, unless ReclaimLost was called.
type BufferPool struct {
	classes  *classes.Classes
	tables   []*table
	fallback mem.BufferPool
}

var _ mem.BufferPool = (*BufferPool)(nil)

// table has an entry for each slab of a pool.
type table struct {
	entries   []entry
	reclaims  atomic.Bool
	reclaimed atomic.Uint64
}

// entry is what the holder of the slab knows of its buffer.
type entry struct {
	// The buffer of a slab that is not lent, so that Get need not make one.
	free *buffer
	// Of the buffer that was made last; 0 once the collector has it.
	address atomic.Uintptr
}

// buffer is the target of Get's pointer, and the slab behind it. While it is lent, only that
// pointer keeps it reachable, so its finalizer runs when it is lost.
type buffer struct {
	data []byte
	ref  slabby.SlabRef
	id   uint
	// Weak, or entries and buffers would be a circle that the collector leaves alone.
	of weak.Pointer[table]
}

// NewBufferPool makes a BufferPool of pools with different slab sizes, each above 1 KiB: gRPC puts smaller
// buffers in no pool. Each slab takes 16 bytes of Go's heap beside it, and a hundred from its first use.
// Errors: ErrInvalidArgument, with what is wrong.
func NewBufferPool(pools ...*slabby.Slabby) (*BufferPool, error) {
	sorted, err := classes.Of(pools...)
	if err != nil {
		return nil, err
	}
	if size := sorted.Size(0); mem.IsBelowBufferPoolingThreshold(size) {
		return nil, classes.Refused(fmt.Sprintf("slabs of %d bytes; gRPC never gives buffers of up to 1024 bytes back, "+
			"choose larger slabs", size))
	}
	b := &BufferPool{classes: sorted, fallback: mem.DefaultBufferPool()}
	for _, pool := range sorted.Pools() {
		b.tables = append(b.tables, &table{entries: make([]entry, pool.Stats().ReservedSlabs)})
	}
	return b, nil
}

// ReclaimLost makes the garbage collector give back slabs whose buffers are lost: the pointer that Get
// returned is no longer reachable. Every mem.Buffer keeps it reachable, so it suits programs that
// leave their messages to gRPC and codecs that copy, as that of proto does. It does not suit code that
// keeps bytes of a buffer without its pointer or mem.Buffer: those would change below it.
func (b *BufferPool) ReclaimLost() {
	for _, t := range b.tables {
		t.reclaims.Store(true)
	}
}

// Reclaimed counts the slabs that ReclaimLost brought back.
func (b *BufferPool) Reclaimed() (count uint64) {
	for _, t := range b.tables {
		count += t.reclaimed.Load()
	}
	return count
}

// Get returns a buffer of the length. Its bytes are zero, to the end of its capacity, as those of gRPC's
// own pools are.
func (b *BufferPool) Get(length int) *[]byte {
	class := b.classes.For(length)
	if class < 0 {
		return b.fallback.Get(length)
	}
	ref, err := b.classes.Pools()[class].Allocate()
	if err != nil {
		return b.fallback.Get(length)
	}
	t, id := b.tables[class], uint(ref.ID())
	if id >= uint(len(t.entries)) { // on the core's heap: memory of gRPC is as good
		mustPut(ref.Release())
		return b.fallback.Get(length)
	}
	data := ref.GetBytes()
	clear(data)
	lent := t.take(id)
	lent.data, lent.ref = data[:length], ref
	return &lent.data
}

// Put gives a buffer of Get back. The pointer may be Get's, which leads to nil from then on, or another one
// to a slice that begins where Get's did. A slice of a slab that was put before, or that begins inside a
// slab, is a mistake of the program: Put panics with an *slabby.Error. A second Put is not noticed
// once the slab is lent again. Corruption is counted and reported as by every release.
func (b *BufferPool) Put(data *[]byte) {
	class := b.classes.Holding(*data)
	if class < 0 {
		b.fallback.Put(data)
		return
	}
	pool := b.classes.Pools()[class]
	if ref, err := pool.RefOfBytes(*data); err == nil {
		if lent := b.tables[class].lentBy(data, uint(ref.ID())); lent != nil {
			mustPut(lent.release())
			return
		}
	}
	mustPut(pool.ReleaseBytes(*data))
}

// lentBy is the buffer of a live slab, if that is what a pointer leads to.
func (t *table) lentBy(data *[]byte, id uint) *buffer {
	if id >= uint(len(t.entries)) || t.entries[id].address.Load() != uintptr(unsafe.Pointer(data)) {
		return nil
	}
	return (*buffer)(unsafe.Pointer(data)) // the caller has the pointer, so the buffer is there
}

// release gives the slab back, and the buffer with it.
func (b *buffer) release() error {
	ref := b.ref
	b.data, b.ref = nil, slabby.SlabRef{}
	b.of.Value().entries[b.id].free = b
	return ref.Release()
}

// take is the buffer of a slab that the caller has allocated.
func (t *table) take(id uint) *buffer {
	at := &t.entries[id]
	lent := at.free
	if lent == nil {
		lent = &buffer{id: id, of: weak.Make(t)}
		runtime.SetFinalizer(lent, (*buffer).lost)
		at.address.Store(uintptr(unsafe.Pointer(lent)))
	}
	at.free = nil
	return lent
}

// lost is the finalizer: the buffer is no longer reachable, so no other code can give its slab
// back.
func (b *buffer) lost() {
	t := b.of.Value()
	if t == nil {
		return
	}
	// Before another buffer can have this address.
	t.entries[b.id].address.CompareAndSwap(uintptr(unsafe.Pointer(b)), 0)
	// If the slice was put by another pointer, the slab is back already, and only the buffer was left.
	if t.reclaims.Load() && b.ref.IsValid() && b.ref.Release() == nil {
		t.reclaimed.Add(1)
	}
}

// mustPut panics with what a release was refused for.
func mustPut(err error) {
	if status, _ := slabby.StatusOf(err); err != nil && status != slabby.StatusMemoryCorruption {
		panic(err)
	}
}
