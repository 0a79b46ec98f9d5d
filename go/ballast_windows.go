// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import "syscall"

// probe asks the system for memory as the runtime does, and gives it back untouched.
func probe(size int64) error {
	const commitAndReserve, release, readWrite = 0x3000, 0x8000, 4
	kernel := syscall.NewLazyDLL("kernel32.dll")
	address, _, err := kernel.NewProc("VirtualAlloc").Call(0, uintptr(size), commitAndReserve, readWrite)
	if size != 0 && address == 0 {
		return err
	}
	_, _, _ = kernel.NewProc("VirtualFree").Call(address, 0, release)
	return nil
}
