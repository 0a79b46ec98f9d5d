// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import "time"

// SlabAllocator is the interface of a pool, for callers that want to put another implementation in
// its place.
type SlabAllocator interface {
	// One slab or several, now or within a time; the panicking form for callers that cannot go on.
	Allocate() (SlabRef, error)
	BatchAllocate(count int) ([]SlabRef, error)
	AllocateWithTimeout(timeout time.Duration) (SlabRef, error)
	MustAllocate() SlabRef

	// Slabs known by their bare id.
	AllocateFast() ([]byte, int32, error)
	DeallocateFast(slabID int32) error

	// Releases.
	Deallocate(ref SlabRef) error
	BatchDeallocate(refs []SlabRef) error

	// The pool as a whole.
	Reset() error
	Stats() *AllocatorStats
	HealthCheck() *HealthMetrics
	Close() error
}

var _ SlabAllocator = (*Slabby)(nil)
