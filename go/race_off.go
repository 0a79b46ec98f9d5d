// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && !race

package slabby

const raceDetector = false

// raceWatch tells the race detector what happens to slabs; without the detector it is nothing.
type raceWatch struct{}

func (raceWatch) prepare(int)          {}
func (raceWatch) allocated(uint64)     {}
func (raceWatch) used(uint64)          {}
func (raceWatch) releasing(uint64)     {}
func (raceWatch) releasingFrom(uint64) {}
