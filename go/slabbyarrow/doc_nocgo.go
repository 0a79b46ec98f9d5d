// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !cgo

// Package slabbyarrow needs cgo, as the package slabby does.
package slabbyarrow

import _ "github.com/slabby/slabby/go"
