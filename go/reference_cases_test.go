// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// The use cases, security samples and sizing of the reference's description, unchanged but for import and *SlabRef;
// what a sample leaves unused is returned.

func tradingEngine() *slabby.Slabby {
	// Ultra-low latency trading engine
	allocator, _ := slabby.New(4096, 100000,
		slabby.WithMaxAllocLatency(50*time.Microsecond), // SLA enforcement
		slabby.WithCircuitBreaker(10, 100*time.Millisecond),
		slabby.WithSecure(), // Prevent data leakage between orders
	)
	return allocator
}

func eventProcessing() *slabby.Slabby {
	// High-throughput event processing
	allocator, _ := slabby.New(8192, 50000,
		slabby.WithShards(runtime.GOMAXPROCS(0)*4), // Maximum concurrency
		slabby.WithPCPUCache(true),                 // Per-CPU optimization
		slabby.WithHealthChecks(true),              // SLA monitoring
	)
	return allocator
}

func requestBuffers() *slabby.Slabby {
	// Request buffer management
	allocator, _ := slabby.New(1024, 10000,
		slabby.WithBitGuard(),     // Request isolation
		slabby.WithHeapFallback(), // Service continuity
		slabby.WithLogger(slog.Default()),
	)
	return allocator
}

func packetProcessing() *slabby.Slabby {
	// Real-time packet processing
	allocator, _ := slabby.New(1500, 100000, // MTU-sized packets
		slabby.WithGuardPages(), // Buffer overflow protection
		slabby.WithMaxAllocLatency(10*time.Microsecond),
	)
	return allocator
}

func newAnalyticsAllocator() (*slabby.Slabby, error) {
	return slabby.New(16384, 25000,
		// High throughput optimization
		slabby.WithShards(runtime.GOMAXPROCS(0)*2),
		slabby.WithCacheLine(64), // x86/ARM64
		slabby.WithPCPUCache(true),

		// Data protection
		slabby.WithSecure(),
		slabby.WithGuardPages(),

		// Performance monitoring
		slabby.WithHealthChecks(true),
		slabby.WithMaxAllocLatency(1*time.Millisecond),
	)
}

func analytics() *slabby.Slabby {
	allocator, _ := newAnalyticsAllocator()
	return allocator
}

// Guards: each use case makes a pool of its size and capacity, which serves, keeps buffers apart, and ends.
func TestReferenceUseCases(t *testing.T) {
	for _, c := range []struct {
		name           string
		open           func() *slabby.Slabby
		size, capacity int
	}{
		{"trading", tradingEngine, 4096, 100_000},
		{"events", eventProcessing, 8192, 50_000},
		{"requests", requestBuffers, 1024, 10_000},
		{"packets", packetProcessing, 1500, 100_000},
		{"analytics", analytics, 16384, 25_000},
	} {
		allocator := c.open()
		if allocator == nil {
			if manyGuards(c.capacity) {
				t.Fatalf("%s: no pool", c.name)
			}
			t.Logf("%s: this system does not guard %d slabs", c.name, c.capacity)
			continue
		}
		if stats := allocator.Stats(); stats.SlabSize != c.size || stats.TotalSlabs != c.capacity {
			t.Errorf("%s: %d slabs of %d bytes", c.name, stats.TotalSlabs, stats.SlabSize)
		}
		refs, err := allocator.BatchAllocate(64)
		wantError(t, c.name, err, nil)
		for at, ref := range refs {
			copy(ref.GetBytes(), bytes.Repeat([]byte{byte(at)}, c.size))
		}
		for at, ref := range refs {
			if bytes.Count(ref.GetBytes(), []byte{byte(at)}) != c.size {
				t.Errorf("%s: two buffers share memory", c.name)
			}
		}
		wantError(t, c.name, allocator.BatchDeallocate(refs), nil)
		checkQuiet(t, allocator)
		wantError(t, c.name, allocator.Close(), nil)
	}
}

// manyGuards reports whether the system has guard pages for so many slabs.
func manyGuards(capacity int) bool {
	pool, err := slabby.New(64, capacity, slabby.WithGuardPages())
	if err != nil {
		return false
	}
	return pool.Close() == nil
}

// Guards: the sample of secure mode leaves nothing of the customer behind.
func TestReferenceSecureMode(t *testing.T) {
	sensitiveCustomerData := []byte("name, number, address")
	// Automatic memory zeroing prevents data leakage
	allocator, _ := slabby.New(4096, 1000, slabby.WithSecure())

	ref, _ := allocator.Allocate()
	data := ref.GetBytes()
	copy(data, sensitiveCustomerData)

	ref.Release() // Memory automatically zeroed before reuse

	next := take(t, allocator, 1000)
	for _, ref := range next {
		if bytes.Count(ref.GetBytes(), []byte{0}) != 4096 {
			t.Fatal("a slab still has bytes of its last user")
		}
	}
	wantError(t, "BatchDeallocate", allocator.BatchDeallocate(next), nil)
	wantError(t, "Close", allocator.Close(), nil)
}

// corruptionDetection is the sample; the write in the middle of it is the caller's.
func corruptionDetection(write func(data []byte), alertSecurityTeam func(error)) *slabby.Slabby {
	// Runtime validation prevents memory corruption
	allocator, _ := slabby.New(4096, 1000, slabby.WithBitGuard())

	ref, _ := allocator.Allocate()
	// Slabby embeds detection patterns in allocated memory
	// Any corruption is detected during deallocation
	write(ref.GetBytes())

	err := ref.Release()
	if errors.Is(err, slabby.ErrMemoryCorruption) {
		// Immediate alert - potential security breach
		alertSecurityTeam(err)
	}
	return allocator
}

// Guards: the sample of corruption detection alerts of a write past the end, and of nothing else.
func TestReferenceCorruptionDetection(t *testing.T) {
	for _, overflow := range []bool{false, true} {
		alerts := 0
		allocator := corruptionDetection(func(data []byte) {
			clear(data)
			if overflow {
				*beside(data, len(data)) ^= 1
			}
		}, func(error) { alerts++ })
		if alerts == 1 != overflow {
			t.Errorf("%d alerts, with an overflow: %v", alerts, overflow)
		}
		wantError(t, "Close", allocator.Close(), nil)
	}
}

// Guards: the sample of guard pages stops an access beyond the slab, and allows each within.
func TestReferenceOverflowProtection(t *testing.T) {
	allocator, _ := slabby.New(4096, 1000, slabby.WithGuardPages())

	ref, _ := allocator.Allocate()
	data := ref.GetBytes()

	clear(data)
	// Any access beyond slab boundaries triggers SIGSEGV
	err := slabby.CatchFaults(func() { *beside(data, len(data)) ^= 1 })
	var fault *slabby.FaultError
	if !errors.As(err, &fault) {
		t.Errorf("a write past the end: %v", err)
	}
	wantError(t, "Release", ref.Release(), nil)
	wantError(t, "Close", allocator.Close(), nil)
}

type InfraRequirements struct {
	Memory    int
	CPUCores  int
	Instances int
}

// Infrastructure sizing calculator
func calculateInfrastructure(peakRPS int, avgSlabSize int) InfraRequirements {
	// Memory calculation
	concurrentSlabs := peakRPS / 1000                   // Assume 1ms processing time
	safetyBuffer := int(float64(concurrentSlabs) * 1.3) // 30% safety margin
	totalMemory := safetyBuffer * avgSlabSize

	// CPU calculation
	cpuCores := (peakRPS / 500000) + 2 // 500K ops/sec per core + overhead

	return InfraRequirements{
		Memory:    totalMemory,
		CPUCores:  cpuCores,
		Instances: max(1, cpuCores/8), // Scale horizontally at 8 cores
	}
}

type WorkloadProfile struct {
	AverageAllocationSize, MaximumAllocationSize, AllocationFrequency int
}

// Calculate optimal slab size for your workload
func calculateOptimalSlabSize(workloadProfile WorkloadProfile) int {
	// Analyze allocation patterns
	avgSize := workloadProfile.AverageAllocationSize
	maxSize := workloadProfile.MaximumAllocationSize
	frequency := workloadProfile.AllocationFrequency

	// Cache-line alignment
	const cacheLineSize = 64

	// Start with average size, align to cache boundaries
	optimalSize := alignToCacheLine(avgSize, cacheLineSize)

	// Adjust for frequency (smaller slabs for high frequency)
	if frequency > 1000000 { // > 1M allocs/sec
		optimalSize = min(optimalSize, 4096)
	}

	// Ensure we can fit maximum allocation
	optimalSize = max(optimalSize, maxSize)

	return optimalSize
}

func alignToCacheLine(size, cacheLineSize int) int {
	return ((size + cacheLineSize - 1) / cacheLineSize) * cacheLineSize
}

// Guards: New takes the size and capacity that the samples of sizing calculate; slabs hold the largest
// request.
func TestReferenceSizing(t *testing.T) {
	for _, profile := range []WorkloadProfile{{1, 1, 1}, {700, 1500, 10_000}, {6000, 6001, 2_000_000}} {
		size := calculateOptimalSlabSize(profile)
		needs := calculateInfrastructure(100_000, size)
		allocator, err := slabby.New(size, needs.Memory/size)
		if err != nil {
			t.Fatalf("%+v: %v", profile, err)
		}
		ref := mustAllocate(t, allocator)
		if stats := allocator.Stats(); len(ref.GetBytes()) < profile.MaximumAllocationSize || stats.TotalSlabs != 130 {
			t.Errorf("%+v: %d slabs of %d bytes", profile, stats.TotalSlabs, len(ref.GetBytes()))
		}
		mustRelease(t, ref)
		wantError(t, "Close", allocator.Close(), nil)
	}
}
