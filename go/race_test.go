// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && race

package slabby_test

import (
	"sync"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// Guards: pools are made by many goroutines at once, without a race.
func TestManyMakePools(t *testing.T) {
	var making sync.WaitGroup
	for range 4 {
		spawn(&making, func() {
			for range 50 {
				pool, err := slabby.New(64, 100)
				if err != nil {
					t.Error(err)
					return
				}
				wantError(t, "Close", pool.Close(), nil)
			}
		})
	}
	making.Wait()
}

// Guards: slabs go from goroutine to goroutine by every kind of release, and the race detector has nothing to
// report, though nothing but the pool orders them: a call into C would, an allocation in Go does not.
func TestEveryReleaseHandsOver(t *testing.T) {
	plain := newPool(t, 64, 100)
	sampled := newPool(t, 64, 1000, slabby.WithGuardSampleRate(1000))
	address, instance, err := plain.Handle()
	wantError(t, "Handle", err, nil)
	adopted, err := slabby.Adopt(address, instance)
	wantError(t, "Adopt", err, nil)
	for name, c := range map[string]struct {
		pool    *slabby.Slabby
		release func(ref slabby.SlabRef) error
	}{
		"ReleaseDeferred": {plain, slabby.SlabRef.ReleaseDeferred},
		"Unpin": {plain, func(ref slabby.SlabRef) error {
			if err := ref.Pin(); err != nil {
				return err
			}
			if err := ref.ReleaseDeferred(); err != nil {
				return err
			}
			return ref.Unpin()
		}},
		"ReleaseBytes":                 {plain, releaseBytes},
		"ReleaseBytes on a guard slot": {sampled, releaseBytes},
		"Release":                      {plain, slabby.SlabRef.Release},
		"Release by another owner": {plain, func(ref slabby.SlabRef) error {
			return adopted.RefOf(ref.Ref()).Release()
		}},
	} {
		t.Run(name, func(t *testing.T) { handOver(t, c.pool, c.release) })
	}
}

func releaseBytes(ref slabby.SlabRef) error {
	return ref.Pool().ReleaseBytes(ref.GetBytes())
}

// handOver lets goroutines use slabs one after the other, in an order that they know only by the clock: whatever else
// they could wait for would tell the race detector of an order, and hide a hand-over that is missing.
func handOver(t *testing.T, pool *slabby.Slabby, release func(ref slabby.SlabRef) error) {
	var users sync.WaitGroup
	for range 100 {
		spawn(&users, func() {
			for range 20 {
				ref, err := pool.Allocate()
				if err != nil {
					t.Errorf("Allocate: %v", err)
					return
				}
				ref.GetBytes()[0]++
				if err := release(ref); err != nil {
					t.Errorf("release: %v", err)
				}
			}
		})
		time.Sleep(time.Millisecond / 4)
	}
	users.Wait()
}
