// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !cgo

// Package slabbygrpc needs cgo, as the package slabby does.
package slabbygrpc

import _ "github.com/slabby/slabby/go"
