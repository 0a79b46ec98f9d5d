// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_go_create
// #cgo nocallback slabby_go_create
// #cgo noescape slabby_go_adopt
// #cgo nocallback slabby_go_adopt
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Slabby is a pool. Make one with New; it is safe for concurrent use. A pool that is dropped
// without Close is closed by the garbage collector; its memory stays until the last slab is
// released.
type Slabby struct {
	// First, so that references point to their pool.
	hot
	handle   *C.slabby_allocator
	slabSize int
	// The most slabs that one batch can ever have: pool and heap together.
	batchLimit int
	space      *waitQueue
	race       raceWatch
	// WithFinalizers: every reference has a token.
	finalizers bool
	idLimit    int
	attaching  sync.Mutex
	// The number of leases that the core was asked for.
	asked     uint64
	blocks    *leaseBlocks
	allocated atomic.Pointer[allocations]
	// WithHeapBallast: never read or written; until Close.
	ballast atomic.Pointer[[]byte]
	// WithLogger: what hands events to the logger.
	log *poolLog
}

// New makes a pool of `capacity` slabs of `slabSize` bytes. It costs the same for any size: memory
// is reserved, not touched. A pool that is not possible is refused with an *Error that names the
// value, the limit and what to do.
func New(slabSize, capacity int, options ...AllocatorOption) (*Slabby, error) {
	var c config
	for _, option := range options {
		if option != nil {
			option(&c)
		}
	}
	pool, err := create(slabSize, capacity, &c)
	if err != nil {
		c.log(slog.LevelWarn, "slabby: no pool made", "slab_size", slabSize, "capacity", capacity,
			"error", err)
		return nil, err
	}
	return pool, nil
}

func create(slabSize, capacity int, c *config) (*Slabby, error) {
	// Below 0 they would reach the core as numbers beyond every limit.
	if slabSize < 0 {
		return nil, &Error{Status: StatusInvalidSlabSize, Value: int64(slabSize), Minimum: 1, Maximum: 1 << 30,
			Text: fmt.Sprintf("slab size %d is out of range; choose 1 to %d bytes", slabSize, 1<<30)}
	}
	if capacity < 0 {
		return nil, &Error{Status: StatusInvalidCapacity, Value: int64(capacity), Minimum: 1, Maximum: math.MaxInt32,
			Text: fmt.Sprintf("capacity %d is out of range; choose 1 to %d slabs", capacity, math.MaxInt32)}
	}
	options, err := c.build()
	if err != nil {
		return nil, err
	}
	defer C.slabby_options_destroy(options)
	if c.ballast {
		if err := checkBallast(slabSize, capacity); err != nil {
			return nil, err
		}
	}
	for try := time.Duration(0); ; try++ {
		raw := newRawError()
		made := C.slabby_go_create(C.uint64_t(slabSize), C.uint64_t(capacity), options, &raw)
		if made.status == 0 {
			pool := own(made.allocator, newPoolLog(made.allocator, c.logger, true))
			if c.ballast {
				ballast := make([]byte, slabSize*capacity)
				pool.ballast.Store(&ballast)
			}
			return pool, nil
		}
		status := Status(made.status)
		if status != StatusTooManyPools && status != StatusNoSystemMemory || try == 10 {
			return nil, detailedError(made.status, &raw)
		}
		// Dropped pools keep their table entries and their memory until the collector has found them, and
		// in a program that makes little garbage that may take long. Their cleanups run a little later.
		runtime.GC()
		time.Sleep(try * time.Millisecond)
	}
}

// Adopt joins a pool that another language of this process has, from the two numbers of its handle.
// It needs the build tag slabby_system: a core of its own refuses the handle with ErrAbiMismatch.
// Of the options only WithLogger has a meaning here; others are refused, because they apply only to
// New.
func Adopt(address, instanceID uint64, options ...AllocatorOption) (*Slabby, error) {
	var c config
	for _, option := range options {
		if option != nil {
			option(&c)
		}
	}
	if len(c.settings) > 0 || c.ballast {
		return nil, &Error{Status: StatusColdOption,
			Text: "an adopted pool has its options already; give Adopt none but WithLogger"}
	}
	raw := newRawError()
	adopted := C.slabby_go_adopt(C.uint64_t(address), C.uint64_t(instanceID), &raw)
	if err := detailedError(adopted.status, &raw); err != nil {
		return nil, err
	}
	return own(adopted.allocator, newPoolLog(adopted.allocator, c.logger, false)), nil
}

// own wraps a handle that this package owns from now on.
func own(handle *C.slabby_allocator, log *poolLog) *Slabby {
	p := view(handle)
	p.log = log
	p.register()
	runtime.AddCleanup(p, abandon, abandoned{handle, log, p.space, p.blocks})
	logWatcher.add(log)
	return p
}

// view wraps a handle that other code owns.
func view(handle *C.slabby_allocator) *Slabby {
	p := &Slabby{handle: handle, space: &waitQueue{}, blocks: &leaseBlocks{}}
	p.slabSize = int(C.slabby_go_size(handle).value)
	capacity := int(p.Stats().ReservedSlabs) // what Resize can bring
	heap := C.slabby_go_option(handle, C.int32_t(OptionHeapFallbackLimit))
	p.batchLimit = capacity + int(heap.value)
	p.readView()
	return p
}

type abandoned struct {
	handle *C.slabby_allocator
	log    *poolLog
	space  *waitQueue
	blocks *leaseBlocks
}

// abandon is what the garbage collector calls for a pool that nothing can reach.
func abandon(a abandoned) {
	if a.log != nil {
		if stats := statsOf(a.handle); stats != nil && stats.live() > 0 {
			a.log.logger.Warn("slabby: pool dropped with live slabs", "pool", labelOf(a.handle), "live", stats.live())
		}
	}
	cursor := a.log.ending()
	a.space.close()
	unregister(a.handle)
	a.blocks.detach(a.handle)
	C.slabby_abandon(a.handle)
	a.log.end(cursor)
}

// Close ends the pool: no allocation succeeds any more, in any language, and waiting allocations
// get ErrClosed. Live slabs stay readable and are released as before; with the last one the memory
// goes back to the system. It returns at once and may be called again.
func (p *Slabby) Close() error {
	status := C.slabby_close(p.c())
	if p != nil && p.space != nil {
		p.space.close()
		p.ballast.Store(nil)
	}
	if p != nil && p.log != nil {
		p.log.closed.Store(p.Stats().live() == 0)
		p.log.logSoon()
	}
	runtime.KeepAlive(p)
	return p.of("Close", statusError(status))
}

// Handle returns the pool as two numbers, for another language of this process to adopt. It does
// not keep the pool: the caller does, until the other side has adopted it.
func (p *Slabby) Handle() (address, instanceID uint64, err error) {
	handle := C.slabby_go_handle_of(p.c())
	runtime.KeepAlive(p)
	return uint64(handle.address), uint64(handle.instance_id), p.of("Handle", statusError(handle.status))
}

// c is the core's handle, null for a nil pool: the core refuses that with ErrInvalidArgument.
func (p *Slabby) c() *C.slabby_allocator {
	if p == nil {
		return nil
	}
	return p.handle
}

func (c *config) log(level slog.Level, message string, arguments ...any) {
	if c.logger != nil {
		c.logger.Log(context.Background(), level, message, arguments...)
	}
}

// Version is the version of the core, such as "0.1.0".
func Version() string {
	return C.GoString(C.slabby_version())
}

// ABIVersion is the number of the core's binary interface.
func ABIVersion() uint32 {
	return uint32(C.slabby_abi_version())
}

// PlatformText says what this machine and process offer, and what a pool will therefore do: a line for
// each fact, "name: fact; consequence".
func PlatformText() string {
	text, _ := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_platform_text(b, c, l)
	})
	return text
}

// InstanceID is unique to the loaded core: two bindings in a process that get the same value share
// it.
func InstanceID() uint64 {
	return uint64(C.slabby_instance_id())
}
