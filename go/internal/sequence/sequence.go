// SPDX-License-Identifier: GPL-3.0-or-later

// Package sequence takes slabs from the core's CPU caches and gives them back by restartable sequences,
// as the core does: assembly in place of a call into C. docs/go-fast-path.md explains why this is
// correct.
//
// An assembly function is never preempted by Go, and keeps its thread. The kernel restarts a
// sequence whose thread it interrupts, also for a signal that Go sends.
package sequence

import "unsafe"

// Most is how many slabs a batch moves at most.
const Most = 120

// IDs is the array in which batches pass ids. The assembly copies four at a time, and no more than
// there are.
type IDs [Most]uint32

// Result is what a run of releases did.
type Result uint64

const (
	Refused   Result = iota // nothing: the cache is locked or has too little space, or this CPU makes no runs
	Done                    // the cache has all that was freed
	Restarted               // the words of what was freed say so, and the caller has the slabs
)

// Reference is a SlabRef as the assembly sees one.
type Reference struct {
	Hot    unsafe.Pointer
	Number uint64
}
