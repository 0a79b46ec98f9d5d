// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import (
	"errors"
	"io"
	"unsafe"
)

// BufferPool lends slabs as bare slices to code that asks for Get and Put, such as
// httputil.ReverseProxy. Such code cannot receive an error: if the pool has no slab, Get makes a
// slice on Go's heap, and Put leaves that slice to the collector. A lent slice has no reference, so
// WithFinalizers does not find those that are never put back: their slabs stay out.
type BufferPool struct {
	pool *Slabby
}

// BufferPool returns the pool as Get and Put.
func (p *Slabby) BufferPool() *BufferPool {
	return &BufferPool{pool: p}
}

// Get returns a slice of the slab size.
func (b *BufferPool) Get() []byte {
	ref, err := b.pool.Allocate()
	if err != nil {
		return make([]byte, b.pool.slabBytesOf())
	}
	ref.forget()
	return ref.GetBytes()
}

// Put gives a slice of Get back. A slice of a slab that is not live, or that does not begin where
// Get's slice began, is a mistake of the program: Put panics with the *Error. Corruption is counted
// and reported as by every release.
func (b *BufferPool) Put(data []byte) {
	err := b.pool.ReleaseBytes(data)
	if err == nil || errors.Is(err, ErrMemoryCorruption) {
		return
	}
	if PoolAmong(data, b.pool) != nil {
		panic(err)
	}
}

// slabBytesOf is the slab size, 0 for a nil pool.
func (p *Slabby) slabBytesOf() int {
	if p == nil {
		return 0
	}
	return p.slabSize
}

// spans reports whether data begins within the memory of the pool's own slabs.
func (p *Slabby) spans(data []byte) bool {
	first := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	return p != nil && uint64(first-uintptr(p.slabs)) < p.reserved*p.stride
}

// Copy copies from src to dst until the end or an error, as io.CopyBuffer does with a slab as the
// buffer: if one side copies by itself (io.WriterTo, io.ReaderFrom), the slab is not used. Without
// a slab it returns the error of Allocate and has read nothing.
func (p *Slabby) Copy(dst io.Writer, src io.Reader) (written int64, err error) {
	ref, err := p.Allocate()
	if err != nil {
		return 0, err
	}
	defer func() {
		if released := ref.Release(); released != nil {
			err = errors.Join(err, released)
		}
	}()
	return io.CopyBuffer(dst, src, ref.GetBytes())
}

// ReleaseAll releases references of any pools, in order, tries all, and returns the errors joined.
// The zero SlabRef is skipped, so that a slice may be filled in part.
func ReleaseAll(refs ...SlabRef) error {
	var wrong []error
	for _, ref := range refs {
		if ref == (SlabRef{}) {
			continue
		}
		if err := ref.Release(); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// Writer collects the written bytes in slabs, as a bytes.Buffer does in one growing slice: nothing
// is copied again when it grows. It is for one goroutine. Close gives the slabs back.
type Writer struct {
	pool *Slabby
	refs []SlabRef
	// Bytes in all slabs, and of the first ones those that WriteTo has written.
	length, written int
	// What ReadFrom has read beyond the slabs, one byte at most; not in length.
	ahead []byte
}

// NewWriter returns an empty Writer; it takes its first slab with the first byte.
func (p *Slabby) NewWriter() *Writer {
	return &Writer{pool: p}
}

// Len is how many bytes WriteTo would write.
func (w *Writer) Len() int {
	return w.length + len(w.ahead) - w.written
}

// free is the unused end of the last slab, or a new slab.
func (w *Writer) free() ([]byte, error) {
	size := w.pool.slabBytesOf()
	if used := w.length - (len(w.refs)-1)*size; len(w.refs) > 0 && used < size {
		return w.refs[len(w.refs)-1].GetBytes()[used:], nil
	}
	ref, err := w.pool.Allocate()
	if err != nil {
		return nil, err
	}
	w.refs = append(w.refs, ref)
	data := ref.GetBytes()
	count := copy(data, w.ahead)
	w.length += count
	w.ahead = w.ahead[:0]
	return data[count:], nil
}

// Write appends data. If the pool has no slab left, it returns how many bytes it took, and
// Allocate's error.
func (w *Writer) Write(data []byte) (taken int, err error) {
	for taken < len(data) {
		free, err := w.free()
		if err != nil {
			return taken, err
		}
		count := copy(free, data[taken:])
		taken += count
		w.length += count
	}
	return taken, nil
}

// ReadFrom appends the bytes of src until its end, and reads directly into slabs. If the pool has no slab left
// and src has more, it returns Allocate's error; what it has read is in the Writer, so another call continues.
func (w *Writer) ReadFrom(src io.Reader) (read int64, err error) {
	defer func() {
		if released := w.trim(); err == nil {
			err = released
		}
	}()
	for {
		free, refused := w.free()
		if refused != nil {
			if len(w.ahead) != 0 {
				return read, refused
			}
			free = make([]byte, 1) // says whether src has ended
		}
		count, err := src.Read(free)
		if count < 0 || count > len(free) {
			return read, errInvalidRead
		}
		read += int64(count)
		if refused != nil {
			w.ahead = append(w.ahead, free[:count]...)
		} else {
			w.length += count
		}
		if err == io.EOF {
			return read, nil
		}
		if err != nil {
			return read, err
		}
	}
}

// trim gives the last slab back if it is empty, as where src had ended when a full slab was read.
func (w *Writer) trim() error {
	last := len(w.refs) - 1
	if last < 0 || w.length > last*w.pool.slabSize {
		return nil
	}
	ref := w.refs[last]
	w.refs[last], w.refs = SlabRef{}, w.refs[:last]
	return ref.Release()
}

// errInvalidRead and errInvalidWrite are of a Reader or Writer that says it took more bytes than it was given, or less
// than none.
var (
	errInvalidRead  = errors.New("slabby: a reader returned an impossible count from Read")
	errInvalidWrite = errors.New("slabby: a writer returned an impossible count from Write")
)

// WriteTo writes the collected bytes to dst, slab by slab. After an error the rest stays for
// another try; written bytes are not written again. Close gives the slabs back.
func (w *Writer) WriteTo(dst io.Writer) (sent int64, err error) {
	size := w.pool.slabBytesOf()
	for w.written < w.length {
		data := w.refs[w.written/size].GetBytes()[w.written%size:]
		data = data[:min(len(data), w.length-w.written)]
		count, err := writeAll(dst, data)
		sent += int64(count)
		w.written += count
		if err != nil {
			return sent, err
		}
	}
	if len(w.ahead) != 0 {
		count, err := writeAll(dst, w.ahead)
		w.ahead = w.ahead[count:]
		return sent + int64(count), err
	}
	return sent, nil
}

// writeAll does not believe the count: beyond its data there are other slabs.
func writeAll(dst io.Writer, data []byte) (count int, err error) {
	count, err = dst.Write(data)
	if count < 0 || count > len(data) {
		return 0, errInvalidWrite
	}
	if err == nil && count < len(data) {
		err = io.ErrShortWrite
	}
	return count, err
}

// Close gives the slabs back. The Writer is empty then and can be used again.
func (w *Writer) Close() error {
	err := ReleaseAll(w.refs...)
	clear(w.refs)
	w.refs, w.length, w.written, w.ahead = w.refs[:0], 0, 0, nil
	return err
}
