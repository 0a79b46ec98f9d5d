// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// Each misuse has its status, and a refused call changes nothing.
func TestMisuseOfReferences(t *testing.T) {
	pool := newPool(t, 64, 2)
	var none slabby.SlabRef
	wantError(t, "Release of the zero SlabRef", none.Release(), slabby.ErrInvalidReference)
	wantError(t, "Deallocate of the zero SlabRef", pool.Deallocate(none), slabby.ErrInvalidReference)
	wantError(t, "Pin of the zero SlabRef", none.Pin(), slabby.ErrInvalidReference)
	wantError(t, "Unpin of the zero SlabRef", none.Unpin(), slabby.ErrInvalidReference)
	wantError(t, "ReleaseDeferred of the zero SlabRef", none.ReleaseDeferred(),
		slabby.ErrInvalidReference)
	if none.IsValid() || bytesPanic(none) == nil || none.Size() != 0 || none.ID() != -1 {
		t.Error("the zero SlabRef is something")
	}
	ref := mustAllocate(t, pool)
	wantError(t, "Unpin without a pin", ref.Unpin(), slabby.ErrInvalidArgument)
	wantError(t, "Pin", ref.Pin(), nil)
	wantError(t, "Release under a pin", ref.Release(), slabby.ErrPinned)
	wantError(t, "Reset under a pin", pool.Reset(), slabby.ErrPinned)
	wantError(t, "Unpin", ref.Unpin(), nil)
	wantError(t, "SetLabel", ref.SetLabel(77), nil)
	if label, err := ref.Label(); label != 77 || err != nil {
		t.Errorf("Label: %d, %v", label, err)
	}
	mustRelease(t, ref)
	wantError(t, "Pin after release", ref.Pin(), slabby.ErrUseAfterFree)
	wantError(t, "SetLabel after release", ref.SetLabel(1), slabby.ErrUseAfterFree)
	_, err := ref.Stack()
	wantError(t, "Stack", err, nil)
	if ref.AllocationStack() != "" {
		t.Error("AllocationStack made something up")
	}
}

// GetBytes and MustAllocate panic with errors: what recover returns answers errors.Is and errors.As.
func TestPanicsAreErrors(t *testing.T) {
	pool := newPool(t, 64, 1)
	ref := mustAllocate(t, pool)
	caught := func(call func()) (err error) {
		defer func() { err, _ = recover().(error) }()
		call()
		return nil
	}
	err := caught(func() { pool.MustAllocate() })
	var detail *slabby.Error
	if !errors.Is(err, slabby.ErrOutOfMemory) || !errors.As(err, &detail) ||
		detail.Status != slabby.StatusOutOfMemory || !strings.Contains(err.Error(), "MustAllocate") {
		t.Errorf("MustAllocate of a full pool: %v", err)
	}
	mustRelease(t, ref)
	wantError(t, "GetBytes of a stale reference", caught(func() { ref.GetBytes() }),
		slabby.ErrUseAfterFree)
	wantError(t, "GetBytes of the zero SlabRef", caught(func() { slabby.SlabRef{}.GetBytes() }),
		slabby.ErrInvalidReference)
	wantError(t, "GetBytes of a forged reference",
		caught(func() { pool.RefOf(ref.Ref() + 1<<40).GetBytes() }), slabby.ErrInvalidReference)
	again := pool.MustAllocate()
	if caught(func() { again.GetBytes()[0] = 1 }) != nil {
		t.Error("GetBytes of a live reference panicked")
	}
	mustRelease(t, again)
}

func TestPinsAreBounded(t *testing.T) {
	ref := mustAllocate(t, newPool(t, 64, 1))
	for at := range 4095 {
		if err := ref.Pin(); err != nil {
			t.Fatalf("pin %d: %v", at+1, err)
		}
	}
	wantError(t, "the 4,096th pin", ref.Pin(), slabby.ErrTooManyPins)
	for range 4095 {
		wantError(t, "Unpin", ref.Unpin(), nil)
	}
	mustRelease(t, ref)
}

func TestMisuseOfFastIDs(t *testing.T) {
	pool := newPool(t, 64, 2)
	for _, id := range []int32{-1, 2, 1 << 30, -1 << 31} {
		wantError(t, "DeallocateFast out of range", pool.DeallocateFast(id), slabby.ErrInvalidSlabID)
	}
	wantError(t, "DeallocateFast of a free slab", pool.DeallocateFast(1),
		slabby.ErrDoubleDeallocation)
}

func TestMisuseOfBatches(t *testing.T) {
	pool := newPool(t, 64, 4)
	for _, count := range []int{-1, 0, 9, 1 << 40} {
		_, err := pool.BatchAllocate(count)
		var detail *slabby.Error
		if !errors.Is(err, slabby.ErrInvalidBatchSize) || !errors.As(err, &detail) ||
			detail.Value != int64(count) {
			t.Errorf("BatchAllocate(%d): %v", count, err)
		}
	}
	_, err := pool.BatchAllocate(5)
	wantError(t, "more than the pool holds without its heap", err, slabby.ErrInvalidBatchSize)
	refs, err := pool.BatchAllocate(3)
	wantError(t, "BatchAllocate(3)", err, nil)
	_, err = pool.BatchAllocate(2)
	wantError(t, "two where one is free", err, slabby.ErrOutOfMemory)
	if used := pool.Stats().UsedSlabs; used != 3 {
		t.Errorf("a refused batch left %d slabs used, want 3", used)
	}
	mixed := []slabby.SlabRef{refs[0], refs[0], {}, refs[1], refs[2]}
	released, err := pool.DeallocateBatch(mixed)
	wantError(t, "the first error of a batch", err, slabby.ErrDoubleDeallocation)
	if released != 3 {
		t.Errorf("%d released, want 3: a batch tries all", released)
	}
	wantError(t, "an empty batch", pool.BatchDeallocate(nil), nil)
}

func TestClosedPool(t *testing.T) {
	pool := newPool(t, 64, 2)
	ref := mustAllocate(t, pool)
	wantError(t, "Close", pool.Close(), nil)
	wantError(t, "Close again", pool.Close(), nil)
	_, err := pool.Allocate()
	wantError(t, "Allocate after Close", err, slabby.ErrClosed)
	_, _, err = pool.AllocateFast()
	wantError(t, "AllocateFast after Close", err, slabby.ErrClosed)
	if len(ref.GetBytes()) != 64 {
		t.Error("a live slab is not readable after Close")
	}
	mustRelease(t, ref)
	if stats := pool.Stats(); stats.UsedSlabs != 0 || stats.TotalAllocations != 1 {
		t.Errorf("stats after Close: %+v", stats)
	}
}

func TestNilPool(t *testing.T) {
	var pool *slabby.Slabby
	_, err := pool.Allocate()
	wantError(t, "Allocate", err, slabby.ErrInvalidArgument)
	_, err = pool.BatchAllocate(1)
	wantError(t, "BatchAllocate", err, slabby.ErrInvalidArgument)
	wantError(t, "Close", pool.Close(), slabby.ErrInvalidArgument)
	wantError(t, "DeallocateFast", pool.DeallocateFast(0), slabby.ErrInvalidArgument)
	_, err = pool.AllocateWithTimeout(time.Hour)
	wantError(t, "AllocateWithTimeout", err, slabby.ErrInvalidArgument)
	_, err = pool.AllocateContext(context.Background())
	wantError(t, "AllocateContext", err, slabby.ErrInvalidArgument)
	wantError(t, "HealthTick", pool.HealthTick(), slabby.ErrInvalidArgument)
	wantError(t, "BreakerForce", pool.BreakerForce(slabby.BreakerModeNormal),
		slabby.ErrInvalidArgument)
	if pool.Stats() != nil || pool.HealthCheck() != nil {
		t.Error("a nil pool has statistics")
	}
}

func TestContexts(t *testing.T) {
	pool := newPool(t, 64, 1)
	ctx, cancel := context.WithCancel(context.Background())
	ref, err := pool.AllocateContext(ctx)
	wantError(t, "AllocateContext", err, nil)
	mustRelease(t, ref)
	cancel()
	_, err = pool.AllocateContext(ctx)
	wantError(t, "AllocateContext, cancelled", err, context.Canceled)
	expired, cancel := context.WithTimeout(context.Background(), -1)
	defer cancel()
	_, err = pool.AllocateContext(expired)
	wantError(t, "AllocateContext, expired", err, context.DeadlineExceeded)
	if s := pool.Stats(); s.UsedSlabs != 0 || s.TotalAllocations != 1 {
		t.Errorf("a done context took a slab: %+v", s)
	}
}

func TestMustAllocatePanicsWithTheExplanation(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithName("orders"))
	ref := pool.MustAllocate()
	defer mustRelease(t, ref)
	defer func() {
		err, ok := recover().(error)
		if !ok || !strings.Contains(err.Error(), "orders") {
			t.Errorf("panicked with %v, which does not name the pool", err)
		}
	}()
	pool.MustAllocate()
	t.Error("MustAllocate of an exhausted pool returned")
}

// Guards: a batch that Go itself could refuse is still told to the core, whose counters every
// language reads.
func TestRefusedBatchIsCounted(t *testing.T) {
	pool := newPool(t, 64, 2)
	if _, err := pool.BatchAllocate(1000); !errors.Is(err, slabby.ErrInvalidBatchSize) {
		t.Fatalf("a batch of 1000 from 2: %v", err)
	}
	if counted := pool.Stats().Errors[slabby.StatusInvalidBatchSize]; counted != 1 {
		t.Fatalf("InvalidBatchSize was counted %d times, not once", counted)
	}
}
