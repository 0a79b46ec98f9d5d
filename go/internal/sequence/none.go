// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !linux || !amd64 || slabby_noseq || slabby_nopin

package sequence

import "unsafe"

// Available says that this build has no sequences: leases serve.
const Available = false

func SetArea(uint64) {}

func Take(unsafe.Pointer) uint64                                          { return 0 }
func TakeGuarded(unsafe.Pointer) uint64                                   { return 0 }
func TakeFast(unsafe.Pointer) uint64                                      { return None }
func Release(unsafe.Pointer, uint64) uint64                               { return Refused }
func ReleaseProtected(unsafe.Pointer, uint64) uint64                      { return Refused }
func ReleaseFast(unsafe.Pointer, uint64) uint64                           { return Refused }
func Give(unsafe.Pointer, uint64) bool                                    { return false }
func TakeBatch(unsafe.Pointer, *uint64, uintptr, []uint32) (uint64, bool) { return 0, false }
func FreeBatch(unsafe.Pointer, *uint64, uintptr, []uint32) int            { return 0 }
func GiveBatch(unsafe.Pointer, []uint32) bool                             { return false }
