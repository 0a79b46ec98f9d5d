// SPDX-License-Identifier: GPL-3.0-or-later

//go:build linux && !slabby_noseq && !slabby_nopin

package sequence

//lint:file-ignore U1000 sequence_amd64.s uses what is not used here

import "unsafe"

// Available says that this build has the sequences; the core says whether a pool can use them.
const Available = true

// The offset of a thread's rseq area from its thread pointer.
var area uintptr

// This machine has registers of 32 bytes.
var wide = hasWide()

// SetArea comes before the first sequence, with what the core answered.
func SetArea(offset uint64) {
	area = uintptr(offset)
}

// Take takes a slab that is issued as live, and returns its reference; 0 where the core has to serve.
func Take(pool unsafe.Pointer) (ref uint64) { return take(pool) }

// TakeGuarded is Take in a pool with bit_guard: it writes the patterns. 0 also where they have an unusual size.
func TakeGuarded(pool unsafe.Pointer) (ref uint64) { return takeGuarded(pool) }

// TakeFast takes a slab that is issued as live by id.
func TakeFast(pool unsafe.Pointer) (id uint64) { return takeFast(pool) }

// Release releases a reference of a pool without protections.
func Release(pool unsafe.Pointer, ref uint64) (outcome uint64) { return release(pool, ref) }

// ReleaseProtected is Release in a pool with secure, bit_guard, or both.
func ReleaseProtected(pool unsafe.Pointer, ref uint64) (outcome uint64) {
	return releaseProtected(pool, ref)
}

// ReleaseFast releases a slab by id, in a pool without protections.
func ReleaseFast(pool unsafe.Pointer, id uint64) (outcome uint64) { return releaseFast(pool, id) }

// Give puts the id of a slab that is free into a cache.
func Give(pool unsafe.Pointer, id uint64) (given bool) { return give(pool, id) }

// TakeBatch takes len(ids) slabs that are issued as live, or none, and stores their references `stride` bytes apart,
// and their ids. issue is what went into their words besides: 0 where the core has not biased them to this CPU.
func TakeBatch(pool unsafe.Pointer, refs *uint64, stride uintptr, ids []uint32) (issue uint64, taken bool) {
	return takeBatch(pool, refs, uint64(stride), unsafe.SliceData(ids), uint64(len(ids)))
}

// FreeBatch frees the slabs of the first references, as many as it can in a row, and stores their ids. The
// references lie `stride` bytes apart, as many as ids.
func FreeBatch(pool unsafe.Pointer, refs *uint64, stride uintptr, ids []uint32) (freed int) {
	return int(freeBatch(pool, refs, uint64(stride), unsafe.SliceData(ids), uint64(len(ids))))
}

// GiveBatch gives all ids, or none.
func GiveBatch(pool unsafe.Pointer, ids []uint32) (given bool) {
	return giveBatch(pool, unsafe.SliceData(ids), uint64(len(ids)))
}

func hasWide() bool

//go:noescape
func take(pool unsafe.Pointer) (ref uint64)

//go:noescape
func takeGuarded(pool unsafe.Pointer) (ref uint64)

//go:noescape
func takeFast(pool unsafe.Pointer) (id uint64)

//go:noescape
func release(pool unsafe.Pointer, ref uint64) (outcome uint64)

//go:noescape
func releaseProtected(pool unsafe.Pointer, ref uint64) (outcome uint64)

//go:noescape
func releaseFast(pool unsafe.Pointer, id uint64) (outcome uint64)

//go:noescape
func give(pool unsafe.Pointer, id uint64) (given bool)

//go:noescape
func takeBatch(pool unsafe.Pointer, refs *uint64, stride uint64, ids *uint32, count uint64) (issue uint64, taken bool)

//go:noescape
func freeBatch(pool unsafe.Pointer, refs *uint64, stride uint64, ids *uint32, count uint64) (freed uint64)

//go:noescape
func giveBatch(pool unsafe.Pointer, ids *uint32, count uint64) (given bool)
