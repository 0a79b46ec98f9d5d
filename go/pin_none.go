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
// a goroutine. A goroutine that only takes an id needs no word: of several that take at once, the
// header's compare-and-swap lets one through.

// enter makes the caller the user of a lease, or returns nil; leave must follow either way.
func (h *hot) enter() *lease {
	at := indexByStack()
	for try := range uint64(2) {
		l := h.leaseNear(at + try)
		if l != nil && atomic.CompareAndSwapUint64(&l.user, 0, 1) {
			return l
		}
	}
	return nil
}

func (l *lease) leave() {
	if l != nil {
		storeRelease(&l.user, 0)
	}
}

// enterToTake is a lease from which the caller may take ids one by one, beside others; leaveTaken must
// follow.
func (h *hot) enterToTake() *lease {
	return h.leaseNear(indexByStack())
}

func (*lease) leaveTaken() {}

// indexByStack differs between goroutines, and seldom changes in one.
func indexByStack() uint64 {
	var here byte
	return uint64(uintptr(unsafe.Pointer(&here))>>11) * 0x9E3779B97F4A7C15 >> 32
}

// leaseNear is one of the leases, or nil where there is none. Their number is a power of two.
func (h *hot) leaseNear(at uint64) *lease {
	count := atomic.LoadUint64(&h.leaseCount)
	if count == 0 {
		return nil
	}
	return (*lease)(unsafe.Add(atomic.LoadPointer(&h.leases), (at&(count-1))*leaseBytes))
}

// leasesWanted is how many leases serve so many Ps: a power of two, and some to spare.
func leasesWanted(procs int) uint64 {
	return 2 << bits.Len(uint(procs-1))
}
