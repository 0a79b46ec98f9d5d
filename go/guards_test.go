// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

// beside is the byte at an offset from the slab's first, which no slice of the slab reaches.
func beside(data []byte, offset int) *byte {
	return (*byte)(unsafe.Add(unsafe.Pointer(&data[0]), offset))
}

// One byte past either end is found on release; the slab leaves service until it is reclaimed.
func TestOverflowIsDetected(t *testing.T) {
	const size = 100
	for _, offset := range []int{-1, size} {
		lines := make(logLines, 16)
		pool := newPool(t, size, 2, slabby.WithBitGuard(), slabby.WithName("orders"),
			slabby.WithLogger(slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelWarn}))))
		ref := mustAllocate(t, pool)
		*beside(ref.GetBytes(), offset) ^= 1
		if findings, err := pool.Verify(); err != nil || len(findings) != 1 ||
			findings[0].Kind != slabby.FindingKindGuardBytes || findings[0].ID != ref.ID() ||
			findings[0].Offset != int64(offset) {
			t.Errorf("offset %d: Verify found %+v, %v", offset, findings, err)
		}
		wantError(t, "Release after an overflow", ref.Release(), slabby.ErrMemoryCorruption)
		if line := <-lines; !strings.Contains(line, "memory corruption") ||
			!strings.Contains(line, "orders") {
			t.Errorf("logged %q", line)
		}
		wantError(t, "Release once more", ref.Release(), slabby.ErrDoubleDeallocation)
		if s := pool.Stats(); s.Corruptions != 1 || s.QuarantinedSlabs != 1 || s.UsedSlabs != 0 {
			t.Errorf("offset %d: %d corruptions, %d quarantined", offset, s.Corruptions,
				s.QuarantinedSlabs)
		}
		if score := health(t, pool).HealthScore; score != 0.25 {
			t.Errorf("unacknowledged corruption scores %v", score)
		}
		if back, err := pool.Reclaim(); back != 1 || err != nil {
			t.Errorf("Reclaim: %d, %v", back, err)
		}
		if score := health(t, pool).HealthScore; score != 1 {
			t.Errorf("acknowledged corruption scores %v", score)
		}
		wantError(t, "BatchDeallocate", pool.BatchDeallocate(take(t, pool, 2)), nil)
	}
}

// Writing every byte of a slab is no corruption, whatever protects it.
func TestWritesInBoundsPass(t *testing.T) {
	for _, protection := range []slabby.AllocatorOption{
		slabby.WithBitGuard(), slabby.WithGuardPages(), slabby.WithReuseDelay(4),
		slabby.WithShuffle(), slabby.WithSecure(),
	} {
		for _, size := range []int{1, 7, 64, 100, 4096, 5000} {
			pool, err := slabby.New(size, 8, protection)
			if errors.Is(err, slabby.ErrNotSupported) {
				t.Skipf("refused here: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				refs := take(t, pool, 8)
				for _, ref := range refs {
					data := ref.GetBytes()
					for i := range data {
						data[i] = 0xFF
					}
				}
				wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
			}
			if findings, err := pool.Verify(); len(findings) != 0 || err != nil {
				t.Errorf("size %d: %+v, %v", size, findings, err)
			}
			wantError(t, "Close", pool.Close(), nil)
		}
	}
}

// With guard pages the first byte past the end faults at once; Go turns the fault into a panic.
func TestGuardPagesFault(t *testing.T) {
	pool := newPool(t, 4096, 4, slabby.WithGuardPages())
	for range 4 {
		data := mustAllocate(t, pool).GetBytes()
		if !faults(beside(data, 4096)) {
			t.Error("a write past the end went through")
		}
		if faults(&data[4095]) || faults(&data[0]) {
			t.Error("a write inside faulted")
		}
	}
	wantError(t, "Reset", pool.Reset(), nil)
}

func faults(entry *byte) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	*entry = 1
	return false
}
