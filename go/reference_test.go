// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"runtime"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// The samples of the reference's description, unchanged but for import and *SlabRef. processed and the
// functions that the samples leave to the reader stand in between.
var processed int

func processHighFrequencyData(data []byte) { processed += len(data) }

func processUltraHighFrequencyData(data []byte) { processed += len(data) }

func quickStart(iterations int) {
	// Production-ready configuration
	allocator, err := slabby.New(4096, 10000,
		// Security
		slabby.WithSecure(),
		slabby.WithBitGuard(),

		// Reliability
		slabby.WithHealthChecks(true),
		slabby.WithCircuitBreaker(50, 30*time.Second),
		slabby.WithHeapFallback(),

		// Performance
		slabby.WithPCPUCache(true),
		slabby.WithMaxAllocLatency(100*time.Microsecond),

		// Observability
		slabby.WithLogger(slog.Default()),
	)
	if err != nil {
		log.Fatal("Failed to initialize enterprise allocator:", err)
	}
	defer allocator.Close()

	// Zero-allocation high-performance path
	for i := 0; i < iterations; i++ {
		ref, err := allocator.Allocate() // Zero allocations!
		if err != nil {
			log.Printf("Allocation failed: %v", err)
			continue
		}

		// Process data with enterprise guarantees
		data := ref.GetBytes()
		processHighFrequencyData(data)

		ref.Release() // Return to pool
	}

	// Enterprise monitoring
	stats := allocator.Stats()
	health := allocator.HealthCheck()

	slog.Info("Enterprise allocator performance",
		"total_allocations", stats.TotalAllocations,
		"avg_latency_ns", stats.AvgAllocTimeNs,
		"health_score", health.HealthScore,
		"zero_allocations", true,
	)
}

func TestReferenceQuickStart(t *testing.T) {
	processed = 0
	count := rounds(t, 1_000_000)
	quickStart(count)
	if processed != count*4096 {
		t.Errorf("%d bytes processed of %d", processed, count*4096)
	}
}

func fastPath(allocator *slabby.Slabby) error {
	// Direct slice access (zero SlabRef allocation)
	data, slabID, err := allocator.AllocateFast()
	if err != nil {
		return err
	}

	// Process data directly
	processUltraHighFrequencyData(data)

	// Return to pool
	allocator.DeallocateFast(slabID)
	return nil
}

func TestReferenceFastPath(t *testing.T) {
	pool := newPool(t, 4096, 100)
	wantError(t, "the fast path", fastPath(pool), nil)
	checkQuiet(t, pool)
}

func newTradingAllocator() (*slabby.Slabby, error) {
	return slabby.New(4096, 100000,
		// Ultra-low latency requirements
		slabby.WithMaxAllocLatency(10*time.Microsecond),
		slabby.WithShards(runtime.GOMAXPROCS(0)*8),
		slabby.WithPCPUCache(true),

		// Financial data security
		slabby.WithSecure(),
		slabby.WithBitGuard(),

		// SLA compliance
		slabby.WithCircuitBreaker(5, 50*time.Millisecond),
		slabby.WithHealthChecks(true),
		slabby.WithHealthInterval(1*time.Second),
	)
}

func newGatewayAllocator(logger *slog.Logger) (*slabby.Slabby, error) {
	return slabby.New(8192, 50000,
		// Service reliability
		slabby.WithHeapFallback(),
		slabby.WithCircuitBreaker(100, 5*time.Second),
		slabby.WithHealthChecks(true),

		// Request isolation
		slabby.WithSecure(),
		slabby.WithBitGuard(),

		// Operational visibility
		slabby.WithLogger(logger),
		slabby.WithDebug(), // Remove in production
	)
}

func TestReferenceTemplates(t *testing.T) {
	for name, make := range map[string]func() (*slabby.Slabby, error){
		"trading": newTradingAllocator,
		"gateway": func() (*slabby.Slabby, error) { return newGatewayAllocator(slog.Default()) },
	} {
		allocator, err := make()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		refs, err := allocator.BatchAllocate(10)
		wantError(t, name, err, nil)
		if stats := allocator.Stats(); stats.CurrentAllocations != 10 {
			t.Errorf("%s: %d current allocations", name, stats.CurrentAllocations)
		}
		wantError(t, name, allocator.BatchDeallocate(refs), nil)
		wantError(t, name, allocator.Close(), nil)
	}
}

// The troubleshooting samples: the names they use, with their types.
func TestReferenceDiagnostics(t *testing.T) {
	allocator := newPool(t, 64, 100, slabby.WithHealthChecks(true))
	for range 1000 {
		wantError(t, "use", useReference(allocator), nil)
	}
	stats := allocator.Stats()
	health := allocator.HealthCheck()

	cacheHitRatio := float64(stats.PCPUCacheHits+stats.LockFreeHits) / float64(stats.TotalAllocations)
	if cacheHitRatio < 0.8 {
		t.Errorf("cache hit ratio %v", cacheHitRatio)
	}
	expectedLatency := time.Second
	if health.AllocLatencyP95 > expectedLatency || stats.MemoryUtilization > 0.95 {
		t.Errorf("%v, %v", health.AllocLatencyP95, stats.MemoryUtilization)
	}
	expectedConcurrent := uint64(1)
	if stats.TotalAllocations-stats.TotalDeallocations > expectedConcurrent {
		t.Error("a leak")
	}
	full := newPool(t, 64, 1)
	held := mustAllocate(t, full)
	_, err := full.AllocateWithTimeout(time.Millisecond)
	if !errors.Is(err, slabby.ErrAllocationTimeout) {
		t.Errorf("AllocateWithTimeout: %v", err)
	}
	mustRelease(t, held)
	if _, err := full.BatchAllocate(slabby.MaxBatchSize); !errors.Is(err, slabby.ErrInvalidBatchSize) {
		t.Errorf("BatchAllocate: %v", err)
	}
	free, err := full.AllocateContext(context.Background())
	wantError(t, "AllocateContext", err, nil)
	mustRelease(t, free)
}
