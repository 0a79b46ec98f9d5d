// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// Events order what happens here; the times only bound how long a defect may last.
const long = time.Minute

// untilWaiting returns once so many allocations wait.
func untilWaiting(t testing.TB, pool *slabby.Slabby, count uint64) {
	t.Helper()
	for deadline := time.Now().Add(long); pool.Stats().Waiters < count; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", pool.Stats().Waiters, count)
		}
	}
}

type answer struct {
	ref slabby.SlabRef
	err error
}

// waiter allocates in a goroutine of its own; it waits in the pool's queue when this returns.
func waiter(t testing.TB, pool *slabby.Slabby, allocate func() (slabby.SlabRef, error)) <-chan answer {
	t.Helper()
	before := pool.Stats().Waiters
	answers := make(chan answer, 1)
	go func() {
		ref, err := allocate()
		answers <- answer{ref, err}
	}()
	untilWaiting(t, pool, before+1)
	return answers
}

func forLong(pool *slabby.Slabby) func() (slabby.SlabRef, error) {
	return func() (slabby.SlabRef, error) { return pool.AllocateWithTimeout(long) }
}

func TestWaitTriesOnceWithoutATime(t *testing.T) {
	pool := newPool(t, 64, 1)
	held, err := pool.AllocateWithTimeout(0)
	wantError(t, "AllocateWithTimeout(0) of a free pool", err, nil)
	for _, timeout := range []time.Duration{0, -time.Second, -1 << 63} {
		_, err = pool.AllocateWithTimeout(timeout)
		wantError(t, "AllocateWithTimeout of a full pool", err, slabby.ErrOutOfMemory)
	}
	mustRelease(t, held)
	for _, timeout := range []time.Duration{1, long, 1<<63 - 1} {
		ref, err := pool.AllocateWithTimeout(timeout)
		wantError(t, "AllocateWithTimeout with a free slab", err, nil)
		mustRelease(t, ref)
	}
	if s := pool.Stats(); s.AllocationErrors != 3 || s.Errors[slabby.StatusOutOfMemory] != 3 {
		t.Errorf("three refusals counted as %d, %v", s.AllocationErrors, s.Errors)
	}
}

// A wait in vain is one Timeout; a wait that ends well is no failure at all.
func TestWaitsAreCountedOnce(t *testing.T) {
	pool := newPool(t, 64, 1)
	held := mustAllocate(t, pool)
	_, err := pool.AllocateWithTimeout(time.Millisecond)
	wantError(t, "a wait in vain", err, slabby.ErrTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = pool.AllocateContext(ctx)
	wantError(t, "a context that ends", err, context.DeadlineExceeded)
	answers := waiter(t, pool, forLong(pool))
	mustRelease(t, held)
	got := <-answers
	wantError(t, "AllocateWithTimeout", got.err, nil)
	mustRelease(t, got.ref)
	s := pool.Stats()
	if s.AllocationErrors != 2 || s.Errors[slabby.StatusTimeout] != 2 {
		t.Errorf("two waits in vain counted as %d, %v", s.AllocationErrors, s.Errors)
	}
	checkQuiet(t, pool)
}

// First come, first served; an allocation without waiting never overtakes.
func TestFirstComeFirstServed(t *testing.T) {
	pool := newPool(t, 64, 1)
	held := mustAllocate(t, pool)
	var queue []<-chan answer
	for at := range 20 {
		allocate := forLong(pool)
		if at%2 == 1 {
			allocate = func() (slabby.SlabRef, error) {
				return pool.AllocateContext(context.Background())
			}
		}
		queue = append(queue, waiter(t, pool, allocate))
	}
	for at, answers := range queue {
		mustRelease(t, held)
		_, err := pool.Allocate()
		wantError(t, "Allocate while others wait", err, slabby.ErrOutOfMemory)
		got := <-answers
		if got.err != nil || !got.ref.IsValid() {
			t.Fatalf("waiter %d: %v", at, got.err)
		}
		held = got.ref
	}
	mustRelease(t, held)
	checkQuiet(t, pool)
}

// Hundreds wait, and the process needs no thread for each.
func TestWaitingHoldsNoThreads(t *testing.T) {
	const count = 500
	pool := newPool(t, 64, 1)
	held := mustAllocate(t, pool)
	var wait sync.WaitGroup
	before := threadCount(t)
	for range count {
		wait.Add(1)
		go func() {
			defer wait.Done()
			ref, err := pool.AllocateWithTimeout(long)
			if err == nil {
				err = ref.Release()
			}
			wantError(t, "AllocateWithTimeout", err, nil)
		}()
	}
	untilWaiting(t, pool, count)
	if more := threadCount(t) - before; more > count/10 {
		t.Errorf("%d waits hold %d more threads", count, more)
	}
	mustRelease(t, held)
	wait.Wait()
	checkQuiet(t, pool)
}

// A thousand wait, and each release serves one of them.
func TestOneReleaseServesOne(t *testing.T) {
	const count = 1000
	pool := newPool(t, 64, 1)
	held := mustAllocate(t, pool)
	served := make(chan slabby.SlabRef, count)
	for range count {
		go func() {
			ref, err := pool.AllocateWithTimeout(long)
			wantError(t, "AllocateWithTimeout", err, nil)
			served <- ref
		}()
	}
	untilWaiting(t, pool, count)
	for left := count - 1; left >= 0; left-- {
		mustRelease(t, held)
		held = <-served
		if waiters := pool.Stats().Waiters; waiters != uint64(left) || len(served) != 0 {
			t.Fatalf("after %d releases %d wait and %d more were served", count-left, waiters, len(served))
		}
	}
	mustRelease(t, held)
	checkQuiet(t, pool)
}

// A context that is cancelled leaves the queue, and the slab goes to the next.
func TestCancelledContextLeavesTheQueue(t *testing.T) {
	pool := newPool(t, 64, 1)
	held := mustAllocate(t, pool)
	ctx, cancel := context.WithCancel(context.Background())
	first := waiter(t, pool, func() (slabby.SlabRef, error) { return pool.AllocateContext(ctx) })
	second := waiter(t, pool, forLong(pool))
	cancel()
	wantError(t, "the cancelled wait", (<-first).err, context.Canceled)
	mustRelease(t, held)
	got := <-second
	wantError(t, "the next", got.err, nil)
	mustRelease(t, got.ref)
	if failures := pool.Stats().AllocationErrors; failures != 0 {
		t.Errorf("a change of mind counted as %d failures of the pool", failures)
	}
	checkQuiet(t, pool)
}

// Cancelled at the moment of the grant, a wait either has the slab or has given it back.
func TestCancelAgainstGrantLosesNothing(t *testing.T) {
	pool := newPool(t, 64, 1)
	for range rounds(t, 10_000) {
		held := mustAllocate(t, pool)
		ctx, cancel := context.WithCancel(context.Background())
		answers := waiter(t, pool, func() (slabby.SlabRef, error) { return pool.AllocateContext(ctx) })
		go cancel()
		mustRelease(t, held)
		switch got := <-answers; {
		case got.err == nil:
			mustRelease(t, got.ref)
		case !errors.Is(got.err, context.Canceled):
			t.Fatal(got.err)
		}
		if used := pool.Stats().UsedSlabs; used != 0 {
			t.Fatalf("%d slabs lost", used)
		}
	}
	checkQuiet(t, pool)
}

func TestTimeoutAgainstGrantLosesNothing(t *testing.T) {
	pool := newPool(t, 64, 2)
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for at := range rounds(t, 4_000) {
				ref, err := pool.AllocateWithTimeout(time.Duration((at+worker)%50) * time.Microsecond)
				if err == slabby.ErrTimeout || err == slabby.ErrOutOfMemory {
					continue
				}
				if err == nil {
					runtime.Gosched()
					err = ref.Release()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wait.Wait()
	if waiters := pool.Stats().Waiters; waiters != 0 {
		t.Errorf("%d still wait", waiters)
	}
	checkQuiet(t, pool)
}

// Close ends every wait, and leaves no goroutine behind. Each such wait is counted and audited, once.
func TestCloseEndsWaits(t *testing.T) {
	before := runtime.NumGoroutine()
	pool := newPool(t, 64, 1, slabby.WithAudit(64))
	held := mustAllocate(t, pool)
	var queue []<-chan answer
	for range 5 {
		queue = append(queue, waiter(t, pool, forLong(pool)), waiter(t, pool, func() (slabby.SlabRef, error) {
			return pool.AllocateContext(context.Background())
		}))
	}
	wantError(t, "Close", pool.Close(), nil)
	for _, answers := range queue {
		wantError(t, "a wait", (<-answers).err, slabby.ErrClosed)
	}
	if s := pool.Stats(); s.Errors[slabby.StatusClosed] != 10 || s.AllocationErrors != 10 {
		t.Errorf("ten waits that Close ended are counted as %d, %v", s.AllocationErrors, s.Errors)
	}
	if refused := auditedAs(t, pool, slabby.StatusClosed); refused != 10 {
		t.Errorf("ten waits that Close ended are audited %d times", refused)
	}
	_, err := pool.AllocateWithTimeout(long)
	wantError(t, "AllocateWithTimeout after Close", err, slabby.ErrClosed)
	_, err = pool.AllocateContext(context.Background())
	wantError(t, "AllocateContext after Close", err, slabby.ErrClosed)
	mustRelease(t, held)
	collect(func() bool { return runtime.NumGoroutine() <= before })
}

// auditedAs is how many records of the audit log have a status.
func auditedAs(t *testing.T, pool *slabby.Slabby, status slabby.Status) (count int) {
	t.Helper()
	records, _, _, err := pool.ReadAudit(0)
	wantError(t, "ReadAudit", err, nil)
	for _, record := range records {
		if record.Status == status {
			count++
		}
	}
	return count
}

// A pool that waited and is idle again, or was dropped while idle, ends its goroutine too.
func TestNoGoroutineStays(t *testing.T) {
	before := runtime.NumGoroutine()
	waitInVain := func() *slabby.Slabby {
		pool, err := slabby.New(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		mustAllocate(t, pool)
		_, err = pool.AllocateWithTimeout(time.Microsecond)
		wantError(t, "a wait in vain", err, slabby.ErrTimeout)
		return pool
	}
	for range 20 {
		wantError(t, "Close", waitInVain().Close(), nil)
	}
	collect(func() bool { return runtime.NumGoroutine() <= before })
	for range 20 {
		waitInVain()
	}
	collect(func() bool { return runtime.NumGoroutine() <= before })
}

// Another binding's Close ends the waits of this one.
func TestCloseOfAnotherBindingEndsWaits(t *testing.T) {
	pool := newPool(t, 64, 1)
	address, instance, err := pool.Handle()
	wantError(t, "Handle", err, nil)
	other, err := slabby.Adopt(address, instance)
	wantError(t, "Adopt", err, nil)
	held := mustAllocate(t, pool)
	answers := waiter(t, pool, forLong(pool))
	wantError(t, "Close", other.Close(), nil)
	wantError(t, "the wait", (<-answers).err, slabby.ErrClosed)
	mustRelease(t, held)
}

// Demand within capacity, all of it by waiting: no wait fails, nothing is in two hands.
func TestWaitersShareFairlyAndSafely(t *testing.T) {
	pool := newPool(t, 64, 3, slabby.WithCircuitBreaker(1, time.Hour))
	var wait sync.WaitGroup
	for range 12 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for range rounds(t, 2_000) {
				ref, err := pool.AllocateWithTimeout(long)
				if err == nil {
					runtime.Gosched()
					err = ref.Release()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wait.Wait()
	checkQuiet(t, pool)
}

// The timed wait of a full pool with a breaker: it neither polls nor trips it.
func TestTimedWaitDoesNotTripTheBreaker(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithCircuitBreaker(5, time.Hour))
	held := mustAllocate(t, pool)
	answers := waiter(t, pool, forLong(pool))
	mustRelease(t, held)
	got := <-answers
	wantError(t, "AllocateWithTimeout", got.err, nil)
	for range 20 {
		_, err := pool.AllocateWithTimeout(time.Microsecond)
		wantError(t, "a wait in vain", err, slabby.ErrTimeout)
	}
	if s := pool.Stats(); s.BreakerState != slabby.BreakerStateClosed {
		t.Errorf("the breaker is %v after waits", s.BreakerState)
	}
	mustRelease(t, got.ref)
}

// A wait whose time is over is one Timeout, whatever would refuse an allocation at that moment.
func TestTimeIsOverWhileTheBreakerIsOpen(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithAudit(64))
	held := mustAllocate(t, pool)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	byContext := waiter(t, pool, func() (slabby.SlabRef, error) { return pool.AllocateContext(ctx) })
	byTime := waiter(t, pool, func() (slabby.SlabRef, error) { return pool.AllocateWithTimeout(time.Second) })
	wantError(t, "BreakerForce", pool.BreakerForce(slabby.BreakerModeForcedOpen), nil)
	wantError(t, "AllocateContext", (<-byContext).err, context.DeadlineExceeded)
	wantError(t, "AllocateWithTimeout", (<-byTime).err, slabby.ErrTimeout)
	s := pool.Stats()
	if len(s.Errors) != 1 || s.Errors[slabby.StatusTimeout] != 2 || auditedAs(t, pool, slabby.StatusTimeout) != 2 {
		t.Errorf("two waits in vain counted as %v", s.Errors)
	}
	mustRelease(t, held)
}

// What refuses a plain allocation refuses a wait, and what serves one serves it.
func TestWaitsMeetTheBreakerAndTheHeap(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithCircuitBreaker(5, time.Hour), slabby.WithHeapFallback())
	held := mustAllocate(t, pool)
	spare, err := pool.AllocateWithTimeout(long)
	wantError(t, "AllocateWithTimeout with the heap", err, nil)
	_, err = pool.AllocateWithTimeout(time.Microsecond)
	wantError(t, "AllocateWithTimeout beyond the heap", err, slabby.ErrTimeout)
	wantError(t, "BreakerForce", pool.BreakerForce(slabby.BreakerModeForcedOpen), nil)
	_, err = pool.AllocateWithTimeout(long)
	wantError(t, "AllocateWithTimeout, forced open", err, slabby.ErrCircuitBreakerOpen)
	_, err = pool.AllocateContext(context.Background())
	wantError(t, "AllocateContext, forced open", err, slabby.ErrCircuitBreakerOpen)
	wantError(t, "BreakerForce", pool.BreakerForce(slabby.BreakerModeNormal), nil)
	mustRelease(t, held)
	mustRelease(t, spare)
}
