// SPDX-License-Identifier: GPL-3.0-or-later

//go:build linux && !slabby_noseq && !slabby_nopin

package sequence

//lint:file-ignore U1000 the assembly uses what is not used here

import (
	"sync"
	"unsafe"
)

// The offset of a thread's rseq area from its thread pointer.
var area uintptr

var areaOnce sync.Once

// This machine has registers of 32 bytes.
var wide = hasWide()

// SetArea must be called before the first sequence, with the offset that the core answered. It is the
// same for every pool, and stored once: the assembly may be reading it for another pool.
func SetArea(offset uint64) {
	areaOnce.Do(func() { area = uintptr(offset) })
}

// Give puts the id of a slab that is free into a cache.
func Give(pool unsafe.Pointer, id uint64) (given bool) { return give(pool, id) }

// TakeBatch takes as many slabs as there are references, at most Most, or none. It stores their numbers, and in data,
// unless that is nil, the memory of each, out of the pool's span bytes. issue is what went into their words besides: 0
// where the core has biased them to no CPU. mixed says that a reference does not name hot yet, or that a slice
// does not begin in that memory yet, which is left to Go: its collector sees no stores of assembly.
func TakeBatch(pool, hot unsafe.Pointer, refs []Reference, data *[]byte, span uint64) (issue uint64, taken,
	mixed bool) {
	return takeBatch(pool, hot, &refs[0].Number, uint64(len(refs)), data, span)
}

// ReleaseRun releases the first references, one or more, as far as their slabs are live and biased to this CPU. freed
// is how many words it has stored, and ids has their ids; of a restarted run no cache has them.
func ReleaseRun(pool unsafe.Pointer, refs []Reference, ids *IDs) (freed int, result Result) {
	freed64, result := releaseRun(pool, &refs[0].Number, &ids[0], uint64(len(refs)))
	return int(freed64), result
}

// FreeBatch frees the slabs of the first references, as many as it can in a row, and stores their ids.
func FreeBatch(pool unsafe.Pointer, refs []Reference, ids *IDs) (freed int) {
	return int(freeBatch(pool, &refs[0].Number, &ids[0], uint64(len(refs))))
}

// GiveBatch gives the first ids, or none.
func GiveBatch(pool unsafe.Pointer, ids *IDs, count int) (given bool) {
	return giveBatch(pool, &ids[0], uint64(count))
}

func hasWide() bool

//go:noescape
func give(pool unsafe.Pointer, id uint64) (given bool)

//go:noescape
func takeBatch(pool, hot unsafe.Pointer, refs *uint64, count uint64, data *[]byte, span uint64) (issue uint64,
	taken, mixed bool)

//go:noescape
func releaseRun(pool unsafe.Pointer, refs *uint64, ids *uint32, count uint64) (freed uint64, result Result)

//go:noescape
func freeBatch(pool unsafe.Pointer, refs *uint64, ids *uint32, count uint64) (freed uint64)

//go:noescape
func giveBatch(pool unsafe.Pointer, ids *uint32, count uint64) (given bool)
