// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !cgo

// Package classes needs cgo, as the package slabby does.
package classes

import _ "github.com/slabby/slabby/go"
