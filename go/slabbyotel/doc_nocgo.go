// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !cgo

// Package slabbyotel needs cgo, as the package slabby does.
package slabbyotel

import _ "github.com/slabby/slabby/go"
