// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// wait is a goroutine that allocates, and its answer once there is one. Go's package takes a grant as soon
// as there is one, so what the program collects has been taken before.
type wait struct {
	pool   *slabby.Slabby
	cancel context.CancelFunc
	answer chan granted
}

type granted struct {
	ref slabby.SlabRef
	err error
}

func (w *wait) answered() bool { return len(w.answer) == 1 }

// longestTurn is how long goroutines may need for what they do at once: it bounds a defect.
const longestTurn = time.Minute

// until lets goroutines run until a condition holds.
func until(what string, holds func() bool) {
	for deadline := time.Now().Add(longestTurn); !holds(); {
		if time.Now().After(deadline) {
			panic(malformed("in vain: " + what))
		}
		runtime.Gosched()
	}
}

func waiters(pool *slabby.Slabby) uint64 { return pool.Stats().Waiters }

// beginWait returns once the goroutine has a slab, or stands in the pool's queue.
func beginWait(m *machine, pool *slabby.Slabby, in instruction) string {
	if m.waits[in.target] != nil {
		return unset
	}
	before := waiters(pool)
	ctx, cancel := context.WithCancel(context.Background())
	w := &wait{pool, cancel, make(chan granted, 1)}
	go func() {
		ref, err := pool.AllocateContext(ctx)
		w.answer <- granted{ref, err}
	}()
	until("a wait that begins", func() bool { return w.answered() || waiters(pool) > before })
	if w.answered() {
		got := <-w.answer
		if got.err != nil {
			cancel()
			return only(got.err)
		}
		w.answer <- got
	}
	m.waits[in.target] = w
	return only(nil)
}

// servesAll reports whether nobody waits beside a free slab. A release that meets a thread at work on the queue leaves
// the slab to that thread, which another program may have stopped.
func servesAll(s *slabby.AllocatorStats) bool {
	return s.Waiters == 0 || s.AvailableSlabs == 0 || s.PoolState != slabby.PoolStateOpen
}

// awaitGrants returns once every wait of a pool has its answer, or stands in the queue.
func (m *machine) awaitGrants(pool *slabby.Slabby) {
	number := address(pool)
	until("a grant that goes to its goroutine", func() bool {
		waiting := uint64(0)
		for _, w := range m.waits {
			if !w.answered() && address(w.pool) == number {
				waiting++
			}
		}
		s := pool.Stats()
		return waiting+m.elsewhere[number] == s.Waiters && servesAll(s)
	})
}

// end forgets a wait whose answer was read.
func (m *machine) end(name string) {
	m.waits[name].cancel()
	delete(m.waits, name)
}

func isGranted(truth bool) string {
	return answer(nil).add("granted", strconv.FormatBool(truth)).end()
}

func collect(m *machine, in instruction) string {
	w := m.waits[in.word(1)]
	if w == nil {
		return unset
	}
	m.awaitGrants(w.pool)
	if !w.answered() {
		return isGranted(false)
	}
	got := <-w.answer
	m.end(in.word(1))
	if got.err != nil {
		return only(got.err)
	}
	m.refs[in.target] = got.ref.Ref()
	return isGranted(true)
}

// callOff reports whether a slab had been granted, which goes back. An error is why the wait ended in another way.
func (m *machine) callOff(name string) (bool, error) {
	w := m.waits[name]
	m.awaitGrants(w.pool)
	w.cancel()
	got := <-w.answer
	m.end(name)
	if got.err == nil {
		return true, got.ref.Release()
	}
	if errors.Is(got.err, context.Canceled) || errors.Is(got.err, slabby.ErrClosed) {
		return false, nil
	}
	return false, got.err
}

func cancelWait(m *machine, in instruction) string {
	if m.waits[in.word(1)] == nil {
		return unset
	}
	had, err := m.callOff(in.word(1))
	if err != nil {
		return only(err)
	}
	return isGranted(had)
}

func (m *machine) endWaits() {
	for name := range m.waits {
		_, _ = m.callOff(name)
	}
}
