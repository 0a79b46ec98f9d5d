// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && slabby_nopin

package slabby

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// Without procPin a word in the lease says whether it has a user, and goroutines find a lease by
// the address of their stack. A goroutine that is preempted inside keeps its lease for that long;
// others take the next lease, or cross into C. The core does not read the word: it never waits for
// a goroutine.

// enter makes the caller the user of a lease, or returns nil; leave must follow either way.
func (h *hot) enter() *lease {
	var here byte
	count := atomic.LoadUint64(&h.leaseCount)
	if count == 0 {
		return nil
	}
	at := uint64(uintptr(unsafe.Pointer(&here))>>11) * 0x9E3779B97F4A7C15 >> 32
	for try := range uint64(2) {
		l := h.leaseAt((at + try) & (count - 1))
		if l != nil && atomic.CompareAndSwapUint32(&l.user, 0, 1) {
			return l
		}
	}
	return nil
}

func (l *lease) leave() {
	if l != nil {
		atomic.StoreUint32(&l.user, 0)
	}
}

// leasesWanted is how many leases serve so many Ps: a power of two, and some to spare.
func leasesWanted(procs int) uint64 {
	return 2 << bits.Len(uint(procs-1))
}
