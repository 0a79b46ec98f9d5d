// SPDX-License-Identifier: GPL-3.0-or-later

package main

// #include <stdint.h>
import "C"

import (
	"runtime"
	"slices"
	"time"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

// The Go binding of a process that several bindings share (shared.py). Its driver keeps the registers that
// all bindings see: it sets those an instruction reads and fetches those it wrote.

var (
	binding = newMachine()
	// The pools of this binding by their address: each object is an owner.
	joined = map[uint64][]*slabby.Slabby{}
)

// conform_join puts a pool of another binding into a register; a status.
//
//export conform_join
func conform_join(key *C.char, number, instance uint64) int32 {
	if len(joined[number]) == 0 {
		pool, err := slabby.Adopt(number, instance)
		if err != nil {
			status, _ := slabby.StatusOf(err)
			return int32(status)
		}
		joined[number] = append(joined[number], pool)
		binding.seen[number] = map[int32]int{}
	}
	binding.pools[C.GoString(key)] = joined[number][0]
	return 0
}

// conform_address is where the pool of a register lies that an instruction made, 0 where it is unset.
//
//export conform_address
func conform_address(key *C.char) uint64 {
	pool := binding.pools[C.GoString(key)]
	if pool == nil {
		return 0
	}
	number := address(pool)
	if !slices.Contains(joined[number], pool) {
		joined[number] = append(joined[number], pool)
	}
	return number
}

// conform_leave unsets a register that holds a pool.
//
//export conform_leave
func conform_leave(key *C.char) {
	delete(binding.pools, C.GoString(key))
}

// conform_end closes a pool and forgets it. It returns how many owners its objects are, which the
// driver drops: the collector comes too late for a pool's end.
//
//export conform_end
func conform_end(number uint64) int32 {
	pools := joined[number]
	delete(joined, number)
	delete(binding.seen, number)
	for _, pool := range pools {
		if err := pool.Close(); err != nil {
			return -1
		}
	}
	return int32(len(pools))
}

// conform_set_ref and conform_ref are the reference registers.
//
//export conform_set_ref
func conform_set_ref(key *C.char, ref uint64) {
	binding.refs[C.GoString(key)] = ref
}

//export conform_ref
func conform_ref(key *C.char) uint64 {
	return binding.refs[C.GoString(key)]
}

// conform_await_grants returns once everything that was granted to Go's waits of a pool has arrived. elsewhere: how
// many wait for the pool through other bindings.
//
//export conform_await_grants
func conform_await_grants(number, elsewhere uint64) {
	binding.elsewhere[number] = elsewhere
	if pools := joined[number]; len(pools) > 0 {
		binding.awaitGrants(pools[0])
	}
}

// conform_set_fast puts another binding's id into a register, without bytes; an id below 0 unsets it.
//
//export conform_set_fast
func conform_set_fast(key *C.char, id int32) {
	name := C.GoString(key)
	if id < 0 {
		delete(binding.fasts, name)
	} else {
		binding.fasts[name] = &fast{id: id}
	}
}

// conform_fast is the id of a register, -1 where it is unset.
//
//export conform_fast
func conform_fast(key *C.char) int32 {
	if f := binding.fasts[C.GoString(key)]; f != nil {
		return f.id
	}
	return -1
}

// conform_viewed reports whether a register holds a view.
//
//export conform_viewed
func conform_viewed(key *C.char) bool {
	return binding.views[C.GoString(key)] != nil
}

// conform_run carries out one instruction and writes its line; it returns the line's length, or -1
// where the instruction is none or the line does not fit.
//
//export conform_run
func conform_run(text *C.char, buffer *C.char, capacity int32) (length int32) {
	defer func() {
		if _, ok := recover().(malformed); ok {
			length = -1
		}
	}()
	trace := binding.execute(split(C.GoString(text)))
	if len(trace) > int(capacity) {
		return -1
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(buffer)), capacity), trace)
	return int32(len(trace))
}

// conform_collect lets the collector give up what was dropped, before the core's places come round.
//
//export conform_collect
func conform_collect() {
	runtime.GC()
	time.Sleep(time.Millisecond)
}

// conform_new forgets the registers of a program; its pools were ended.
//
//export conform_new
func conform_new() {
	binding = newMachine()
}

// conform_instance is the core that this library uses.
//
//export conform_instance
func conform_instance() uint64 {
	return slabby.InstanceID()
}
