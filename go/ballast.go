// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import (
	"fmt"
	"math"
	"runtime/debug"
)

// The runtime's tables of a ballast are 1 GiB then.
const mostBallast = 1 << 40

// checkBallast refuses a ballast for which the runtime would end the process: it cannot return an error. A size or
// capacity that no pool has is left to the core.
func checkBallast(slabSize, capacity int) error {
	if slabSize > 1<<30 || capacity > math.MaxInt32 {
		return nil
	}
	size, limit, reason := int64(slabSize)*int64(capacity), int64(mostBallast), "the largest ballast"
	if set := debug.SetMemoryLimit(-1); set < limit {
		limit, reason = set, "the memory limit of this process (GOMEMLIMIT)"
	}
	if size > limit {
		return ballastError(size, limit, fmt.Sprintf("%s is %d bytes", reason, limit))
	}
	if err := probe(size); err != nil {
		return ballastError(size, 0, fmt.Sprintf("the system does not grant it (%v)", err))
	}
	return nil
}

func ballastError(size, limit int64, reason string) error {
	return &Error{
		Status: StatusNoSystemMemory, Value: size, Maximum: limit,
		Text: fmt.Sprintf("option WithHeapBallast: a ballast of %d bytes, slab size times capacity; %s. Choose fewer or "+
			"smaller slabs, or leave the option out and set GOGC", size, reason),
	}
}
