// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !cgo

// Package slabbyprom needs cgo, as the package slabby does.
package slabbyprom

import _ "github.com/slabby/slabby/go"
