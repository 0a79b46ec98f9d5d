// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// storeRelease makes everything before it visible to a reader of the word. Every store of this
// processor does; sync/atomic would use a locked instruction, which orders more than is needed.
func storeRelease(word *uint64, value uint64) {
	*word = value
}
