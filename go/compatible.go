// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import "math"

// Names that programs for github.com/xDarkicex/slabby use.

// ErrAllocationTimeout is ErrTimeout.
var ErrAllocationTimeout = ErrTimeout

// MaxBatchSize is the largest batch that any pool takes; the limit of one pool is its capacity, with
// WithHeapFallback that and its limit.
const MaxBatchSize = math.MaxInt32
