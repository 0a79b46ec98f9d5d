// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/internal/pooltest"
)

func ExampleSlabby_Copy() {
	pool, err := slabby.New(4096, 16)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	written, err := pool.Copy(os.Stdout, strings.NewReader("copied through a slab\n"))
	fmt.Println(written, err)
	// Output:
	// copied through a slab
	// 22 <nil>
}

func ExampleWriter() {
	pool, err := slabby.New(8, 16)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	w := pool.NewWriter()
	defer w.Close()
	fmt.Fprintf(w, "%s of %d slabs", "a message", 3)
	fmt.Println(w.Len())
	w.WriteTo(os.Stdout)
	// Output:
	// 20
	// a message of 3 slabs
}

func ExampleReleaseAll() {
	pool, err := slabby.New(64, 16)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	refs := make([]slabby.SlabRef, 4)
	refs[0], refs[1] = pool.MustAllocate(), pool.MustAllocate() // the rest is not needed
	fmt.Println(slabby.ReleaseAll(refs...), pool.Stats().UsedSlabs)
	// Output: <nil> 0
}

// A reader that runs ahead of its handlers waits for a slab, so the sender is slowed down in place of
// memory growing.
func ExampleSlabby_AllocateContext_connection() {
	pool, err := slabby.New(4, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	client, server := net.Pipe()
	go func() {
		io.WriteString(client, "onetwosix")
		client.Close()
	}()

	type message struct {
		ref    slabby.SlabRef
		length int
	}
	messages := make(chan message, 16)
	go func() {
		defer close(messages)
		for {
			ref, err := pool.AllocateContext(context.Background()) // waits while both slabs are in use
			if err != nil {
				return
			}
			length, err := server.Read(ref.GetBytes()[:3])
			if err != nil {
				ref.Release()
				return
			}
			messages <- message{ref, length}
		}
	}()
	for m := range messages {
		fmt.Printf("%s\n", m.ref.GetBytes()[:m.length])
		if err := m.ref.Release(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// one
	// two
	// six
}

// An exhausted pool lends slices of Go's heap; a slice that is no live slab's is a panic, with the error.
func TestBufferPoolWithoutSlabs(t *testing.T) {
	for name, options := range map[string][]slabby.AllocatorOption{
		"plain": nil, "secure": {slabby.WithSecure()}, "finalizers": {slabby.WithFinalizers()},
		"debug": {slabby.WithDebug()}, "no caches": {slabby.WithPCPUCache(false)},
		"guard slots": {slabby.WithGuardSampleRate(1)},
	} {
		t.Run(name, func(t *testing.T) { lendWithoutSlabs(t, newPool(t, 512, 1, options...)) })
	}
}

func lendWithoutSlabs(t *testing.T, pool *slabby.Slabby) {
	buffers := pool.BufferPool()
	slab, made := buffers.Get(), buffers.Get()
	if len(slab) != 512 || len(made) != 512 {
		t.Fatalf("%d and %d bytes", len(slab), len(made))
	}
	buffers.Put(made)
	buffers.Put(slab)
	panicOf := func(data []byte) (err error) {
		defer func() { err, _ = recover().(error) }()
		buffers.Put(data)
		return nil
	}
	err := panicOf(slab)
	if !errors.Is(err, slabby.ErrDoubleDeallocation) && !errors.Is(err, slabby.ErrInvalidReference) { // of a slot
		t.Errorf("Put of a released slab: %v", err)
	}
	wantError(t, "Put of the middle of a slab", panicOf(slab[8:]), slabby.ErrInvalidReference)
	checkQuiet(t, pool)
}

// Guards: a mistake with a slab of the core's heap is a panic as well.
func TestBufferPoolOfTheHeap(t *testing.T) {
	pool := newPool(t, 512, 1, slabby.WithHeapFallback())
	held := mustAllocate(t, pool)
	buffers := pool.BufferPool()
	slab := buffers.Get()
	err := pooltest.PanicOf(func() { buffers.Put(slab[8:]) })
	wantError(t, "Put of the middle of a slab", err, slabby.ErrInvalidReference)
	buffers.Put(slab)
	mustRelease(t, held)
	buffers.Put(make([]byte, 512)) // nobody's
	buffers.Put(nil)
	checkQuiet(t, pool)
}

// Guards: a lent slice has no reference to lose, so the collector reports none.
func TestBufferPoolWithFinalizers(t *testing.T) {
	pool := newPool(t, 512, 8, slabby.WithFinalizers())
	buffers := pool.BufferPool()
	lent := [][]byte{buffers.Get(), buffers.Get(), buffers.Get()}
	func() { mustAllocate(t, pool) }() // a reference that is lost behind them: once it is found, so would theirs be
	collect(func() bool { return pool.Stats().Leaks != 0 })
	collectClosed(t)
	if leaks := pool.Stats().Leaks; leaks != 1 {
		t.Errorf("%d leaks; one reference was lost, and buffers are in use", leaks)
	}
	for _, data := range lent {
		buffers.Put(data)
	}
	checkQuiet(t, pool)
}

func TestWriterHoldsWhatIsWritten(t *testing.T) {
	pool := newPool(t, 100, 50)
	text := bytes.Repeat([]byte("0123456789abc"), 300) // 3,900 bytes of 5,000
	w := pool.NewWriter()
	for at := 0; at < len(text); at += 37 {
		count, err := w.Write(text[at:min(at+37, len(text))])
		wantError(t, "Write", err, nil)
		if count != min(37, len(text)-at) {
			t.Fatalf("%d bytes taken at %d", count, at)
		}
	}
	var got bytes.Buffer
	sent, err := w.WriteTo(iotest.TruncateWriter(&got, 1<<20))
	if wantError(t, "WriteTo", err, nil); sent != int64(len(text)) || !bytes.Equal(got.Bytes(), text) || w.Len() != 0 {
		t.Errorf("%d bytes sent, %d left", sent, w.Len())
	}
	wantError(t, "Close", w.Close(), nil)
	// From a reader of odd pieces, and what is too much.
	read, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(text)))
	if wantError(t, "ReadFrom", err, nil); read != int64(len(text)) {
		t.Errorf("%d bytes read", read)
	}
	count, err := w.Write(make([]byte, 2000))
	wantError(t, "Write beyond the pool", err, slabby.ErrOutOfMemory)
	if count != 1100 {
		t.Errorf("%d bytes taken of a pool with room for 1100", count)
	}
	wantError(t, "Close", w.Close(), nil)
	checkQuiet(t, pool)
}

// Guards: what fills the pool exactly is read without an error, and what is beyond it is not lost.
func TestWriterReadsToTheLastByte(t *testing.T) {
	pool := newPool(t, 10, 3)
	text := "0123456789abcdefghijABCDEFGHIJ"
	w := pool.NewWriter()
	read, err := w.ReadFrom(strings.NewReader(text))
	if wantError(t, "ReadFrom", err, nil); read != 30 {
		t.Errorf("%d bytes read", read)
	}
	wantError(t, "Close", w.Close(), nil)
	held := mustAllocate(t, pool)
	src := strings.NewReader(text)
	read, err = w.ReadFrom(src)
	if wantError(t, "ReadFrom with too few slabs", err, slabby.ErrOutOfMemory); int(read) != w.Len() {
		t.Errorf("%d bytes read, %d held", read, w.Len())
	}
	mustRelease(t, held)
	_, err = w.ReadFrom(src)
	wantError(t, "ReadFrom again", err, nil)
	var got strings.Builder
	_, err = w.WriteTo(&got)
	if wantError(t, "WriteTo", err, nil); got.String() != text || w.Len() != 0 {
		t.Errorf("%q, %d left", got.String(), w.Len())
	}
	wantError(t, "Close", w.Close(), nil)
	checkQuiet(t, pool)
}

// answers is a Reader and a Writer that answers with these counts, and io.EOF or nothing after them.
type answers struct{ counts []int }

func (a *answers) next(end int, ended error) (int, error) {
	if len(a.counts) == 0 {
		return end, ended
	}
	count := a.counts[0]
	a.counts = a.counts[1:]
	return count, nil
}

func (a *answers) Read([]byte) (int, error)       { return a.next(0, io.EOF) }
func (a *answers) Write(data []byte) (int, error) { return a.next(len(data), nil) }

// Guards: impossible counts are errors, and no byte that nobody wrote is sent.
func TestWriterBelievesNoCount(t *testing.T) {
	pool := newPool(t, 64, 2)
	w := pool.NewWriter()
	for _, counts := range [][]int{{-1}, {5, -1}, {65}, {1 << 20}, {10, -10}, {64, 65}} {
		if _, err := w.ReadFrom(&answers{counts}); err == nil {
			t.Errorf("ReadFrom of a reader that answers %d says nothing", counts)
		}
		if length, most := w.Len(), max(0, counts[0]); length > most || length > 64 {
			t.Errorf("%d bytes of a reader that answers %d", length, counts)
		}
		_, err := w.WriteTo(io.Discard)
		wantError(t, "WriteTo", err, nil)
		wantError(t, "Close", w.Close(), nil)
	}
	held := mustAllocate(t, pool)
	_, err := w.ReadFrom(&answers{[]int{64, 2}})
	if err == nil || w.Len() != 64 {
		t.Errorf("a byte ahead, read as two: %v, %d bytes", err, w.Len())
	}
	mustRelease(t, held)
	wantError(t, "Close", w.Close(), nil)
	for _, count := range []int{-1, 65, 1000} {
		_, err := w.Write(make([]byte, 100))
		wantError(t, "Write", err, nil)
		sent, err := w.WriteTo(&answers{[]int{count}})
		if err == nil || sent != 0 || w.Len() != 100 {
			t.Errorf("a writer that answers %d: %v, %d bytes sent, %d left", count, err, sent, w.Len())
		}
		wantError(t, "Close", w.Close(), nil)
	}
	held = mustAllocate(t, pool)
	_, err = w.ReadFrom(strings.NewReader(strings.Repeat("x", 65)))
	wantError(t, "ReadFrom with one slab", err, slabby.ErrOutOfMemory)
	_, err = w.WriteTo(&answers{[]int{64, 0}})
	wantError(t, "a short write of the last byte", err, io.ErrShortWrite)
	mustRelease(t, held)
	wantError(t, "Close", w.Close(), nil)
}

// Guards: what was read fills all slabs that the Writer holds.
func TestWriterHoldsNoEmptySlab(t *testing.T) {
	pool := newPool(t, 10, 3)
	w := pool.NewWriter()
	for length, slabs := range map[int]int{0: 0, 1: 1, 10: 1, 11: 2, 20: 2} {
		_, err := w.ReadFrom(strings.NewReader(strings.Repeat("x", length)))
		wantError(t, "ReadFrom", err, nil)
		if used := pool.Stats().UsedSlabs; used != slabs {
			t.Errorf("%d slabs hold %d bytes", used, length)
		}
		wantError(t, "Close", w.Close(), nil)
	}
}

func TestCopyReleasesAlways(t *testing.T) {
	pool := newPool(t, 64, 1)
	broken := errors.New("broken")
	_, err := pool.Copy(io.Discard, struct{ io.Reader }{iotest.ErrReader(broken)})
	wantError(t, "Copy from a broken reader", err, broken)
	held := mustAllocate(t, pool)
	_, err = pool.Copy(io.Discard, strings.NewReader("x"))
	wantError(t, "Copy without a slab", err, slabby.ErrOutOfMemory)
	err = slabby.ReleaseAll(held, slabby.SlabRef{}, held)
	wantError(t, "ReleaseAll of one twice", err, slabby.ErrDoubleDeallocation)
	checkQuiet(t, pool)
}
