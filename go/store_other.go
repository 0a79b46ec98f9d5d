// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && !amd64

package slabby

import "sync/atomic"

// storeRelease makes everything before it visible to a reader of the word.
func storeRelease(word *uint64, value uint64) {
	atomic.StoreUint64(word, value)
}
