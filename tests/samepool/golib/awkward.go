// SPDX-License-Identifier: GPL-3.0-or-later

package main

import "C"

import (
	"errors"
	"time"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

func asStatus(err error) int32 {
	if err == nil {
		return 0
	}
	return statusOf(err)
}

// made answers what New does with options, and gives the pool to use before it is closed.
func made(slabSize, capacity int, use func(*slabby.Slabby) error, options ...slabby.AllocatorOption) int32 {
	pool, err := slabby.New(slabSize, capacity, options...)
	if err != nil {
		return statusOf(err)
	}
	defer func() { _ = pool.Close() }()
	return asStatus(use(pool))
}

func nothing(*slabby.Slabby) error { return nil }

// golib_text gives texts to the call of that name.
//
//export golib_text
func golib_text(call *C.char, first *C.char, firstLength int32, second *C.char, secondLength int32) int32 {
	one, two := C.GoStringN(first, C.int(firstLength)), C.GoStringN(second, C.int(secondLength))
	switch C.GoString(call) {
	case "option":
		return made(64, 8, nothing, slabby.WithText(one, two))
	case "preset":
		return made(64, 8, nothing, slabby.WithPreset(one))
	case "change":
		return made(64, 8, func(p *slabby.Slabby) error { return p.SetOptionText(one, two) })
	case "read":
		return made(64, 8, func(p *slabby.Slabby) error {
			_, err := p.GetOptionText(one)
			return err
		})
	}
	return 1
}

// golib_named writes the JSON of a pool with that name: a length, or a status.
//
//export golib_named
func golib_named(name *C.char, length int32, buffer *C.char, capacity int32) int32 {
	text, written := C.GoStringN(name, C.int(length)), 0
	status := made(64, 8, func(p *slabby.Slabby) error {
		all := ""
		for _, write := range []func() (string, error){p.StatsJSON, p.HealthJSON, p.MemoryJSON} {
			one, err := write()
			if err != nil {
				return err
			}
			all += one + "\n"
		}
		written = copy(unsafe.Slice((*byte)(unsafe.Pointer(buffer)), capacity), all)
		return nil
	}, slabby.WithName(text))
	if status != 0 {
		return status
	}
	return int32(written)
}

// golib_number gives a number to the call of that name.
//
//export golib_number
func golib_number(call *C.char, value int64) int32 {
	switch C.GoString(call) {
	case "slab_size":
		return made(int(value), 8, nothing)
	case "capacity":
		return made(64, int(value), nothing)
	case "max_capacity":
		return made(64, 4, nothing, slabby.WithOption(slabby.OptionMaxCapacity, value))
	case "max_alloc_latency":
		return made(64, 4, nothing, slabby.WithOption(slabby.OptionMaxAllocLatency, value))
	case "resize":
		return made(64, 4, func(p *slabby.Slabby) error {
			_, err := p.Resize(int(value))
			return err
		})
	case "change":
		return made(64, 4, func(p *slabby.Slabby) error {
			return p.SetOption(slabby.OptionHealthInterval, value)
		})
	case "batch":
		return made(64, 8, func(p *slabby.Slabby) error {
			refs, err := p.BatchAllocate(int(value))
			if err != nil {
				return err
			}
			return p.BatchDeallocate(refs)
		})
	case "timeout":
		return made(64, 8, func(p *slabby.Slabby) error { return tryFor(p, time.Duration(value)) })
	case "timeout of a full pool":
		return made(64, 8, func(p *slabby.Slabby) error {
			refs, err := p.BatchAllocate(8)
			if err != nil {
				return err
			}
			return errors.Join(tryFor(p, time.Duration(value)), p.BatchDeallocate(refs))
		})
	}
	return 1
}

func tryFor(p *slabby.Slabby, timeout time.Duration) error {
	ref, err := p.AllocateWithTimeout(timeout)
	if err != nil {
		return err
	}
	return ref.Release()
}

// golib_labelled sets a slab's label and reads it.
//
//export golib_labelled
func golib_labelled(label uint64, found *uint64) int32 {
	return made(64, 8, func(p *slabby.Slabby) error {
		ref, err := p.Allocate()
		if err != nil {
			return err
		}
		err = ref.SetLabel(label)
		if err == nil {
			*found, err = ref.Label()
		}
		return errors.Join(err, ref.Release())
	})
}

// golib_grown makes a pool of one slab that may have more, and writes what the growth answers.
//
//export golib_grown
func golib_grown(slabSize int64, most int32, buffer *C.char, capacity int32) int32 {
	return made(int(slabSize), 1, func(p *slabby.Slabby) error {
		_, err := p.Resize(int(most))
		if err != nil {
			out := unsafe.Slice((*byte)(unsafe.Pointer(buffer)), capacity)
			out[copy(out[:capacity-1], err.Error())] = 0
		}
		return err
	}, slabby.WithMaxCapacity(int(most)), slabby.WithShards(4))
}
