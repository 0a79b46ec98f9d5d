// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !cgo

package slabby

// The core is C. Without cgo the compiler stops here, with an undefined name that says what to do.
var _ = slabby_needs_cgo_set_CGO_ENABLED_1_and_install_a_C_compiler
