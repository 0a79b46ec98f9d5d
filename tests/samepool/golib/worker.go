// SPDX-License-Identifier: GPL-3.0-or-later

package main

// #include "exchange.h"
import "C"

import (
	"encoding/binary"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// worker trades as exchange.h describes.
type worker struct {
	pool   *slabby.Slabby
	slots  []C.uint64_t
	trades uint64
	state  uint64
}

func (w *worker) random() uint64 {
	w.state ^= w.state << 13
	w.state ^= w.state >> 7
	w.state ^= w.state << 17
	return w.state
}

// run trades for a time. It returns 0, a fault of exchange.h, or the status that must not be.
func (w *worker) run(milliseconds uint64) int32 {
	until := time.Now().Add(time.Duration(milliseconds) * time.Millisecond)
	for ; w.trades%64 != 0 || time.Now().Before(until); w.trades++ {
		dice := w.random()
		ref, fault := w.sell(dice)
		if fault != 0 {
			return fault
		}
		slot := &w.slots[(dice>>8)%uint64(len(w.slots))]
		got := w.pool.RefOf(uint64(C.market_swap(slot, C.uint64_t(ref.Ref()))))
		if fault = w.buy(got, dice); fault != 0 {
			return fault
		}
	}
	return C.MARKET_OK
}

func (w *worker) sell(dice uint64) (slabby.SlabRef, int32) {
	allocate := w.pool.Allocate
	if dice%8 == 2 {
		allocate = func() (slabby.SlabRef, error) { return w.pool.AllocateWithTimeout(C.MARKET_LONGEST_WAIT_NS) }
	}
	ref, err := allocate()
	if err != nil {
		return ref, statusOf(err)
	}
	data := ref.GetBytes()
	if binary.NativeEndian.Uint64(data) != 0 {
		return ref, C.MARKET_TWO_HANDS
	}
	putStamp(data, ref.Ref())
	return ref, 0
}

func (w *worker) buy(ref slabby.SlabRef, dice uint64) int32 {
	data, err := ref.Bytes()
	if err != nil {
		return statusOf(err)
	}
	if !hasStamp(data, ref.Ref()) {
		return C.MARKET_BAD_STAMP
	}
	if dice%8 == 1 {
		return releaseByUnpin(ref, data)
	}
	if dice%4 == 0 {
		if err := ref.Pin(); err != nil {
			return statusOf(err)
		}
		if ref.Release() != slabby.ErrPinned {
			return C.MARKET_RELEASED_UNDER_PIN
		}
		if err := ref.Unpin(); err != nil {
			return statusOf(err)
		}
	}
	binary.NativeEndian.PutUint64(data, 0)
	if err := ref.Release(); err != nil {
		return statusOf(err)
	}
	if dice%16 == 0 && ref.Release() != slabby.ErrDoubleDeallocation {
		return C.MARKET_RELEASED_TWICE
	}
	return C.MARKET_OK
}

// releaseByUnpin clears the slab first: the unpin hands it on.
func releaseByUnpin(ref slabby.SlabRef, data []byte) int32 {
	if err := ref.Pin(); err != nil {
		return statusOf(err)
	}
	binary.NativeEndian.PutUint64(data, 0)
	if err := ref.ReleaseDeferred(); err != nil {
		return statusOf(err)
	}
	if err := ref.Unpin(); err != nil {
		return statusOf(err)
	}
	return C.MARKET_OK
}
