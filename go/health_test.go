// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

func health(t testing.TB, pool *slabby.Slabby) *slabby.HealthMetrics {
	t.Helper()
	found, err := pool.Health()
	if err != nil {
		t.Fatalf("Health: %v", err)
	}
	return found
}

// take allocates so many slabs.
func take(t testing.TB, pool *slabby.Slabby, count int) []slabby.SlabRef {
	t.Helper()
	refs := make([]slabby.SlabRef, count)
	if err := pool.AllocateBatch(refs); err != nil {
		t.Fatalf("AllocateBatch(%d): %v", count, err)
	}
	return refs
}

func TestHealthOfAnIdlePool(t *testing.T) {
	found := *health(t, newPool(t, 64, 100))
	if found.HealthScore != 1 || found.CacheEfficiency != 1 || found.ErrorRate != 0 ||
		found.MemoryPressure != 0 || found.CircuitBreakerOpen || found.RecentTrend != "stable" {
		t.Errorf("%+v", found)
	}
}

// The fuller pool is never the healthier one.
func TestFullPoolIsLessHealthyThanHalfFullOne(t *testing.T) {
	pool := newPool(t, 64, 100)
	scores := []float64{}
	var all []slabby.SlabRef
	for _, more := range []int{50, 30, 10, 10} {
		all = append(all, take(t, pool, more)...)
		found := health(t, pool)
		scores = append(scores, found.HealthScore)
		if want := float64(len(all)) / 100; found.MemoryPressure != want {
			t.Errorf("%d of 100 used: memory pressure %v", len(all), found.MemoryPressure)
		}
	}
	for at, want := range []float64{1, 1, 0.6, 0.2} {
		if math.Abs(scores[at]-want) > 1e-9 {
			t.Errorf("scores at 50, 80, 90, 100 %% used: %v", scores)
			break
		}
	}
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(all), nil)
}

// Filling up is degrading, emptying is improving, and a score that stands still is stable.
func TestTrendIsNotInverted(t *testing.T) {
	pool := newPool(t, 64, 100)
	tick := func() { wantError(t, "HealthTick", pool.HealthTick(), nil) }
	trend := func(want string) {
		t.Helper()
		if got := health(t, pool).RecentTrend; got != want {
			t.Errorf("the trend is %q, want %q", got, want)
		}
	}
	for range 40 {
		tick()
	}
	trend("stable")
	used := take(t, pool, 80)
	for range 20 {
		used = append(used, mustAllocate(t, pool))
		tick()
	}
	for range 12 {
		tick()
	}
	trend("degrading")
	for at := range 32 {
		if at < 20 {
			mustRelease(t, used[len(used)-1])
			used = used[:len(used)-1]
		}
		tick()
	}
	trend("improving")
	for range 32 {
		tick()
	}
	trend("stable")
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(used), nil)
}

// A limit of 0 is no limit: the score is a number, and that of a sound pool.
func TestNoLatencyLimitMakesNoNaN(t *testing.T) {
	pool := newPool(t, 64, 4, slabby.WithMaxAllocLatency(0),
		slabby.WithLatencyTracking(slabby.LatencyTrackingAll))
	for range 1000 {
		mustRelease(t, mustAllocate(t, pool))
	}
	if found := health(t, pool); found.HealthScore != 1 {
		t.Errorf("%+v", found)
	}
}

// Percentiles come from every measured allocation, in order, and none is below what the clock shows.
func TestPercentiles(t *testing.T) {
	pool := newPool(t, 64, 16, slabby.WithLatencyTracking(slabby.LatencyTrackingAll))
	for range 5_000 {
		mustRelease(t, mustAllocate(t, pool))
	}
	stats, found := pool.Stats(), health(t, pool)
	// The first allocation of each CPU may go unmeasured.
	if stats.LatencySamples > 5_000 || stats.LatencySamples < 4_000 {
		t.Errorf("%d of 5,000 allocations were measured", stats.LatencySamples)
	}
	floor, largest := time.Duration(stats.LatencyFloorNs), time.Duration(stats.MaxAllocTimeNs)
	if found.AllocLatencyP50 <= 0 || found.AllocLatencyP50 < floor*98/100 ||
		found.AllocLatencyP50 > found.AllocLatencyP95 || found.AllocLatencyP95 > found.AllocLatencyP99 ||
		found.AllocLatencyP99 > largest*102/100+1 {
		t.Errorf("p50 %v, p95 %v, p99 %v; floor %v, largest %v", found.AllocLatencyP50,
			found.AllocLatencyP95, found.AllocLatencyP99, floor, largest)
	}
}

func TestErrorRateLowersTheScore(t *testing.T) {
	pool := newPool(t, 64, 4)
	mustRelease(t, mustAllocate(t, pool))
	refs := take(t, pool, 4)
	for range 5 {
		_, err := pool.Allocate()
		wantError(t, "Allocate of a full pool", err, slabby.ErrOutOfMemory)
	}
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
	if found := health(t, pool); found.ErrorRate != 0.5 || found.HealthScore != 0.5 {
		t.Errorf("5 of 10 attempts failed: %+v", found)
	}
}

// The breaker opens after so many failures, refuses, probes, and closes; operators have the last word.
func TestBreaker(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithCircuitBreaker(3, time.Millisecond))
	held := mustAllocate(t, pool)
	for range 3 {
		_, err := pool.Allocate()
		wantError(t, "Allocate of a full pool", err, slabby.ErrOutOfMemory)
	}
	if found := health(t, pool); !found.CircuitBreakerOpen || found.HealthScore != 0 {
		t.Errorf("after three failures: %+v", found)
	}
	mustRelease(t, held)
	for deadline := time.Now().Add(long); ; runtime.Gosched() {
		ref, err := pool.Allocate()
		if err == nil {
			mustRelease(t, ref)
			break
		}
		if err != slabby.ErrCircuitBreakerOpen || time.Now().After(deadline) {
			t.Fatalf("while the breaker is open: %v", err)
		}
	}
	if state := pool.Stats().BreakerState; state != slabby.BreakerStateClosed {
		t.Errorf("after a probe that succeeded the breaker is %v", state)
	}
	wantError(t, "BreakerForce", pool.BreakerForce(slabby.BreakerModeForcedOpen), nil)
	_, _, err := pool.AllocateFast()
	wantError(t, "AllocateFast, forced open", err, slabby.ErrCircuitBreakerOpen)
	wantError(t, "BreakerForce", pool.BreakerForce(slabby.BreakerModeDisabled), nil)
	mustRelease(t, mustAllocate(t, pool))
	wantError(t, "BreakerForce, no such mode", pool.BreakerForce(99), slabby.ErrInvalidArgument)
}

// A breaker that is half open admits waits, one after the other: a try ahead of the wait, and the count of its end, use
// up no probe.
func TestBreakerAdmitsWaits(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithCircuitBreaker(1, 500*time.Millisecond))
	defer mustRelease(t, mustAllocate(t, pool))
	_, err := pool.Allocate()
	wantError(t, "Allocate of a full pool", err, slabby.ErrOutOfMemory)
	for deadline := time.Now().Add(long); pool.Stats().BreakerState != slabby.BreakerStateHalfOpen; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the breaker stays open")
		}
	}
	for range 3 {
		_, err := pool.AllocateWithTimeout(time.Millisecond)
		wantError(t, "AllocateWithTimeout", err, slabby.ErrTimeout)
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		_, err = pool.AllocateContext(ctx)
		wantError(t, "AllocateContext", err, context.DeadlineExceeded)
		cancel()
	}
}

// LastGCDuration is Go's; every other key and word is the core's.
func TestHealthAsJSON(t *testing.T) {
	pool := newPool(t, 64, 4)
	runtime.GC()
	found := health(t, pool)
	if found.LastGCDuration <= 0 {
		t.Errorf("LastGCDuration is %v after a collection", found.LastGCDuration)
	}
	text, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	core, err := pool.HealthJSON()
	if err != nil {
		t.Fatal(err)
	}
	var ours, theirs map[string]any
	if err := json.Unmarshal(text, &ours); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(core), &theirs); err != nil {
		t.Fatalf("%v: %s", err, core)
	}
	delete(ours, "last_gc_duration")
	delete(theirs, "last_gc_duration")
	if len(ours) != len(theirs) {
		t.Errorf("%d keys, the core has %d", len(ours), len(theirs))
	}
	for key, value := range theirs {
		if !sameNumber(ours[key], value) && !reflect.DeepEqual(ours[key], value) {
			t.Errorf("%s is %v, the core says %v", key, ours[key], value)
		}
	}
}

// A pool that runs short degrades step by step, in both snapshots and in the events.
func TestDegradationIsSeenAndReported(t *testing.T) {
	var log lockedBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	pool := newPool(t, 64, 10, slabby.WithDegradeAt(50), slabby.WithSurviveAt(90),
		slabby.WithLogger(logger))
	refs := make([]slabby.SlabRef, 0, 9)
	for range 9 {
		refs = append(refs, mustAllocate(t, pool))
	}
	health, err := pool.Health()
	if err != nil || health.DegradationState != slabby.DegradationStateSurvival {
		t.Errorf("9 of 10 slabs: %v, %v", health.DegradationState, err)
	}
	if stats := pool.Stats(); stats.DegradationState != slabby.DegradationStateSurvival {
		t.Errorf("the statistics say %v", stats.DegradationState)
	}
	if err := pool.BreakerForce(slabby.BreakerModeForcedOpen); err != nil {
		t.Error(err)
	}
	if _, err := pool.LogEvents(context.Background()); err != nil {
		t.Error(err)
	}
	for _, word := range []string{"level=WARN", "to survival", "forced_open"} {
		if !strings.Contains(log.String(), word) {
			t.Errorf("%q is not in the log:\n%s", word, log.String())
		}
	}
	for _, ref := range refs {
		mustRelease(t, ref)
	}
}
