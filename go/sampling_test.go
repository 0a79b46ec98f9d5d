// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import "testing"

// A batch that would pass a sampling point moves the point to the allocation behind it, and never behind the turn,
// where no allocation would meet it for 2^32 turns.
func TestBatchesMoveTheSamplingPoint(t *testing.T) {
	for _, c := range []struct{ point, turn, count, want uint32 }{
		{105, 100, 10, 110},
		{105, 100, 5, 105},
		{105, 100, 6, 106},
		{100, 100, 1, 101},
		{99, 100, 10, 99},
		{3, 1<<32 - 2, 10, 8},
	} {
		m := magazine{sampleAt: c.point}
		if !m.sampleBehind(c.turn, c.count) || m.sampleAt != c.want {
			t.Errorf("a batch of %d at turn %d moves the point %d to %d, want %d", c.count, c.turn, c.point, m.sampleAt, c.want)
		}
	}
}
