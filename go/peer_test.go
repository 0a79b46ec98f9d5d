// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"sync"
	"testing"
)

func BenchmarkSyncPool(b *testing.B) {
	pool := &sync.Pool{New: func() any { s := make([]byte, 4096); return &s }}
	b.ReportAllocs()
	for b.Loop() {
		s := pool.Get().(*[]byte)
		(*s)[0] = 1
		pool.Put(s)
	}
}

func BenchmarkSyncPoolParallel(b *testing.B) {
	pool := &sync.Pool{New: func() any { s := make([]byte, 4096); return &s }}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s := pool.Get().(*[]byte)
			(*s)[0] = 1
			pool.Put(s)
		}
	})
}
