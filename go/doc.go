// SPDX-License-Identifier: GPL-3.0-or-later

// Package slabby hands out equally sized blocks of memory ("slabs") from a pool that never grows by
// itself. References are checked: a stale, forged or foreign one is refused by every call.
//
//	pool, err := slabby.New(4096, 10_000, slabby.WithSecure())
//	if err != nil {
//		return err
//	}
//	defer pool.Close()
//
//	ref, err := pool.Allocate()
//	if err != nil {
//		return err
//	}
//	defer ref.Release()
//	data := ref.GetBytes() // len(data) == cap(data) == 4096
//
// A SlabRef is a value: copy it freely, compare it with ==. After the release every copy is stale
// and is recognised as such. The memory lies outside Go's heap; never keep Go pointers in it, and
// do not use a slice of GetBytes after the release.
//
// The core is C and lies in this folder, so that a C compiler is all it needs. With the build tag
// slabby_system the package links the installed libslabby instead (found by pkg-config), and then
// shares pools with C and Python code in the same process: see Handle and Adopt.
//
// Every call is safe for concurrent use. Errors match their sentinel by errors.Is; on calls that
// are made millions of times the error is the bare sentinel, and Explain gives the details of the
// case.
package slabby
