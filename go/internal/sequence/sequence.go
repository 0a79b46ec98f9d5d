// SPDX-License-Identifier: GPL-3.0-or-later

// Package sequence takes slabs from the core's CPU caches and gives them back by restartable sequences,
// as the core does: assembly in place of a call into C. docs/go-fast-path.md has the argument.
//
// An assembly function is never preempted by Go, and keeps its thread. The kernel restarts a sequence
// whose thread it interrupts, for a signal of Go's too.
package sequence

// None is the id that TakeFast answers where it took nothing.
const None = ^uint64(0)

// How a release ended.
const (
	Done    = 0
	Refused = 1 // the word is as it was
	Freed   = 2 // the word says free, and the slab is in no cache
	Wipe    = 3 // the same: the slab has to be zeroed, then given
)
