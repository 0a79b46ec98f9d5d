// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// Readers take a slab each, fill it from a file, and hand it to the hasher of that file, which releases
// it. A file has one reader and one hasher, so its blocks stay in order. When no slab is free the
// readers wait for the hashers: the pool bounds the memory, whatever the files' sizes.

// block is a filled slab, or the end of its file where ref is the zero SlabRef.
type block struct {
	file   *file
	ref    slabby.SlabRef
	length int
}

type totals struct {
	files, unreadable int
	bytes, waits      int64
	seconds           float64
}

type pipeline struct {
	pool   *slabby.Slabby
	files  []*file
	queues []chan block
	next   atomic.Int64
	hashed atomic.Int64
	bytes  atomic.Int64
	waits  atomic.Int64

	// stop is closed by the first failure of the pool, which err tells.
	stop chan struct{}
	once sync.Once
	err  error
}

func hashAll(pool *slabby.Slabby, files []*file, readers, hashers int) (totals, error) {
	p := &pipeline{pool: pool, files: files, stop: make(chan struct{})}
	started := time.Now()
	var reading, hashing sync.WaitGroup
	for range hashers {
		queue := make(chan block, 16)
		p.queues = append(p.queues, queue)
		hashing.Add(1)
		go func() {
			defer hashing.Done()
			p.hash(queue)
		}()
	}
	for range readers {
		reading.Add(1)
		go func() {
			defer reading.Done()
			p.read()
		}()
	}
	finished := make(chan struct{})
	go func() {
		reading.Wait()
		for _, queue := range p.queues {
			close(queue)
		}
		hashing.Wait()
		close(finished)
	}()
	p.showProgress(finished)
	return totals{
		bytes:   p.bytes.Load(),
		waits:   p.waits.Load(),
		seconds: time.Since(started).Seconds(),
	}, p.err
}

func (p *pipeline) fail(call string, err error, ref slabby.SlabRef) {
	p.once.Do(func() {
		p.err = fmt.Errorf("%s: %s", call, p.pool.Explain(err, ref))
		close(p.stop)
	})
}

func (p *pipeline) stopped() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

func (p *pipeline) read() {
	for !p.stopped() {
		index := int(p.next.Add(1)) - 1
		if index >= len(p.files) {
			return
		}
		file, queue := p.files[index], p.queues[index%len(p.queues)]
		file.err = p.readFile(file, queue)
		queue <- block{file: file}
	}
}

func (p *pipeline) readFile(file *file, queue chan<- block) error {
	// Not blocking: a pipe that took the file's place since the walk must not stop us.
	source, err := os.OpenFile(file.path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	for {
		ref, ok := p.takeSlab()
		if !ok {
			return nil
		}
		length, err := io.ReadFull(source, ref.GetBytes())
		if length > 0 && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) {
			queue <- block{file: file, ref: ref, length: length}
		} else {
			p.release(ref)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (p *pipeline) takeSlab() (slabby.SlabRef, bool) {
	for tries := 0; ; tries++ {
		ref, err := p.pool.Allocate()
		if err == nil {
			return ref, true
		}
		if err != slabby.ErrOutOfMemory {
			p.fail("Allocate", err, ref)
		}
		if p.stopped() {
			return ref, false
		}
		if tries == 0 {
			p.waits.Add(1)
		}
		// The hashers need the processor more than we do.
		if tries < 8 {
			runtime.Gosched()
		} else {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

func (p *pipeline) release(ref slabby.SlabRef) {
	if err := ref.Release(); err != nil {
		p.fail("Release", err, ref)
	}
}

func (p *pipeline) hash(queue <-chan block) {
	open := map[*file]hash.Hash{}
	for b := range queue {
		digest := open[b.file]
		if digest == nil {
			digest = sha256.New()
			open[b.file] = digest
		}
		if b.ref == (slabby.SlabRef{}) {
			digest.Sum(b.file.digest[:0])
			delete(open, b.file)
			p.hashed.Add(1)
			continue
		}
		digest.Write(b.ref.GetBytes()[:b.length])
		p.release(b.ref)
		p.bytes.Add(int64(b.length))
	}
}

// showProgress returns when all is hashed; where stderr is a terminal it shows how far things are.
func (p *pipeline) showProgress(finished <-chan struct{}) {
	info, err := os.Stderr.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		<-finished
		return
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-finished:
			fmt.Fprintln(os.Stderr)
			return
		case <-ticker.C:
			fmt.Fprintf(os.Stderr, "\r%d of %d files, %.1f MB ", p.hashed.Load(), len(p.files),
				float64(p.bytes.Load())/1e6)
		}
	}
}
