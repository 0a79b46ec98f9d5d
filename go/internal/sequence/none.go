// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !linux || !amd64 || slabby_noseq || slabby_nopin

package sequence

import "unsafe"

// Available says that this build has no sequences: leases serve.
const Available = false

func SetArea(uint64) {}

func Give(unsafe.Pointer, uint64) bool { return false }
func TakeBatch(unsafe.Pointer, unsafe.Pointer, []Reference, *[]byte, uint64) (uint64, bool, bool) {
	return 0, false, false
}
func ReleaseRun(unsafe.Pointer, []Reference, *IDs) (freed int, result Result) {
	return 0, Refused
}
func FreeBatch(unsafe.Pointer, []Reference, *IDs) int  { return 0 }
func GiveBatch(unsafe.Pointer, *IDs, int) (given bool) { return false }
