// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"fmt"
	"time"
)

// SuggestSlabSize returns a slab size in bytes that holds every object of at most maximum bytes,
// rounded up to alignment, and to whole cache lines if neighbours should not share one: at a
// million allocations a second, or if the average object fills half a line.
func SuggestSlabSize(average, maximum int, ratePerSecond float64, alignment int) (int, error) {
	given := fmt.Sprintf("average %d, maximum %d, %g per second, alignment %d",
		average, maximum, ratePerSecond, alignment)
	const limits = "; 1 <= average <= maximum <= 1 GiB, a rate above 0 up to 1e12 and an alignment " +
		"that is a power of two up to 2 MiB make sense together"
	var size C.uint64_t
	status := StatusInvalidArgument
	if average >= 0 && maximum >= 0 && alignment >= 0 { // what C could not see
		status = Status(C.slabby_suggest_slab_size(&size, C.uint64_t(average), C.uint64_t(maximum),
			C.double(ratePerSecond), C.uint64_t(alignment)))
	}
	return suggested(size, status, given, limits)
}

// SuggestCapacity returns the least number of slabs with which an allocation finds none no more
// often than exhaustion, a probability: by Little's law and Erlang's loss formula, with one percent
// of the time spent in stalls during which slabs are held for p99Hold. docs/sizing.md shows the
// formula.
func SuggestCapacity(
	ratePerSecond float64, meanHold, p99Hold time.Duration, exhaustion float64,
) (int, error) {
	given := fmt.Sprintf("%g per second, mean hold %v, p99 hold %v, probability %g",
		ratePerSecond, meanHold, p99Hold, exhaustion)
	const limits = "; a rate above 0 up to 1e12, holds from 1 ns to 24 h with a p99 of at most 100 " +
		"times the mean, and a probability from 1e-15 to below 1 make sense together"
	var capacity C.uint64_t
	status := StatusInvalidArgument
	if meanHold >= 0 && p99Hold >= 0 {
		status = Status(C.slabby_suggest_capacity(&capacity, C.double(ratePerSecond),
			C.uint64_t(meanHold), C.uint64_t(p99Hold), C.double(exhaustion)))
	}
	return suggested(capacity, status, given, limits)
}

func suggested(number C.uint64_t, status Status, given, limits string) (int, error) {
	switch status {
	case StatusOK:
		return int(number), nil
	case StatusInvalidArgument:
		return 0, &Error{Status: status, Text: given + limits}
	default:
		return 0, &Error{Status: status, Text: given + " need more slabs than a pool can have"}
	}
}
