// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// A random program runs against the pool and against a model in plain Go; every answer must agree.
// Each step of a program is two bytes: what to do, and with which of the known references or ids.

type modelRef struct {
	ref   slabby.SlabRef
	id    int32
	pins  int
	state byte // 'l' live, 'd' dying, 's' stale
	label uint64
}

type model struct {
	t        *testing.T
	pool     *slabby.Slabby
	capacity int
	refs     []*modelRef
	fast     map[int32][]byte
	made     uint64
	fastMade uint64
	step     int
}

func (m *model) used() int {
	used := len(m.fast)
	for _, r := range m.refs {
		if r.state != 's' {
			used++
		}
	}
	return used
}

func (m *model) want(what string, got, want error) {
	m.t.Helper()
	if got != want {
		m.t.Fatalf("step %d, %s: %v, want %v", m.step, what, got, want)
	}
}

func (m *model) pick(choice byte) *modelRef {
	if len(m.refs) == 0 {
		return nil
	}
	// Recent references are the interesting ones.
	return m.refs[len(m.refs)-1-int(choice)%min(len(m.refs), 24)]
}

func (m *model) allocate() {
	full := m.used() == m.capacity
	ref, err := m.pool.Allocate()
	if full {
		m.want("Allocate", err, slabby.ErrOutOfMemory)
		return
	}
	m.want("Allocate", err, nil)
	m.admit(ref)
}

func (m *model) admit(ref slabby.SlabRef) {
	data := ref.GetBytes()
	if len(data) != m.pool.Stats().SlabSize || cap(data) != len(data) {
		m.t.Fatalf("step %d: len %d, cap %d", m.step, len(data), cap(data))
	}
	for _, r := range m.refs {
		if r.state != 's' && r.id == ref.ID() || r.ref == ref {
			m.t.Fatalf("step %d: slab %d handed out twice", m.step, ref.ID())
		}
	}
	if _, taken := m.fast[ref.ID()]; taken {
		m.t.Fatalf("step %d: slab %d handed out twice", m.step, ref.ID())
	}
	binary.LittleEndian.PutUint64(data, ref.Ref())
	m.refs = append(m.refs, &modelRef{ref: ref, id: ref.ID(), state: 'l'})
	m.made++
}

func (m *model) release(r *modelRef, deferred bool) {
	var want error
	next := byte('s')
	switch {
	case r.state != 'l':
		want, next = slabby.ErrDoubleDeallocation, r.state
	case r.pins > 0 && deferred:
		next = 'd'
	case r.pins > 0:
		want, next = slabby.ErrPinned, 'l'
	}
	if deferred {
		m.want("ReleaseDeferred", r.ref.ReleaseDeferred(), want)
	} else {
		m.want("Release", r.ref.Release(), want)
	}
	r.state = next
}

func (m *model) pin(r *modelRef) {
	if r.state != 'l' {
		m.want("Pin", r.ref.Pin(), slabby.ErrUseAfterFree)
		return
	}
	m.want("Pin", r.ref.Pin(), nil)
	r.pins++
}

func (m *model) unpin(r *modelRef) {
	if r.state == 's' {
		m.want("Unpin", r.ref.Unpin(), slabby.ErrUseAfterFree)
		return
	}
	if r.pins == 0 {
		m.want("Unpin", r.ref.Unpin(), slabby.ErrInvalidArgument)
		return
	}
	m.want("Unpin", r.ref.Unpin(), nil)
	r.pins--
	if r.pins == 0 && r.state == 'd' {
		r.state = 's'
	}
}

func (m *model) check(r *modelRef) {
	data, err := r.ref.Bytes()
	if r.state != 'l' {
		m.want("Bytes", err, slabby.ErrUseAfterFree)
		if r.ref.IsValid() {
			m.t.Fatalf("step %d: a stale reference is valid", m.step)
		}
		return
	}
	m.want("Bytes", err, nil)
	if stamp := binary.LittleEndian.Uint64(data); stamp != r.ref.Ref() || !r.ref.IsValid() {
		m.t.Fatalf("step %d: slab %d holds %#x, not its stamp", m.step, r.id, stamp)
	}
}

func (m *model) setLabel(r *modelRef, choice byte) {
	if r.state != 'l' {
		m.want("SetLabel", r.ref.SetLabel(1), slabby.ErrUseAfterFree)
		return
	}
	label, err := r.ref.Label()
	m.want("Label", err, nil)
	if label != r.label {
		m.t.Fatalf("step %d: label %d, want %d", m.step, label, r.label)
	}
	r.label = uint64(choice) + 1
	m.want("SetLabel", r.ref.SetLabel(r.label), nil)
}

func (m *model) allocateBatch(choice byte) {
	count := 1 + int(choice)%m.capacity
	refs, err := m.pool.BatchAllocate(count)
	if m.used()+count > m.capacity {
		m.want("BatchAllocate", err, slabby.ErrOutOfMemory)
		return
	}
	m.want("BatchAllocate", err, nil)
	for _, ref := range refs {
		m.admit(ref)
	}
}

func (m *model) allocateFast() {
	data, id, err := m.pool.AllocateFast()
	if m.used() == m.capacity {
		m.want("AllocateFast", err, slabby.ErrOutOfMemory)
		return
	}
	m.want("AllocateFast", err, nil)
	if _, taken := m.fast[id]; taken {
		m.t.Fatalf("step %d: slab %d handed out twice", m.step, id)
	}
	data[0] = 0xFA
	m.fast[id] = data
	m.made++
	m.fastMade++
}

func (m *model) deallocateFast(choice byte) {
	id := int32(int(choice) % (m.capacity + 1))
	var want error = slabby.ErrDoubleDeallocation
	if _, mine := m.fast[id]; mine {
		want = nil
	}
	if int(id) == m.capacity {
		want = slabby.ErrInvalidSlabID
	}
	for _, r := range m.refs {
		if r.id == id && r.state != 's' {
			want = slabby.ErrInvalidSlabID
		}
	}
	m.want("DeallocateFast", m.pool.DeallocateFast(id), want)
	delete(m.fast, id)
}

func (m *model) reset() {
	for _, r := range m.refs {
		if r.pins > 0 && r.state != 's' {
			m.want("Reset", m.pool.Reset(), slabby.ErrPinned)
			return
		}
	}
	m.want("Reset", m.pool.Reset(), nil)
	for _, r := range m.refs {
		r.state = 's'
	}
	clear(m.fast)
}

func (m *model) compare() {
	s := m.pool.Stats()
	used := m.used()
	if s.UsedSlabs != used || s.AvailableSlabs != m.capacity-used ||
		s.TotalAllocations != m.made || s.TotalDeallocations != m.made-uint64(used) ||
		s.FastAllocations != m.fastMade || s.RefPoolHits != m.made-m.fastMade {
		m.t.Fatalf("step %d: %d used, %d made, %d fast; the pool says %+v", m.step, used, m.made,
			m.fastMade, s)
	}
	sum := s.PCPUCacheHits + s.LockFreeHits + s.ShardHits + s.GateHits + s.GuardHits + s.HeapFallbacks
	if sum != s.TotalAllocations {
		m.t.Fatalf("step %d: the tiers served %d of %d", m.step, sum, s.TotalAllocations)
	}
	live := 0
	for range m.pool.Live() {
		live++
	}
	if live != used {
		m.t.Fatalf("step %d: %d live slabs seen, want %d", m.step, live, used)
	}
}

func (m *model) do(action, choice byte) {
	if r := m.pick(choice); r != nil {
		switch action % 24 {
		case 0, 1, 2, 3:
			m.release(r, false)
		case 4, 5:
			m.release(r, true)
		case 6, 7:
			m.pin(r)
		case 8, 9, 10:
			m.unpin(r)
		case 11, 12:
			m.check(r)
		case 13:
			m.setLabel(r, choice)
		}
	}
	switch action % 24 {
	case 14, 15, 16, 17:
		m.allocate()
	case 18:
		m.allocateBatch(choice)
	case 19:
		m.allocateFast()
	case 20:
		m.deallocateFast(choice)
	case 21:
		m.compare()
	case 22:
		if choice%8 == 0 {
			m.reset()
		}
	case 23:
		if _, err := m.pool.Trim(); err != nil {
			m.t.Fatalf("step %d, Trim: %v", m.step, err)
		}
	}
}

// finish gives everything back: a pool with live slabs keeps its place for good.
func (m *model) finish() {
	for _, r := range m.refs {
		for r.pins > 0 && r.state != 's' {
			m.unpin(r)
		}
		if r.state == 'l' {
			m.release(r, false)
		}
	}
	for id := range m.fast {
		m.want("DeallocateFast", m.pool.DeallocateFast(id), nil)
	}
	clear(m.fast)
	m.compare()
}

func runModel(t *testing.T, capacity int, program []byte, options ...slabby.AllocatorOption) {
	t.Helper()
	pool := newPool(t, 64, capacity, options...)
	m := &model{t: t, pool: pool, capacity: capacity, fast: map[int32][]byte{}}
	for ; m.step+1 < len(program); m.step += 2 {
		m.do(program[m.step], program[m.step+1])
	}
	m.compare()
	m.finish()
}

func TestAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range rounds(t, 400) {
		program := make([]byte, 1000)
		for at := range program {
			program[at] = byte(random.Uint32())
		}
		capacity := []int{1, 2, 3, 7, 64}[random.IntN(5)]
		runModel(t, capacity, program, slabby.WithPCPUCache(random.IntN(2) == 0),
			slabby.WithShards(1+random.IntN(4)))
	}
}

func FuzzModel(f *testing.F) {
	f.Add(uint8(1), []byte{14, 0, 0, 0, 0, 0, 14, 0, 6, 0, 4, 0, 8, 0, 21, 0})
	f.Add(uint8(3), []byte{18, 2, 19, 0, 20, 0, 22, 8, 18, 2, 0, 1, 21, 0})
	f.Fuzz(func(t *testing.T, capacity uint8, program []byte) {
		runModel(t, 1+int(capacity)%100, program[:min(len(program), 2000)])
	})
}
