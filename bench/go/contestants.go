// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"sync"

	slabby "github.com/slabby/slabby/go"
)

// The most buffers that any workload holds at once.
const mostHeld = 64

func init() {
	contestants = append(contestants,
		contestant{"slabby Allocate, GetBytes", openRefs},
		contestant{"slabby AllocateFast", openFast},
		contestant{"make", openMake},
		contestant{"sync.Pool", openSyncPool},
	)
}

func nothing() error { return nil }

type refs struct {
	pool *slabby.Slabby
	held [mostHeld]slabby.SlabRef
}

func openRefs(size int) (func() worker, func() error, error) {
	pool, err := slabby.New(size, 1000)
	if err != nil {
		return nil, nil, err
	}
	return func() worker { return &refs{pool: pool} }, pool.Close, nil
}

func (r *refs) take(entry int) (err error) {
	r.held[entry], err = r.pool.Allocate()
	if err == nil {
		r.held[entry].GetBytes()[0] = 1
	}
	return err
}

func (r *refs) give(entry int) error {
	return r.held[entry].Release()
}

type fast struct {
	pool *slabby.Slabby
	held [mostHeld]int32
}

func openFast(size int) (func() worker, func() error, error) {
	pool, err := slabby.New(size, 1000)
	if err != nil {
		return nil, nil, err
	}
	return func() worker { return &fast{pool: pool} }, pool.Close, nil
}

func (f *fast) take(entry int) error {
	data, id, err := f.pool.AllocateFast()
	if err != nil {
		return err
	}
	data[0] = 1
	f.held[entry] = id
	return nil
}

func (f *fast) give(entry int) error {
	return f.pool.DeallocateFast(f.held[entry])
}

// made holds its buffers in a place that outlives the calls, so that make cannot use the stack.
type made struct {
	size int
	held [mostHeld][]byte
}

func openMake(size int) (func() worker, func() error, error) {
	return func() worker { return &made{size: size} }, nothing, nil
}

func (m *made) take(entry int) error {
	m.held[entry] = make([]byte, m.size)
	m.held[entry][0] = 1
	return nil
}

func (m *made) give(entry int) error {
	m.held[entry] = nil
	return nil
}

type pooled struct {
	pool *sync.Pool
	held [mostHeld]*[]byte
}

func openSyncPool(size int) (func() worker, func() error, error) {
	pool := &sync.Pool{New: func() any {
		buffer := make([]byte, size)
		return &buffer
	}}
	return func() worker { return &pooled{pool: pool} }, nothing, nil
}

func (p *pooled) take(entry int) error {
	p.held[entry] = p.pool.Get().(*[]byte)
	(*p.held[entry])[0] = 1
	return nil
}

func (p *pooled) give(entry int) error {
	p.pool.Put(p.held[entry])
	p.held[entry] = nil
	return nil
}
