// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && slabby_system

package slabby

// The installed libslabby, which other languages in the process may share.

// #cgo CFLAGS: -std=gnu11 -O2 -DSLABBY_SYSTEM=1
// #cgo pkg-config: slabby
import "C"
