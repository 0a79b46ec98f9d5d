// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && race

package slabby_test

import (
	"runtime"
	"sync"
	"testing"
)

const raceEnabled = true

// Guards: a Reset hands over too, all slabs at once. The goroutines take turns of which the detector knows nothing.
func TestResetHandsOver(t *testing.T) {
	pool := newPool(t, 64, 64)
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	var users sync.WaitGroup
	for range 100 {
		spawn(&users, func() {
			runtime.RaceDisable()
			<-turn
			runtime.RaceEnable()
			for range 63 {
				ref, err := pool.Allocate()
				wantError(t, "Allocate", err, nil)
				ref.GetBytes()[0]++
			}
			wantError(t, "Reset", pool.Reset(), nil)
			// Other slabs come into this CPU's cache with this one, which a release would hand over.
			_, err := pool.Allocate()
			wantError(t, "Allocate", err, nil)
			runtime.RaceDisable()
			turn <- struct{}{}
			runtime.RaceEnable()
		})
	}
	users.Wait()
}
