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

// Reference is a SlabRef as the assembly sees one.
type Reference struct {
	Hot    unsafe.Pointer
	Number uint64
}
