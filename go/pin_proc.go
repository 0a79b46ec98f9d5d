// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && !slabby_nopin

package slabby

import (
	"sync/atomic"
	"unsafe" // for go:linkname too
)

// A pinned goroutine keeps its P, and no other goroutine runs there, so it has the lease of its P
// for itself. sync.Pool does the same; Go keeps these two functions reachable for packages like
// this one.

//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

// enter makes the caller the user of a lease, or returns nil; leave must follow either way. In
// between nothing may block or call into C.
func (h *hot) enter() *lease {
	return h.leaseAt(uint64(procPin()))
}

func (*lease) leave() {
	procUnpin()
}

// leaseAt is a lease of the block, nil beyond.
func (h *hot) leaseAt(at uint64) *lease {
	if at >= atomic.LoadUint64(&h.leaseCount) {
		return nil
	}
	return (*lease)(unsafe.Add(atomic.LoadPointer(&h.leases), at*leaseBytes))
}

// enterToTake is enter for a caller that takes ids one by one.
func (h *hot) enterToTake() *lease {
	return h.enter()
}

func (l *lease) leaveTaken() {
	l.leave()
}

// leasesWanted is how many leases serve so many Ps.
func leasesWanted(procs int) uint64 {
	return uint64(procs)
}
