// SPDX-License-Identifier: GPL-3.0-or-later

// Golib is the Go binding of a pool that other languages of the process hold too: a C library whose
// functions drive the Go package, built with the tag slabby_system.
package main

// #cgo pkg-config: slabby
// #include "exchange.h"
import "C"

import (
	"encoding/binary"
	"sync"
	"time"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

// The pools that golib_join adopted; a caller knows them by their index.
var (
	joined []*slabby.Slabby
	lock   sync.RWMutex
)

func pool(index int32) *slabby.Slabby {
	lock.RLock()
	defer lock.RUnlock()
	if index < 0 || int(index) >= len(joined) {
		return nil
	}
	return joined[index]
}

func statusOf(err error) int32 {
	status, known := slabby.StatusOf(err)
	if !known {
		return int32(slabby.StatusInvalidArgument)
	}
	return int32(status)
}

//export golib_instance_id
func golib_instance_id() uint64 {
	return slabby.InstanceID()
}

// golib_join adopts a pool: an index from 0 up, or a status.
//
//export golib_join
func golib_join(address, instanceID uint64) int32 {
	return join(address, instanceID)
}

func join(address, instanceID uint64, options ...slabby.AllocatorOption) int32 {
	adopted, err := slabby.Adopt(address, instanceID, options...)
	if err != nil {
		return statusOf(err)
	}
	lock.Lock()
	defer lock.Unlock()
	joined = append(joined, adopted)
	return int32(len(joined) - 1)
}

//export golib_allocate
func golib_allocate(index int32, ref *C.uint64_t) int32 {
	made, err := pool(index).Allocate()
	*ref = C.uint64_t(made.Ref())
	return statusOf(err)
}

//export golib_allocate_timeout
func golib_allocate_timeout(index int32, ref *C.uint64_t, nanoseconds uint64) int32 {
	made, err := pool(index).AllocateWithTimeout(time.Duration(nanoseconds))
	*ref = C.uint64_t(made.Ref())
	return statusOf(err)
}

//export golib_write
func golib_write(index int32, ref uint64, text *C.char, length int32) int32 {
	data, err := pool(index).RefOf(ref).Bytes()
	copy(data, unsafe.Slice((*byte)(unsafe.Pointer(text)), length))
	return statusOf(err)
}

//export golib_read
func golib_read(index int32, ref uint64, text *C.char, length int32) int32 {
	data, err := pool(index).RefOf(ref).Bytes()
	copy(unsafe.Slice((*byte)(unsafe.Pointer(text)), length), data)
	return statusOf(err)
}

//export golib_release
func golib_release(index int32, ref uint64) int32 {
	return statusOf(pool(index).RefOf(ref).Release())
}

//export golib_release_deferred
func golib_release_deferred(index int32, ref uint64) int32 {
	return statusOf(pool(index).RefOf(ref).ReleaseDeferred())
}

//export golib_pin
func golib_pin(index int32, ref uint64) int32 {
	return statusOf(pool(index).RefOf(ref).Pin())
}

//export golib_unpin
func golib_unpin(index int32, ref uint64) int32 {
	return statusOf(pool(index).RefOf(ref).Unpin())
}

//export golib_set_label
func golib_set_label(index int32, ref, label uint64) int32 {
	return statusOf(pool(index).RefOf(ref).SetLabel(label))
}

//export golib_deallocate_fast
func golib_deallocate_fast(index, id int32) int32 {
	return statusOf(pool(index).DeallocateFast(id))
}

//export golib_work
func golib_work(trades *C.uint64_t, index int32, slots *C.uint64_t, slotCount, milliseconds,
	seed uint64) int32 {
	w := worker{pool: pool(index), slots: unsafe.Slice(slots, slotCount), state: seed*2 + 1}
	// A goroutine moves between Go's own threads; the caller's thread would stay where it is.
	fault := make(chan int32)
	go func() { fault <- w.run(milliseconds) }()
	result := <-fault
	*trades = C.uint64_t(w.trades)
	return result
}

func putStamp(data []byte, ref uint64) {
	binary.NativeEndian.PutUint64(data, ref)
	binary.NativeEndian.PutUint64(data[8:], ref^C.MARKET_SEAL)
}

func hasStamp(data []byte, ref uint64) bool {
	return binary.NativeEndian.Uint64(data) == ref &&
		binary.NativeEndian.Uint64(data[8:]) == ref^C.MARKET_SEAL
}

func main() {}
