// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !cgo

// Package slabbyexpvar needs cgo, as the package slabby does.
package slabbyexpvar

import _ "github.com/slabby/slabby/go"
